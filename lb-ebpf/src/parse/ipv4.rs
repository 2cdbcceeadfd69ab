//! IPv4 (RFC 791).

use lb_common::{
    drop_reason::DropReason,
    flow::FlowKey,
    net::{Ip4, Port, Protocol, Zone},
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{ethernet, icmp, stun, tcp, udp, udp::UdpHeader};
use crate::{
    frame::{Frame, Header},
    packet::{Packet, StunKind, TcpFlags, Transport},
};

/// An IPv4 header without its options.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Ipv4 {
    /// Version and header length in words of four bytes.
    pub version_length: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Length of header and payload, in wire order.
    pub total_length: u16,
    /// Identification, in wire order.
    pub identification: u16,
    /// Flags and fragment offset, in wire order.
    pub fragment: u16,
    /// Hops left.
    pub ttl: u8,
    /// What follows.
    pub protocol: u8,
    /// Header checksum, in wire order.
    pub checksum: u16,
    /// From whom.
    pub source: Ip4,
    /// To whom.
    pub destination: Ip4,
}

impl Header for Ipv4 {}

/// Where the header starts in the frame.
pub const AT: usize = ethernet::LENGTH;

/// "More fragments".
const MORE_FRAGMENTS: u16 = 0x2000_u16.to_be();
/// Every bit of the offset: a fragment but the first.
pub const OFFSET_MASK: u16 = 0x1fff_u16.to_be();

/// Reads an IPv4 packet and the protocol header in it.
///
/// # Errors
///
/// The reason why it is malformed.
#[inline(always)]
pub fn parse(frame: &mut impl Frame, zone: Zone, packet: &mut Packet) -> Result<(), DropReason> {
    let frame_length = frame.length();
    let mut ip = frame
        .header(AT, |ip: &mut Ipv4| *ip)
        .ok_or(DropReason::Ipv4Header)?;
    let header_length = usize::from(ip.version_length & 0x0f) * 4;
    if ip.version_length >> 4 != 4 || header_length < size_of::<Ipv4>() {
        return Err(DropReason::Ipv4Header);
    }
    let length = u16::from_be(ip.total_length);
    // The frame may be longer: Ethernet pads to 60 bytes.
    if usize::from(length) < header_length || AT + usize::from(length) > frame_length {
        return Err(DropReason::Ipv4Length);
    }
    if ip.source.is_never_a_source() {
        return Err(DropReason::Ipv4Source);
    }
    let transport_at = AT + header_length;
    let payload = usize::from(length) - header_length;
    let more_fragments = ip.fragment & MORE_FRAGMENTS != 0;
    let is_icmp = ip.protocol == icmp::PROTOCOL;
    // The kernel puts together what is fragmented of ICMP.
    let without_ports = ip.fragment & OFFSET_MASK != 0 || (more_fragments && is_icmp);
    packet.zone = zone;
    packet.tcp.flags = TcpFlags::default();
    packet.stun.kind = StunKind::None;
    packet.transport_at = transport_at as u8;
    packet.quoted_at = 0;
    packet.is_first_fragment = more_fragments && !without_ports;
    packet.identification = ip.identification;
    packet.length = length;
    packet.ttl = ip.ttl;
    let (transport, source_port, destination_port) = if without_ports {
        (Transport::Fragment, Port::default(), Port::default())
    } else if ip.protocol == Protocol::Tcp as u8 {
        let tcp = tcp::parse(frame, transport_at, payload)?;
        packet.tcp = tcp.state;
        (Transport::Tcp, tcp.source, tcp.destination)
    } else if ip.protocol == Protocol::Udp as u8 {
        let udp = udp::parse(frame, transport_at, payload, more_fragments)?;
        stun::read(
            frame,
            transport_at + size_of::<UdpHeader>(),
            usize::from(u16::from_be(udp.length)) - size_of::<UdpHeader>(),
            &mut packet.stun,
        );
        (Transport::Udp, udp.source, udp.destination)
    } else if is_icmp {
        if let icmp::Parsed::Error(quote) = icmp::parse(frame, transport_at, payload)? {
            // An error goes to whoever sent what it is about.
            if quote.source != ip.destination {
                return Err(DropReason::IcmpQuote);
            }
            ip.protocol = quote.protocol;
            ip.source = quote.destination;
            packet.quoted_at = quote.at;
            (
                Transport::IcmpError,
                quote.destination_port,
                quote.source_port,
            )
        } else {
            (Transport::Other, Port::default(), Port::default())
        }
    } else {
        (Transport::Other, Port::default(), Port::default())
    };
    packet.key = FlowKey::from_wire(
        zone,
        ip.protocol,
        (ip.source, source_port),
        (ip.destination, destination_port),
    );
    packet.transport = transport;
    Ok(())
}
