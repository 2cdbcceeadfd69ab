//! An ICMP error through a flow: the packet that it quotes is translated back into the one that its
//! sender knows (RFC 5508, section 4.2).

use lb_common::{drop_reason::DropReason, flow::Rewrite, net::Protocol};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::one_hop_less;
use crate::{
    checksum,
    frame::{Frame, Header},
    packet::Packet,
    parse::{ethernet::Ethernet, icmp::IcmpHeader, ipv4, ipv4::Ipv4, udp::UdpHeader},
    verdict::Way,
};

/// Writes `way`, that of the answers to the quoted packet, into addresses, quote and checksums of the frame
/// of `packet`.
///
/// # Errors
///
/// As for [`super::apply`].
#[inline(always)]
pub fn apply(frame: &mut impl Frame, packet: &Packet, way: &Way) -> Result<(), DropReason> {
    if packet.length > way.next_hop.mtu {
        return Err(DropReason::TooBig);
    }
    frame
        .header(0, |ethernet: &mut Ethernet| {
            ethernet.destination = way.next_hop.destination_mac;
            ethernet.source = way.next_hop.source_mac;
        })
        .and_then(|()| write(frame, packet, &way.rewrite))
        .ok_or(DropReason::FrameShrunk)
}

#[inline(always)]
fn write(frame: &mut impl Frame, packet: &Packet, rewrite: &Rewrite) -> Option<()> {
    frame.header(ipv4::AT, |ip: &mut Ipv4| {
        // Whoever was asked answers as the address that was asked; a router on the way stays itself.
        let source = if ip.source == packet.key.source {
            rewrite.source
        } else {
            ip.source
        };
        let addresses = checksum::address_change(ip.source.wire(), source.wire())
            + checksum::address_change(ip.destination.wire(), rewrite.destination.wire());
        one_hop_less(ip, checksum::fold(addresses));
        ip.source = source;
        ip.destination = rewrite.destination;
    })?;
    // The quoted packet went the other way: what is a source in one is a destination in the other.
    let addresses =
        checksum::address_change(packet.key.destination.wire(), rewrite.destination.wire())
            + checksum::address_change(packet.key.source.wire(), rewrite.source.wire());
    let is_udp = packet.key.protocol == Protocol::Udp as u8;
    let transport = frame.header(usize::from(packet.quoted_at), |udp: &mut UdpHeader| {
        let ports = checksum::word_change(udp.source.wire(), rewrite.destination_port.wire())
            + checksum::word_change(udp.destination.wire(), rewrite.source_port.wire());
        udp.source = rewrite.destination_port;
        udp.destination = rewrite.source_port;
        if !is_udp {
            // The checksum of TCP lies beyond the eight bytes that every quote has, and nobody checks it.
            return ports;
        }
        let before = udp.checksum;
        udp.checksum = checksum::update_udp(before, checksum::fold(addresses + ports));
        ports + checksum::word_change(before, udp.checksum)
    })?;
    frame.header(usize::from(packet.transport_at), |message: &mut Message| {
        let ip = &mut message.quoted;
        let before = ip.checksum;
        ip.checksum = checksum::update(before, checksum::fold(addresses));
        ip.source = rewrite.destination;
        ip.destination = rewrite.source;
        let header = checksum::word_change(before, ip.checksum);
        let change = checksum::fold(addresses + header + transport);
        message.icmp.checksum = checksum::update(message.icmp.checksum, change);
    })
}

/// An ICMP error as far as all of them are alike. In one piece: of two overlapping checks of its bounds
/// LLVM drops the one that the verifier would need.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Message {
    icmp: IcmpHeader,
    quoted: Ipv4,
}

impl Header for Message {}
