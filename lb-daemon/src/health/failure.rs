//! Why a check was bad, for people.

use std::{io, time::Duration};

/// Why a check was bad.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// This machine has no way to the node on the right side.
    #[error("this machine has no route to it through an interface of its side")]
    NoRoute,
    /// No socket to ask by.
    #[error("cannot open a socket: {0}")]
    Socket(io::Error),
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// A connection that breaks.
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    /// A connection that the node closes.
    #[error("the connection was closed before an answer came")]
    Closed,
    /// Nothing comes back.
    #[error("no connection within {}", humantime::format_duration(*.0))]
    NoConnection(Duration),
    /// Nothing comes back.
    #[error("no answer within {}", humantime::format_duration(*.0))]
    NoAnswer(Duration),
    /// A handshake that fails, or a certificate that is not good.
    #[error("TLS: {0}")]
    Tls(io::Error),
    /// An answer, but not a good one.
    #[error("{0}")]
    Answer(String),
}
