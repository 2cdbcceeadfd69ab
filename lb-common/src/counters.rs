//! Counters, one copy per CPU, summed by the daemon.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What passed for one node of one service.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct NodeCounters {
    /// Packets by [`crate::flow::Direction`].
    pub packets: [u64; 2],
    /// Bytes (IP total length) by direction.
    pub bytes: [u64; 2],
    /// Flows opened.
    pub opened: u64,
}
