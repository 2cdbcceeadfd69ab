//! UDP (RFC 768).

use lb_common::{drop_reason::DropReason, net::Port};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::frame::{Frame, Header};

/// A UDP header.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct UdpHeader {
    /// Source port.
    pub source: Port,
    /// Destination port.
    pub destination: Port,
    /// Length of header and data, in wire order.
    pub length: u16,
    /// Checksum, 0 where the sender computed none.
    pub checksum: u16,
}

impl Header for UdpHeader {}

/// Reads the UDP header `at` bytes into the frame, in an IP payload of `payload` bytes; with
/// `more_fragments`, the rest of the datagram is in others.
///
/// # Errors
///
/// [`DropReason::UdpHeader`] where header or length do not fit.
#[inline(always)]
pub fn parse(
    frame: &mut impl Frame,
    at: usize,
    payload: usize,
    more_fragments: bool,
) -> Result<UdpHeader, DropReason> {
    let udp = frame
        .header(at, |udp: &mut UdpHeader| *udp)
        .ok_or(DropReason::UdpHeader)?;
    let length = usize::from(u16::from_be(udp.length));
    if length < size_of::<UdpHeader>() || (length > payload && !more_fragments) {
        return Err(DropReason::UdpHeader);
    }
    Ok(udp)
}
