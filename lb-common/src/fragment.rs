//! Fragments of IPv4 packets (RFC 791): only the first one has ports.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::net::{Ip4, Port};

/// Fragmented packets that are remembered; the oldest make room.
pub const MAX_FRAGMENTED: u32 = 16_384;

/// Seconds for which a first fragment is remembered: hosts wait no longer for the rest (RFC 1122, section
/// 3.3.2, asks for 60 to 120).
pub const FRAGMENT_TIMEOUT: u32 = 120;

/// What all fragments of a packet have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FragmentKey {
    /// Source address.
    pub source: Ip4,
    /// Destination address.
    pub destination: Ip4,
    /// Identification, in wire order.
    pub identification: u16,
    /// Number of the transport protocol.
    pub protocol: u8,
    /// Number of the [`crate::net::Zone`] they come from.
    pub zone: u8,
}

/// What the first fragment says of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FragmentPorts {
    /// Source port.
    pub source: Port,
    /// Destination port.
    pub destination: Port,
    /// Second of the monotonic clock in which it came.
    pub at: u32,
}
