//! What the data path asks of the daemon.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::next_hop::Neighbour;

/// A neighbour has come into use as a next hop, or its Ethernet address is still unknown: keep it
/// resolved. The data path cannot wait for an answer to ARP; the daemon can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Event {
    /// Whose address is wanted.
    pub neighbour: Neighbour,
    /// Its cell of the adjacency array.
    pub next_hop: u32,
    /// Keeps the layout free of padding.
    pub reserved: u32,
}
