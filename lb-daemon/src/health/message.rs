//! What a check says and what it makes of the answer (pure): bytes in, bytes out, no socket.
//!
//! A stream brings an answer in pieces, so a judge says of what has come so far whether it is enough.

pub mod http;
pub mod ms_turn;
pub mod pseudo_tls;
pub mod sip;
pub mod stun;
pub mod tls;

/// What the bytes that have come so far amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// More must come before anything can be said.
    Incomplete,
    /// An answer of a service in good health; the number of bytes that it takes.
    Good(usize),
    /// Anything else, and what it is.
    Bad(String),
}

impl Judgement {
    fn bad(what: impl Into<String>) -> Self {
        Self::Bad(what.into())
    }
}

/// Big-endian number at `at`, where there is one.
fn number(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes([bytes[0], bytes[1]]))
}
