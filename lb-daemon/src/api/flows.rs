//! Flows on the control socket: any number of lines, none of them kept.
//!
//! The connection asks the controller for one batch after the other, each when the one before is written. So
//! the controller does other things in between, and a client that does not read makes nobody wait.

use std::{
    io::{self, BufRead, BufReader},
    os::unix::net::UnixStream as BlockingStream,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{io::AsyncWriteExt as _, net::unix::OwnedWriteHalf, sync::mpsc};

use super::{Asked, Question, UNKNOWN_ANSWER, ask_controller, put};
use crate::datapath::Progress;

/// A line of the answer to [`Question::Flows`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlowLine<T> {
    /// A flow.
    Flow(T),
    /// The last line: so many flows came before it.
    End(u64),
    /// The last line, too: there is something wrong.
    Error(String),
}

impl<T: Serialize> FlowLine<T> {
    /// Adds the line to a text.
    pub fn write(&self, text: &mut Vec<u8>) -> Result<()> {
        serde_json::to_writer(&mut *text, self)?;
        text.push(b'\n');
        Ok(())
    }
}

/// A batch of flows.
#[derive(Debug)]
pub struct FlowLines {
    /// [`FlowLine`]s.
    pub text: Vec<u8>,
    /// How many.
    pub flows: u64,
    /// Where the next batch begins.
    pub next: Option<Progress>,
    /// How long to wait before it is asked for.
    pub pause: Duration,
}

/// Answers on a connection.
pub async fn answer(writer: &mut OwnedWriteHalf, controller: &mpsc::Sender<Asked>) -> Result<()> {
    let mut flows = 0;
    let mut from = Some(Progress::BEGINNING);
    let mut last = FlowLine::<()>::End(0);
    while let Some(progress) = from {
        let batch = ask_controller(controller, |reply| Asked::Flows(progress, reply)).await;
        match batch {
            Ok(lines) => {
                writer.write_all(&lines.text).await?;
                flows += lines.flows;
                last = FlowLine::End(flows);
                from = lines.next;
                if from.is_some() {
                    tokio::time::sleep(lines.pause).await;
                }
            }
            Err(error) => {
                last = FlowLine::Error(format!("{error:#}"));
                break;
            }
        }
    }
    let mut text = Vec::new();
    last.write(&mut text)?;
    writer.write_all(&text).await?;
    Ok(())
}

/// The flows of a running edgelb, as they come; for the command.
pub struct FlowStream<R> {
    stream: R,
    line: String,
    flows: u64,
}

impl FlowStream<BufReader<BlockingStream>> {
    /// Asks for them.
    pub fn open(socket: &Path) -> Result<Self> {
        let stream = put(socket, &Question::Flows)?;
        Ok(Self::new(BufReader::new(stream)))
    }
}

impl<R: BufRead> FlowStream<R> {
    /// Those of an answer.
    pub const fn new(stream: R) -> Self {
        Self {
            stream,
            line: String::new(),
            flows: 0,
        }
    }

    /// The next one.
    ///
    /// # Errors
    ///
    /// When flows are missing: what has come is not all there is.
    pub fn read<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        self.line.clear();
        if self.stream.read_line(&mut self.line)? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof))
                .context("edgelb has ended before the last flow");
        }
        match serde_json::from_str(&self.line).context(UNKNOWN_ANSWER)? {
            FlowLine::Flow(flow) => {
                self.flows += 1;
                Ok(Some(flow))
            }
            FlowLine::End(flows) if flows == self.flows => Ok(None),
            FlowLine::End(flows) => bail!("{} of {flows} flows have come", self.flows),
            FlowLine::Error(error) => bail!(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every number in an answer, and how it ends.
    fn heard(answer: &str) -> (Vec<u32>, Result<(), String>) {
        let mut stream = FlowStream::new(answer.as_bytes());
        let mut flows = Vec::new();
        loop {
            match stream.read() {
                Ok(Some(flow)) => flows.push(flow),
                Ok(None) => return (flows, Ok(())),
                Err(error) => return (flows, Err(format!("{error:#}"))),
            }
        }
    }

    #[test]
    fn lines_are_read_as_they_are_written() {
        let mut text = Vec::new();
        for line in [FlowLine::Flow(7), FlowLine::Flow(8), FlowLine::End(2)] {
            line.write(&mut text).expect("memory is enough");
        }
        let text = String::from_utf8(text).expect("it is JSON");
        assert_eq!(heard(&text), (vec![7, 8], Ok(())));
    }

    #[test]
    fn an_answer_that_is_not_whole_is_an_error() {
        for (answer, flows, end) in [
            ("{\"end\":0}\n", vec![], Ok(())),
            (
                "{\"flow\":1}\n",
                vec![1],
                Err("edgelb has ended before the last flow: unexpected end of file"),
            ),
            (
                "{\"flow\":1}\n{\"end\":2}\n",
                vec![1],
                Err("1 of 2 flows have come"),
            ),
            (
                "{\"flow\":1}\n{\"error\":\"map FLOWS: gone\"}\n",
                vec![1],
                Err("map FLOWS: gone"),
            ),
        ] {
            let end = end.map_err(str::to_owned);
            assert_eq!(heard(answer), (flows, end), "{answer}");
        }
    }
}
