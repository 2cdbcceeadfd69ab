//! A RST to the sender of a TCP segment that belongs to no connection (RFC 9293, section 3.5.2).

use lb_common::net::Protocol;

use super::{turn_around, write_ip};
use crate::{
    checksum,
    frame::Frame,
    packet::{Packet, TcpFlags},
    parse::{ipv4, ipv4::Ipv4, tcp::TcpHeader},
};

const TCP_AT: usize = ipv4::AT + size_of::<Ipv4>();

/// Makes a RST of the frame of `packet`.
#[inline(always)]
pub fn write(frame: &mut impl Frame, packet: &Packet) -> Option<()> {
    let at = usize::from(packet.transport_at);
    let header = frame.header(at, |tcp: &mut TcpHeader| {
        usize::from(tcp.data_offset >> 4) * 4
    })?;
    let flags = packet.tcp.flags;
    let data = usize::from(packet.length).wrapping_sub(at - ipv4::AT + header) as u32;
    let length = data + u32::from(flags.any(TcpFlags::SYN)) + u32::from(flags.any(TcpFlags::FIN));
    let (sequence, acknowledgment, answer) = if flags.any(TcpFlags::ACK) {
        (packet.tcp.acknowledgment, 0, TcpFlags::RST.0)
    } else {
        let acknowledgment = packet.tcp.sequence.wrapping_add(length);
        (0, acknowledgment, TcpFlags::RST.0 | TcpFlags::ACK.0)
    };
    let key = &packet.key;
    let mut tcp = TcpHeader {
        source: key.destination_port,
        destination: key.source_port,
        sequence: sequence.to_be(),
        acknowledgment: acknowledgment.to_be(),
        data_offset: 5 << 4,
        flags: answer,
        window: 0,
        checksum: 0,
        urgent: 0,
    };
    let words: [u16; 10] = zerocopy::transmute!(tcp);
    let addresses: [u16; 4] = zerocopy::transmute!([key.source.wire(), key.destination.wire()]);
    let pseudo_header = checksum::sum(addresses)
        + u32::from(u16::from(Protocol::Tcp as u8).to_be())
        + u32::from((size_of::<TcpHeader>() as u16).to_be());
    tcp.checksum = checksum::of_sum(checksum::sum(words) + pseudo_header);

    frame.truncate(TCP_AT + size_of::<TcpHeader>())?;
    frame.header(0, turn_around)?;
    write_ip(
        frame,
        Protocol::Tcp as u8,
        size_of::<TcpHeader>() as u16,
        key.destination,
        key.source,
    )?;
    frame.header(TCP_AT, |header: &mut TcpHeader| *header = tcp)
}
