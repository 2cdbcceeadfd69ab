//! What the sender of a dropped packet is told, so that it does not have to wait for a timeout.

pub mod icmp;
pub mod reset;

use lb_common::{drop_reason::DropReason, net::Ip4, settings::Settings};

use crate::{
    frame::Frame,
    packet::{Packet, TcpFlags, Transport},
    parse::{ethernet::Ethernet, ipv4::Ipv4},
    tables::Tables,
};

/// An answer to a dropped packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Silence.
    None,
    /// A TCP RST (RFC 9293, section 3.5.2).
    Reset,
    /// ICMP "port unreachable" (RFC 792).
    PortUnreachable,
    /// ICMP "fragmentation needed" (RFC 1191).
    FragmentationNeeded,
    /// ICMP "time to live exceeded in transit" (RFC 792).
    TimeExceeded,
}

/// What to answer to a packet that is dropped for `reason`.
#[inline(always)]
pub fn to(packet: &Packet, reason: DropReason, settings: &Settings) -> Answer {
    match (reason, packet.transport) {
        // An error is never answered by an error, nor is a fragment but the first (RFC 1122, section
        // 3.2.2).
        (_, Transport::IcmpError | Transport::Fragment) => Answer::None,
        (_, Transport::Tcp) if packet.tcp.flags.any(TcpFlags::RST) => Answer::None,
        // Who asks for what nobody serves is to ask elsewhere at once.
        (DropReason::NoNode, Transport::Tcp) => Answer::Reset,
        (DropReason::NoFlow | DropReason::FlowTableFull, Transport::Tcp)
            if settings.reset_without_flow != 0 =>
        {
            Answer::Reset
        }
        (DropReason::NoNode, Transport::Udp) => Answer::PortUnreachable,
        (DropReason::TooBig, _) => Answer::FragmentationNeeded,
        (DropReason::TtlExpired, _) => Answer::TimeExceeded,
        _ => Answer::None,
    }
}

/// Makes the answer to a packet of the frame of it, to be sent back by the interface with the index
/// `ingress`. `None` where there is none: the frame is then good for nothing else.
#[inline(always)]
pub fn write<T: Tables>(
    frame: &mut impl Frame,
    packet: &Packet,
    reason: DropReason,
    mtu: u16,
    ingress: u32,
    tables: &T,
    now: u32,
) -> Option<()> {
    let settings = tables.settings();
    let answer = to(packet, reason, &settings);
    if answer == Answer::None || !tables.may_answer(now, settings.answers_per_second) {
        return None;
    }
    if answer == Answer::Reset {
        return reset::write(frame, packet);
    }
    let asked = packet.key.destination;
    let source = if tables.vip(asked).is_some() {
        asked
    } else {
        tables.interface(ingress)?.address
    };
    if source == Ip4::default() {
        return None;
    }
    icmp::write(frame, packet, answer, source, mtu)
}

/// Sends the frame back where it came from.
#[inline(always)]
fn turn_around(ethernet: &mut Ethernet) {
    core::mem::swap(&mut ethernet.source, &mut ethernet.destination);
}

/// Time to live of what this machine sends (RFC 1700).
const TTL: u8 = 64;
/// "Don't fragment".
const DONT_FRAGMENT: u16 = 0x4000_u16.to_be();

/// Writes an IP header without options.
#[inline(always)]
fn write_ip(
    frame: &mut impl Frame,
    protocol: u8,
    payload: u16,
    source: Ip4,
    destination: Ip4,
) -> Option<()> {
    let mut header = Ipv4 {
        version_length: 0x45,
        traffic_class: 0,
        total_length: (size_of::<Ipv4>() as u16 + payload).to_be(),
        identification: 0,
        fragment: DONT_FRAGMENT,
        ttl: TTL,
        protocol,
        checksum: 0,
        source,
        destination,
    };
    let words: [u16; 10] = zerocopy::transmute!(header);
    header.checksum = crate::checksum::of_sum(crate::checksum::sum(words));
    frame.header(crate::parse::ipv4::AT, |ip: &mut Ipv4| *ip = header)
}
