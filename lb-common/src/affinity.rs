//! Clients that stay with a node that drains: until its time is up, their new flows reach it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::net::Ip4;

/// Clients that can stay with nodes that drain, each counted once for each service.
pub const MAX_AFFINITIES: u32 = 32_768;

/// A client of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AffinityKey {
    client: Ip4,
    service: u16,
    /// The kernel hashes and compares every byte of a key.
    zero: [u8; 2],
}

impl AffinityKey {
    /// The client with this address, of the service with this index.
    #[inline(always)]
    pub const fn new(client: Ip4, service: u16) -> Self {
        Self {
            client,
            service,
            zero: [0; 2],
        }
    }

    /// Index of the service.
    #[inline(always)]
    pub const fn service(&self) -> u16 {
        self.service
    }
}

/// Where the new flows of a client go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Affinity {
    /// Second of the monotonic clock from which on this holds no more.
    pub until: u32,
    /// Index of the node within the service.
    pub node: u16,
    /// Keeps the layout free of padding.
    pub reserved: [u8; 2],
}

impl Affinity {
    /// With the node of this index, until that second of the monotonic clock.
    #[inline(always)]
    pub const fn new(node: u16, until: u32) -> Self {
        Self {
            until,
            node,
            reserved: [0; 2],
        }
    }
}
