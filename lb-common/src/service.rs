//! Services, the nodes behind them and the ring that spreads flows over the nodes.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::net::{Ip4, Port, Protocol, Zone};

/// Services that fit into the maps.
pub const MAX_SERVICES: u32 = 128;
/// Nodes that fit behind one service.
pub const MAX_NODES: u32 = 32;
/// Slots of a service's ring: a prime, as Maglev wants it, and more than 100 slots per node.
pub const RING_SLOTS: usize = 4093;
/// Pools of SNAT ports that fit into the maps.
pub const MAX_SNAT_POOLS: u32 = 512;
/// 64-bit words of a pool that have one bit per port number.
pub const SNAT_PORT_WORDS: u32 = 1024;
/// All 64-bit words of a pool: behind those of the ports are 16 with one bit for each of them, set when
/// it is full, so that a free port is found in a few steps.
pub const SNAT_POOL_WORDS: u32 = SNAT_PORT_WORDS + SNAT_PORT_WORDS / 64;

/// The word of a pool with the bit that says that `word` is full; the bit's number is `word % 64`.
#[inline(always)]
pub const fn full_word(word: u16) -> u32 {
    SNAT_PORT_WORDS + word as u32 / 64
}
/// In place of a pool's index where the client's own port is kept.
pub const NO_POOL: u16 = u16::MAX;
/// First port of a VIP that SNAT never hands out: health checks leave from here, and answers to them
/// go to the kernel.
pub const FIRST_OWN_PORT: u16 = 64_512;

/// What happens to the addresses of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Treatment {
    /// Full NAT: the node sees the VIP as the client (H1, H6).
    Snat = 0,
    /// Only the destination changes: the node sees the client (H2, H7).
    Dnat = 1,
}

impl Treatment {
    /// `snat` or `dnat`, as in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Snat => "snat",
            Self::Dnat => "dnat",
        }
    }
}

/// How a new flow of a service finds its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Choice {
    /// By consistent hashing of the 5-tuple.
    Tuple = 0,
    /// By consistent hashing of the client's address: all its flows reach the same node.
    Source = 1,
    /// The one with fewer flows for its weight, of two that the 5-tuple leads to (Mitzenmacher, "The Power
    /// of Two Choices in Randomized Load Balancing", 2001).
    LeastConnections = 2,
}

/// In place of [`Choice::Source`] while a node of the service drains: a client that stays with that node
/// (the map of affinities says who does) goes there, and all others as [`Choice::Source`] says.
pub const SOURCE_OR_AFFINITY: u8 = 3;

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ServiceKey {
    vip: Ip4,
    port: Port,
    protocol: u8,
    zone: u8,
}

impl ServiceKey {
    /// The service on `vip` and `port`, asked from `zone`.
    #[inline(always)]
    pub const fn new(zone: Zone, protocol: Protocol, vip: Ip4, port: Port) -> Self {
        Self {
            vip,
            port,
            protocol: protocol as u8,
            zone: zone as u8,
        }
    }
}

/// A service, as the data path needs it for a new flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Service {
    /// Index into the rings and, times [`MAX_NODES`], into the nodes.
    pub index: u16,
    /// First SNAT port (a number, host order).
    pub first_snat_port: u16,
    /// Last SNAT port (a number, host order).
    pub last_snat_port: u16,
    /// [`Treatment`] as a number.
    pub treatment: u8,
    /// [`Choice`] as a number, or [`SOURCE_OR_AFFINITY`].
    pub choice: u8,
}

/// Connections of a node to a port outside that leave from a VIP; found by a [`ServiceKey`] of the node's
/// address and that port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Outbound {
    /// Where they leave from.
    pub vip: Ip4,
    /// Index that they are counted under, beyond those of the services.
    pub service: u16,
    /// Index of the node.
    pub node: u16,
    /// First port to use where the node's own is taken (a number, host order).
    pub first_snat_port: u16,
    /// Last such port (a number, host order).
    pub last_snat_port: u16,
}

/// In a ring's slot: no node can take the flow.
pub const NO_NODE: u8 = u8::MAX;

/// For every slot the index of a node of the service, or [`NO_NODE`].
///
/// The daemon replaces a ring as a whole; a look-up reads a single slot, so it sees the old or the
/// new ring and nothing in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Ring {
    /// Node by slot.
    pub slots: [u8; RING_SLOTS],
    /// Keeps the kernel's rounding to eight bytes visible.
    pub reserved: [u8; 3],
}

/// A node of one service.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Node {
    /// Address of the service on the node.
    pub address: Ip4,
    /// Port of the service on the node.
    pub port: Port,
    /// Share of new flows, relative to the other nodes.
    pub weight: u16,
    /// Index of the pool of SNAT ports for (protocol, VIP, this address and port).
    pub snat_pool: u16,
    /// Keeps the layout free of padding.
    pub reserved: u16,
}

/// Index of a node in the nodes array and in the counters.
#[inline(always)]
pub const fn node_cell(service: u16, node: u16) -> u32 {
    service as u32 * MAX_NODES + node as u32 % MAX_NODES
}

// Flow entries name cells and pools in 16 bits.
const _: () = assert!(MAX_SERVICES * MAX_NODES <= 1 << 16 && MAX_SNAT_POOLS < NO_POOL as u32);
