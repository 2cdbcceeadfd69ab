//! The frames that are sent: a template for the headers of each, in an order that no cache likes.

use std::net::SocketAddrV4;

use lb_common::bench_wire::{TEMPLATE, first_sequence};

use super::plan;
use crate::packet::{Spec, Transport, flags};

/// The headers of a frame, as they are written over it.
pub type Template = [u8; TEMPLATE];

/// Ethernet, IPv4 and TCP.
const TCP_HEADERS: usize = 54;
/// Ethernet, IPv4 and UDP.
const UDP_HEADERS: usize = 42;

/// Where UDP's checksum is; zero is none (RFC 768).
const UDP_CHECKSUM: usize = UDP_HEADERS - 2;
/// A step after the last of a conversation.
const NO_STEP: u8 = 255;

/// What a flow's next packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The first of a TCP connection.
    Syn,
    /// TCP data, after the handshake.
    Data,
    /// A UDP datagram of no step of a conversation.
    Datagram,
    /// The first of a conversation by UDP.
    Question,
}

/// The template of a frame of `size` bytes that `client` sends to `server` by way of the balancer.
pub fn template(kind: Kind, client: SocketAddrV4, server: SocketAddrV4, size: usize) -> Template {
    let first = u32::from_ne_bytes(client.ip().octets());
    let first = first_sequence(first, u16::from_ne_bytes(client.port().to_be_bytes()));
    let next = first.wrapping_add(1);
    let (transport, headers) = match kind {
        // The frame is as long as all others; what is behind the headers of a SYN is padding.
        Kind::Syn => (Transport::Tcp(flags::SYN, first, 0), size),
        // The far end answers with the client's own sequence number.
        Kind::Data => (Transport::Tcp(flags::ACK, next, next), TCP_HEADERS),
        Kind::Datagram | Kind::Question => (Transport::Udp, UDP_HEADERS),
    };
    let frame = Spec {
        macs: (plan::CLIENTS_MAC, plan::NEAR_MAC),
        source: client,
        destination: server,
        transport,
        ttl: 64,
        payload: vec![0; size - headers],
    }
    .frame();
    let mut template = [0; TEMPLATE];
    let length = frame.len().min(TEMPLATE);
    template[..length].copy_from_slice(&frame[..length]);
    match kind {
        // The far ends count the steps in the first byte of the data: this is none.
        Kind::Datagram => template[UDP_HEADERS] = NO_STEP,
        Kind::Question => {}
        Kind::Syn | Kind::Data => return template,
    }
    template[UDP_CHECKSUM..UDP_HEADERS].fill(0);
    template
}

/// Puts them into a random order, always the same (Fisher and Yates, with Vigna's splitmix64).
pub fn shuffle<T>(items: &mut [T]) {
    let mut state = 0_u64;
    for last in (1..items.len()).rev() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        items.swap(last, (word % (last as u64 + 1)) as usize);
    }
}

#[cfg(test)]
mod tests {
    use etherparse::{SlicedPacket, TransportSlice};

    use super::*;

    #[test]
    fn the_headers_of_every_kind_are_sound() {
        let (client, server) = (plan::client(7), plan::service(7));
        for (kind, size) in [
            (Kind::Syn, 64),
            (Kind::Data, 64),
            (Kind::Data, 1400),
            (Kind::Datagram, 1400),
            (Kind::Question, 64),
        ] {
            let template = template(kind, client, server, size);
            let mut frame = template.to_vec();
            frame.resize(size, 0);
            let text = crate::packet::decode(&frame);
            assert!(!text.contains("BAD"), "{text}");
            let sliced = SlicedPacket::from_ethernet(&frame).expect("a frame");
            let is_tcp = matches!(sliced.transport, Some(TransportSlice::Tcp(_)));
            assert_eq!(is_tcp, matches!(kind, Kind::Syn | Kind::Data), "{text}");
            // Nothing behind the packet but for the padding of a SYN.
            let length = usize::from(u16::from_be_bytes([frame[16], frame[17]])) + 14;
            assert_eq!(length, if kind == Kind::Syn { 54 } else { size }, "{text}");
        }
    }

    #[test]
    fn shuffled_items_are_all_there_in_another_order() {
        let mut items: Vec<u32> = (0..1000).collect();
        shuffle(&mut items);
        assert!(!items.is_sorted());
        items.sort_unstable();
        assert_eq!(items, (0..1000).collect::<Vec<_>>());
    }
}
