//! Third stage: from a verdict to bytes.

pub mod icmp_error;

use lb_common::{drop_reason::DropReason, next_hop::NextHop};

use crate::{
    checksum,
    frame::Frame,
    packet::{Packet, Transport},
    parse::{ethernet::Addresses, ipv4, ipv4::Ipv4, tcp::TcpHeader, udp::UdpHeader},
    verdict::Way,
};

/// Writes `way` into the frame of `packet`: Ethernet addresses, IP addresses, time to live, ports
/// and both checksums.
///
/// # Errors
///
/// [`DropReason::TooBig`] where the packet does not fit the next link; the frame is then as it was.
/// [`DropReason::FrameShrunk`] where the frame no longer holds the headers that [`crate::parse`] has
/// read. That cannot happen; the verifier wants to see it all the same.
#[inline(always)]
pub fn apply(frame: &mut impl Frame, packet: &Packet, way: &Way) -> Result<(), DropReason> {
    if packet.length > way.next_hop.mtu {
        return Err(DropReason::TooBig);
    }
    write(frame, packet, way).ok_or(DropReason::FrameShrunk)
}

#[inline(always)]
fn write(frame: &mut impl Frame, packet: &Packet, way: &Way) -> Option<()> {
    let rewrite = &way.rewrite;
    frame.header(0, |to: &mut Addresses| to.0 = way.next_hop.addresses())?;
    frame.header(ipv4::AT, |ip: &mut Ipv4| {
        one_hop_less(ip, rewrite.address_delta);
        ip.source = rewrite.source;
        ip.destination = rewrite.destination;
    })?;
    let at = usize::from(packet.transport_at);
    match packet.transport {
        Transport::Tcp => frame.header(at, |tcp: &mut TcpHeader| {
            tcp.source = rewrite.source_port;
            tcp.destination = rewrite.destination_port;
            tcp.checksum = checksum::update(tcp.checksum, rewrite.transport_delta);
        }),
        Transport::Udp => frame.header(at, |udp: &mut UdpHeader| {
            udp.source = rewrite.source_port;
            udp.destination = rewrite.destination_port;
            udp.checksum = checksum::update_udp(udp.checksum, rewrite.transport_delta);
        }),
        Transport::IcmpError | Transport::Other | Transport::Fragment => Some(()),
    }
}

/// Writes the way to `next_hop` into the frame: Ethernet addresses and time to live. Nothing that the
/// sender wrote changes.
///
/// # Errors
///
/// As for [`apply`].
#[inline(always)]
pub fn apply_route(
    frame: &mut impl Frame,
    packet: &Packet,
    next_hop: &NextHop,
) -> Result<(), DropReason> {
    if packet.length > next_hop.mtu {
        return Err(DropReason::TooBig);
    }
    frame
        .header(0, |to: &mut Addresses| to.0 = next_hop.addresses())
        .and_then(|()| frame.header(ipv4::AT, |ip: &mut Ipv4| one_hop_less(ip, 0)))
        .ok_or(DropReason::FrameShrunk)
}

/// Takes one off the time to live; `address_delta` is what else has changed in the header.
#[inline(always)]
fn one_hop_less(ip: &mut Ipv4, address_delta: u16) {
    /// What one less in the first byte of a word adds to the complement of a checksum (RFC 1624, equation 3).
    const ONE_LESS: u16 = !u16::from_ne_bytes([1, 0]);
    // `decide` lets nothing through whose time to live is used up.
    ip.ttl = ip.ttl.wrapping_sub(1);
    let sum = u32::from(!ip.checksum) + u32::from(address_delta) + u32::from(ONE_LESS);
    ip.checksum = checksum::of_sum(sum);
}
