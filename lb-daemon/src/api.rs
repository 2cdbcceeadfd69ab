//! The control socket: one question and one answer per connection, each a line of JSON; of flows, there are
//! as many lines as there are flows ([`FlowLine`]).
//!
//! The socket is a file that only root (or the user that edgelb runs as) may open; nothing listens to
//! the network.

mod flows;

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

pub use self::flows::{FlowLine, FlowLines, FlowStream};
use crate::{datapath::Progress, node_state::Wanted, snapshot::Status};

/// A question on the control socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// Answered by a [`Status`].
    Status,
    /// Answered by [`FlowLine`]s with a [`crate::snapshot::FlowStatus`] each.
    Flows,
    /// Read the configuration file again and apply it; answered by a list of what has changed.
    Reload,
    /// Want something of a node; answered by a list of what has changed.
    Want(Wish),
}

/// What an administrator wants of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Its name.
    pub node: String,
    /// For this service alone.
    pub service: Option<String>,
    /// What is wanted.
    pub wanted: Wanted,
}

/// What comes back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer<T> {
    Ok(T),
    Error(String),
}

/// Takes an answer of the controller.
pub type Reply<T> = oneshot::Sender<Result<T>>;

/// A question on its way to the controller, and where the answer goes.
pub enum Asked {
    /// For the state of everything.
    Status(Reply<Status>),
    /// For the next flows of a walk.
    Flows(Progress, Reply<FlowLines>),
    /// To read the configuration again.
    Reload(Reply<Vec<String>>),
    /// To do something with a node.
    Want(Wish, Reply<Vec<String>>),
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
    let question = serde_json::from_str(&line).context("not a question that this version knows");
    let text = match question {
        Ok(Question::Flows) => return flows::answer(&mut writer, &controller).await,
        Ok(Question::Status) => line_of(ask_controller(&controller, Asked::Status).await),
        Ok(Question::Reload) => line_of(ask_controller(&controller, Asked::Reload).await),
        Ok(Question::Want(wish)) => {
            line_of(ask_controller(&controller, |reply| Asked::Want(wish, reply)).await)
        }
        Err(error) => line_of(Err::<(), _>(error)),
    };
    writer.write_all(&text?).await?;
    Ok(())
}

/// An answer, as it goes over the socket.
fn line_of<T: Serialize>(answer: Result<T>) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec(&match answer {
        Ok(value) => Answer::Ok(value),
        Err(error) => Answer::Error(format!("{error:#}")),
    })?;
    text.push(b'\n');
    Ok(text)
}

async fn ask_controller<T>(
    controller: &mpsc::Sender<Asked>,
    question: impl FnOnce(Reply<T>) -> Asked,
) -> Result<T> {
    const STOPPING: &str = "edgelb is stopping";
    let (reply, answer) = oneshot::channel();
    controller.send(question(reply)).await.context(STOPPING)?;
    answer.await.context(STOPPING)?
}

/// Puts a question to a running edgelb.
fn put(socket: &Path, question: &Question) -> Result<BlockingStream> {
    use io::Write as _;
    let mut stream = BlockingStream::connect(socket).with_context(|| {
        format!(
            "no edgelb answers on the control socket {}; is it running, and may this user open the socket?",
            socket.display()
        )
    })?;
    let mut text = serde_json::to_vec(question)?;
    text.push(b'\n');
    stream.write_all(&text)?;
    Ok(stream)
}

const UNKNOWN_ANSWER: &str = "edgelb gave an answer that this version does not know";

/// Asks a running edgelb; for the commands.
pub fn ask<T: DeserializeOwned>(socket: &Path, question: &Question) -> Result<T> {
    use io::Read as _;
    let mut stream = put(socket, question)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match serde_json::from_str(&answer).context(UNKNOWN_ANSWER)? {
        Answer::Ok(answer) => Ok(answer),
        Answer::Error(error) => bail!(error),
    }
}
