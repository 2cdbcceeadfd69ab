//! The control socket: one question and one answer per connection, each a line of JSON.
//!
//! The socket is a file that only root (or the user that edgelb runs as) may open; nothing listens to
//! the network.

use std::{
    fs, io,
    os::unix::{fs::PermissionsExt as _, net::UnixStream as BlockingStream},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::{mpsc, oneshot},
};
use tracing::debug;

/// A question on the control socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// Answered by a [`crate::snapshot::Status`].
    Status,
    /// Answered by a list of [`crate::snapshot::FlowStatus`].
    Flows,
    /// Read the configuration file again and apply it; answered by a list of what has changed.
    Reload,
}

/// What comes back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer<T> {
    Ok(T),
    Error(String),
}

/// A question on its way to the controller, and where the answer goes (JSON, or an error for people).
pub struct Asked {
    /// The question.
    pub question: Question,
    /// Takes the answer.
    pub answer: oneshot::Sender<Result<serde_json::Value>>,
}

/// The socket in the file system; it goes when this is dropped.
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Listens on `path`. A socket that nobody answers on is what a crash has left; a live one belongs
    /// to another edgelb.
    pub fn bind(path: &Path) -> Result<Self> {
        if BlockingStream::connect(path).is_ok() {
            bail!(
                "control socket {}: another edgelb is running with it; give this one its own --control-socket and --pin-dir",
                path.display()
            );
        }
        let place = || format!("control socket {}", path.display());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(place)?;
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(place);
            }
            _ => {}
        }
        let listener = UnixListener::bind(path).with_context(place)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).with_context(place)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }

    /// Takes questions for the controller, for ever.
    pub async fn serve(self, controller: mpsc::Sender<Asked>) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let controller = controller.clone();
                    tokio::spawn(async move {
                        if let Err(error) = converse(stream, controller).await {
                            debug!("control socket: {error:#}");
                        }
                    });
                }
                Err(error) => {
                    // Out of file descriptors, most likely: others must close theirs first.
                    debug!("control socket: {error}");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Longest question (bytes): all that are known are far shorter.
const LONGEST_QUESTION: u64 = 4096;

async fn converse(stream: UnixStream, controller: mpsc::Sender<Asked>) -> Result<()> {
    use tokio::io::AsyncReadExt as _;
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    BufReader::new(reader.take(LONGEST_QUESTION))
        .read_line(&mut line)
        .await?;
    let answer = match serde_json::from_str(&line) {
        Ok(question) => ask_controller(question, &controller).await,
        Err(error) => Err(error).context("not a question that this version knows"),
    };
    let answer = match answer {
        Ok(value) => Answer::Ok(value),
        Err(error) => Answer::Error(format!("{error:#}")),
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    writer.write_all(&text).await?;
    Ok(())
}

async fn ask_controller(
    question: Question,
    controller: &mpsc::Sender<Asked>,
) -> Result<serde_json::Value> {
    let (answer, answered) = oneshot::channel();
    controller
        .send(Asked { question, answer })
        .await
        .context("edgelb is stopping")?;
    answered.await.context("edgelb is stopping")?
}

/// Asks a running edgelb; for the commands.
pub fn ask<T: DeserializeOwned>(socket: &Path, question: Question) -> Result<T> {
    use io::{Read as _, Write as _};
    let mut stream = BlockingStream::connect(socket).with_context(|| {
        format!(
            "no edgelb answers on the control socket {}; is it running, and may this user open the socket?",
            socket.display()
        )
    })?;
    let mut text = serde_json::to_vec(&question)?;
    text.push(b'\n');
    stream.write_all(&text)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match serde_json::from_str(&answer)
        .context("edgelb gave an answer that this version does not know")?
    {
        Answer::Ok(answer) => Ok(answer),
        Answer::Error(error) => bail!(error),
    }
}
