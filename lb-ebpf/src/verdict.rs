//! What [`crate::decide`] comes to.

use lb_common::{
    drop_reason::DropReason,
    flow::{Direction, Rewrite},
    next_hop::NextHop,
};

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Rewrite it and send it on.
    Forward(Forward),
    /// Send it on as it is, with one hop less to live.
    Route(NextHop),
    /// Leave it to the machine's own network stack, untouched.
    Pass,
    /// Drop and count it.
    Drop(DropReason),
}

/// A packet to be sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// What to write.
    pub rewrite: Rewrite,
    /// Where to send it.
    pub next_hop: NextHop,
    /// Cell of the node's counters.
    pub node_cell: u32,
    /// Which of the counters.
    pub direction: Direction,
}
