//! ICMP (RFC 792).

use lb_common::{
    drop_reason::DropReason,
    net::{Ip4, Port, Protocol},
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{
    ipv4::{Ipv4, OFFSET_MASK},
    udp::UdpHeader,
};
use crate::frame::{Frame, Header};

/// The part of an ICMP header that all messages have.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct IcmpHeader {
    /// Type of the message.
    pub kind: u8,
    /// Code within the type.
    pub code: u8,
    /// Checksum, in wire order.
    pub checksum: u16,
    /// Depends on the type.
    pub rest: u32,
}

impl Header for IcmpHeader {}

/// Number of ICMP in the IP header.
pub const PROTOCOL: u8 = 1;

/// "Destination unreachable" (RFC 792).
pub const DESTINATION_UNREACHABLE: u8 = 3;
/// Its code for a port that nobody listens on.
pub const PORT_UNREACHABLE: u8 = 3;
/// Its code for a packet that does not fit the next link and may not be fragmented (RFC 1191).
pub const FRAGMENTATION_NEEDED: u8 = 4;
/// "Time exceeded" (RFC 792); code 0 for the time to live.
pub const TIME_EXCEEDED: u8 = 11;
const PARAMETER_PROBLEM: u8 = 12;

/// What [`parse`] finds.
pub enum Parsed {
    /// A message about another packet.
    Error(Quote),
    /// Any other message.
    Other,
}

/// The packet that an error is about.
#[derive(Clone, Copy)]
pub struct Quote {
    /// Its protocol.
    pub protocol: u8,
    /// Who sent it.
    pub source: Ip4,
    /// To whom.
    pub destination: Ip4,
    /// From which port; 0 where the protocol has none, or the quote ends before it.
    pub source_port: Port,
    /// To which port; likewise.
    pub destination_port: Port,
    /// Where the ports stand in the frame, 0 where there are none.
    pub at: u8,
}

/// Reads the ICMP header `at` bytes into the frame, in an IP payload of `payload` bytes, and what an error
/// quotes (RFC 1122, section 3.2.2).
#[inline(always)]
pub fn parse(frame: &mut impl Frame, at: usize, payload: usize) -> Result<Parsed, DropReason> {
    let kind = frame
        .header(at, |icmp: &mut IcmpHeader| icmp.kind)
        .filter(|_| payload >= size_of::<IcmpHeader>())
        .ok_or(DropReason::IcmpHeader)?;
    if !matches!(
        kind,
        DESTINATION_UNREACHABLE | TIME_EXCEEDED | PARAMETER_PROBLEM
    ) {
        return Ok(Parsed::Other);
    }
    let quoted_at = at + size_of::<IcmpHeader>();
    let ip = frame
        .header(quoted_at, |ip: &mut Ipv4| *ip)
        .ok_or(DropReason::IcmpHeader)?;
    let header_length = usize::from(ip.version_length & 0x0f) * 4;
    if ip.version_length >> 4 != 4 || header_length < size_of::<Ipv4>() {
        return Err(DropReason::IcmpHeader);
    }
    let mut quote = Quote {
        protocol: ip.protocol,
        source: ip.source,
        destination: ip.destination,
        source_port: Port::default(),
        destination_port: Port::default(),
        at: 0,
    };
    let has_ports = ip.protocol == Protocol::Tcp as u8 || ip.protocol == Protocol::Udp as u8;
    if has_ports && ip.fragment & OFFSET_MASK == 0 {
        let ports_at = quoted_at + header_length;
        // The ports stand at the same place in both headers.
        (quote.source_port, quote.destination_port) = frame
            .header(ports_at, |udp: &mut UdpHeader| {
                (udp.source, udp.destination)
            })
            .ok_or(DropReason::IcmpHeader)?;
        quote.at = ports_at as u8;
    }
    // Only now: from this LLVM would conclude that the ports are within the frame, and leave out the
    // check that the verifier wants.
    if size_of::<IcmpHeader>() + header_length + size_of::<UdpHeader>() > payload {
        return Err(DropReason::IcmpHeader);
    }
    Ok(Parsed::Error(quote))
}
