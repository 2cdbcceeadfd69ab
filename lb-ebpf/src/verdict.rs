//! What [`crate::decide`] comes to.

use lb_common::{
    drop_reason::DropReason,
    flow::{Direction, Rewrite},
    next_hop::NextHop,
};

/// What becomes of a packet.
///
/// How it is sent on stands in a [`Way`] beside it: a variant that carried it would leave whatever is at
/// hand in its place in all the others, and the verifier lets nothing be read that was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Rewrite it and send it on.
    Forward,
    /// Rewrite it as the ICMP error that it is, with what it quotes, and send it on.
    ForwardError,
    /// Send it on as it is, with one hop less to live: of the [`Way`] only the next hop is written.
    Route,
    /// Leave it to the machine's own network stack, untouched.
    Pass,
    /// Drop and count it.
    Drop(DropReason),
}

/// How a packet is sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Way {
    /// What to write.
    pub rewrite: Rewrite,
    /// Where to send it.
    pub next_hop: NextHop,
    /// Cell of the node's counters.
    pub node_cell: u32,
    /// Which of the counters.
    pub direction: Direction,
}
