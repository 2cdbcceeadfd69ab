//! What the bench of single packets and its XDP programs tell each other. Nothing of this is in edgelb.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of every frame: the least that Ethernet has, and one cache line.
pub const TEMPLATE: usize = 64;

/// What the driver writes over the frame: templates `first` to `first + count - 1`, again and again.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Series {
    /// Its first template.
    pub first: u32,
    /// Number of its templates.
    pub count: u32,
    /// The next of them, from 0.
    pub next: u32,
}

/// What a balancer with a plain hash table looks a packet up by.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ClassicKey {
    /// Source address, as in the packet.
    pub source: u32,
    /// Destination address, as in the packet.
    pub destination: u32,
    /// Source port, as in the packet.
    pub source_port: u16,
    /// Destination port, as in the packet.
    pub destination_port: u16,
    /// Number of the transport protocol.
    pub protocol: u32,
}

/// What it finds: all that is to be written.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ClassicEntry {
    /// Ethernet destination and source, as in the packet.
    pub macs: [u16; 6],
    /// Source address, as in the packet.
    pub source: u32,
    /// Destination address, as in the packet.
    pub destination: u32,
    /// Source port, as in the packet.
    pub source_port: u16,
    /// Destination port, as in the packet.
    pub destination_port: u16,
    /// What address and time to live add to the IPv4 header checksum (RFC 1624, equation 3).
    pub address_delta: u16,
    /// What addresses and ports add to the TCP or UDP checksum.
    pub transport_delta: u16,
    /// Room for counters and times.
    pub reserved: [u32; 9],
}

const _: () = assert!(size_of::<ClassicKey>() == 16 && size_of::<ClassicEntry>() == 64);

/// Names of programs and maps in the object.
pub mod names {
    /// Writes the next template over the frame and goes on in the program under test.
    pub const DRIVER: &str = "driver";
    /// Returns `XDP_TX` and does nothing else.
    pub const FLOOR_RETURN: &str = "floor_return";
    /// Parses.
    pub const FLOOR_PARSE: &str = "floor_parse";
    /// Parses, looks the packet up in [`CLASSIC`] and rewrites it.
    pub const FLOOR_CLASSIC: &str = "floor_classic";
    /// Index to a template.
    pub const TEMPLATES: &str = "TEMPLATES";
    /// The one [`super::Series`].
    pub const SERIES: &str = "SERIES";
    /// The one program under test.
    pub const UNDER_TEST: &str = "UNDER_TEST";
    /// [`super::ClassicKey`] to [`super::ClassicEntry`].
    pub const CLASSIC: &str = "CLASSIC";
}
