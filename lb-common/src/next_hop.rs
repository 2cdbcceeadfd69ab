//! The adjacency array: where a frame goes next.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::net::{Ip4, Mac};

/// Cells of the adjacency array: gateways, nodes and hosts on the attached subnets. Cell 0 is never
/// filled, so that a flow entry can say "not looked up yet".
pub const MAX_NEXT_HOPS: u32 = 16_384;

// Flow entries name cells in 16 bits.
const _: () = assert!(MAX_NEXT_HOPS <= 1 << 16);

/// A neighbour that packets are sent to.
///
/// A cell, once given out, stays with its neighbour as long as the maps live; flow entries hold its
/// index. The daemon rewrites the addresses when the neighbour changes, and raises `generation` in
/// every cell when routes change, which sends each flow through one new look-up.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C, align(8))]
pub struct NextHop {
    /// Interface to send by; 0 while the neighbour has not answered.
    pub interface: u32,
    /// Number of the routing state that this cell is good for.
    pub generation: u32,
    /// The neighbour's address.
    pub destination_mac: Mac,
    /// The interface's address.
    pub source_mac: Mac,
    /// Largest IP packet that fits (bytes).
    pub mtu: u16,
    /// Keeps the layout free of padding.
    pub reserved: u16,
}

impl NextHop {
    /// Both Ethernet addresses as they stand at the beginning of a frame, in words: fewer than halves of them.
    #[inline(always)]
    pub const fn addresses(&self) -> [u32; 3] {
        let [_, _, first, second, third, _]: [u32; 6] = zerocopy::transmute!(*self);
        [first, second, third]
    }
}

/// What a cell is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Neighbour {
    /// Kernel index of the interface.
    pub interface: u32,
    /// The neighbour's IP address.
    pub address: Ip4,
}
