//! What the bench and its XDP programs tell each other. Nothing of this is in edgelb.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of a frame that the generator writes: all headers of the packets that it sends.
pub const TEMPLATE: usize = 64;

/// CPUs that can generate at the same time.
pub const MAX_LANES: u32 = 64;

/// What one CPU generates: templates `first` to `first + count - 1`, again and again. A cache line each.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub struct Lane {
    /// Its first template.
    pub first: u32,
    /// Number of its templates.
    pub count: u32,
    /// The next of them, from 0.
    pub next: u32,
    /// Kernel index of the interface that the frames leave by.
    pub interface: u32,
    /// Zero.
    pub reserved: [u32; 12],
}

/// Where the least that a balancer could do sends a frame.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Onward {
    /// Kernel index of the interface.
    pub interface: u32,
    /// Ethernet destination and source, as in a frame.
    pub macs: [u16; 6],
}

/// What the far ends do with what arrives, the one cell of `BEHAVIOUR`.
pub mod behaviour {
    /// Hand it to the kernel: there are real hosts.
    pub const PASS: u32 = 0;
    /// Count and drop it.
    pub const SINK: u32 = 1;
    /// Complete handshakes: the node answers a SYN, the client acknowledges that.
    pub const SHAKE: u32 = 2;
}

/// Cells of `ARRIVED`: packets by what they were.
pub mod arrived {
    /// Neither SYN nor SYN-ACK nor RST: data, or the end of a handshake.
    pub const DATA: u32 = 0;
    /// SYN.
    pub const SYN: u32 = 1;
    /// SYN-ACK that reached the client that it is for.
    pub const SYN_ACK: u32 = 2;
    /// SYN-ACK that reached another.
    pub const STRAY: u32 = 3;
    /// RST.
    pub const RST: u32 = 4;
    /// Number of cells.
    pub const CELLS: u32 = 5;
}

/// The sequence number of a client's SYN, from its address and port as they lie in a packet: a SYN-ACK
/// tells whether it reached the client that it is for.
#[inline(always)]
pub const fn first_sequence(address: u32, port: u16) -> u32 {
    address ^ (port as u32).wrapping_mul(0x0001_0001)
}

/// Names of programs and maps in the object.
pub mod names {
    /// Sends the next template.
    pub const GENERATE: &str = "generate";
    /// The program at either end of the wire.
    pub const FAR_END: &str = "far_end";
    /// Sends every frame on to `ONWARD`.
    pub const REDIRECT: &str = "redirect";
    /// Sends every frame back.
    pub const REFLECT: &str = "reflect";
    /// Index to `[u64; 8]`.
    pub const TEMPLATES: &str = "TEMPLATES";
    /// CPU to [`super::Lane`].
    pub const LANES: &str = "LANES";
    /// The one [`super::behaviour`].
    pub const BEHAVIOUR: &str = "BEHAVIOUR";
    /// [`super::arrived`] to packets, per CPU.
    pub const ARRIVED: &str = "ARRIVED";
    /// The one [`super::Onward`].
    pub const ONWARD: &str = "ONWARD";
}
