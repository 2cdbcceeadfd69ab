//! An ICMP error to the sender of a packet (RFC 792, RFC 1191), with the IP header and the first eight bytes
//! of what it is about.

use lb_common::net::Ip4;

use super::{Answer, turn_around, write_ip};
use crate::{
    checksum,
    frame::{Frame, Header},
    packet::Packet,
    parse::{
        ethernet::Ethernet,
        icmp::{self, IcmpHeader},
        ipv4,
        ipv4::Ipv4,
    },
};

const ICMP_AT: usize = ipv4::AT + size_of::<Ipv4>();
/// Bytes before what is quoted.
const HEADERS: usize = size_of::<Ipv4>() + size_of::<IcmpHeader>();
/// The longest IP header, and eight bytes.
const MAX_QUOTE: usize = 68;
/// Words of the longest message.
const MAX_WORDS: usize = size_of::<IcmpHeader>() / 2 + MAX_QUOTE / 2;

/// Two bytes in memory order.
#[derive(
    Clone,
    Copy,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
    zerocopy::KnownLayout,
)]
#[repr(transparent)]
struct Word(u16);

impl Header for Word {}

/// Makes an error from `source` of the frame of `packet`; `mtu` is that of the next link.
#[inline(always)]
pub fn write(
    frame: &mut impl Frame,
    packet: &Packet,
    answer: Answer,
    source: Ip4,
    mtu: u16,
) -> Option<()> {
    let (kind, code, rest) = match answer {
        Answer::PortUnreachable => (icmp::DESTINATION_UNREACHABLE, icmp::PORT_UNREACHABLE, 0),
        Answer::FragmentationNeeded => (
            icmp::DESTINATION_UNREACHABLE,
            icmp::FRAGMENTATION_NEEDED,
            u32::from(mtu).to_be(),
        ),
        Answer::TimeExceeded => (icmp::TIME_EXCEEDED, 0, 0),
        Answer::None | Answer::Reset => return None,
    };
    let whole = usize::from(packet.length);
    // An even number of bytes, so that the checksum needs no padding.
    let quote = (usize::from(packet.transport_at) - ipv4::AT + 8)
        .min(whole)
        .min(MAX_QUOTE)
        & !1;
    frame.truncate(ipv4::AT + quote)?;
    frame.grow_front(HEADERS)?;
    let ethernet = frame.header(HEADERS, |ethernet: &mut Ethernet| *ethernet)?;
    frame.header(0, |new: &mut Ethernet| {
        *new = ethernet;
        turn_around(new);
    })?;
    let payload = size_of::<IcmpHeader>() + quote;
    write_ip(
        frame,
        icmp::PROTOCOL,
        payload as u16,
        source,
        packet.key.source,
    )?;
    frame.header(ICMP_AT, |header: &mut IcmpHeader| {
        *header = IcmpHeader {
            kind,
            code,
            checksum: 0,
            rest,
        };
    })?;
    let sum = sum(frame, payload / 2)?;
    frame.header(ICMP_AT, |header: &mut IcmpHeader| {
        header.checksum = checksum::of_sum(sum);
    })
}

/// The sum of the first `words` of the message.
#[inline(always)]
fn sum(frame: &mut impl Frame, words: usize) -> Option<u32> {
    let mut sum = 0;
    for word in 0..MAX_WORDS {
        if word >= words {
            break;
        }
        sum += frame.header(ICMP_AT + word * 2, |word: &mut Word| u32::from(word.0))?;
    }
    Some(sum)
}
