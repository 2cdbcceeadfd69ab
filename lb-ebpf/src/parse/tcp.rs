//! TCP (RFC 9293).

use lb_common::{drop_reason::DropReason, net::Port};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    frame::{Frame, Header},
    packet::{Tcp, TcpFlags},
};

/// A TCP header without its options.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TcpHeader {
    /// Source port.
    pub source: Port,
    /// Destination port.
    pub destination: Port,
    /// Sequence number, in wire order.
    pub sequence: u32,
    /// Acknowledgment number, in wire order.
    pub acknowledgment: u32,
    /// Header length in words of four bytes, in the upper half.
    pub data_offset: u8,
    /// Flags.
    pub flags: u8,
    /// Window, in wire order.
    pub window: u16,
    /// Checksum, in wire order.
    pub checksum: u16,
    /// Urgent pointer, in wire order.
    pub urgent: u16,
}

impl Header for TcpHeader {}

/// What [`parse`] finds.
pub struct Parsed {
    /// Source port.
    pub source: Port,
    /// Destination port.
    pub destination: Port,
    /// The rest.
    pub state: Tcp,
}

/// Reads the TCP header `at` bytes into the frame, in an IP payload of `payload` bytes.
#[inline(always)]
pub fn parse(frame: &mut impl Frame, at: usize, payload: usize) -> Result<Parsed, DropReason> {
    let tcp = frame
        .header(at, |tcp: &mut TcpHeader| *tcp)
        .ok_or(DropReason::TcpHeader)?;
    let header_length = usize::from(tcp.data_offset >> 4) * 4;
    if header_length < size_of::<TcpHeader>() || header_length > payload {
        return Err(DropReason::TcpHeader);
    }
    Ok(Parsed {
        source: tcp.source,
        destination: tcp.destination,
        state: Tcp {
            flags: TcpFlags(tcp.flags),
            sequence: u32::from_be(tcp.sequence),
            acknowledgment: u32::from_be(tcp.acknowledgment),
        },
    })
}
