//! Frames of the flows.

use std::net::SocketAddrV4;

use lb_common::bench_packet::{ClassicEntry, ClassicKey, TEMPLATE};
use lb_ebpf::checksum::{address_change, fold, word_change};

use super::programs::Template;
use crate::{
    packet::{Spec, Transport, flags},
    runner::{NEIGHBOURS, Port, ROUTER},
};

/// A flow: what the client sees, and what the node sees.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The client.
    pub client: SocketAddrV4,
    /// What it asks.
    pub vip: SocketAddrV4,
    /// Who asks the node: the client, or the VIP in its place.
    pub source: SocketAddrV4,
    /// The node.
    pub node: SocketAddrV4,
}

/// Sequence number of the client's SYN.
const CLIENT_SEQUENCE: u32 = 1000;
/// Sequence number of the node's SYN-ACK.
const NODE_SEQUENCE: u32 = 5000;

/// What a packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// TCP: SYN.
    Syn,
    /// TCP: SYN-ACK.
    SynAck,
    /// TCP: ACK that completes the handshake.
    Ack,
    /// TCP: ten bytes of data.
    Segment,
    /// UDP: 22 bytes of data, which are no STUN.
    Datagram,
    /// UDP: STUN Binding request, its transaction id made from this number.
    Request(u32),
    /// UDP: STUN Binding success response to that.
    Response(u32),
}

impl Says {
    fn transport(self) -> Transport {
        match self {
            Self::Syn => Transport::Tcp(flags::SYN, CLIENT_SEQUENCE, 0),
            Self::SynAck => {
                Transport::Tcp(flags::SYN | flags::ACK, NODE_SEQUENCE, CLIENT_SEQUENCE + 1)
            }
            Self::Ack | Self::Segment => {
                Transport::Tcp(flags::ACK, CLIENT_SEQUENCE + 1, NODE_SEQUENCE + 1)
            }
            Self::Datagram | Self::Request(_) | Self::Response(_) => Transport::Udp,
        }
    }

    fn payload(self) -> Vec<u8> {
        match self {
            Self::Syn | Self::SynAck | Self::Ack => Vec::new(),
            Self::Segment => vec![0x5a; 10],
            // An RTP header (version 2) begins so; STUN begins with two zero bits.
            Self::Datagram => vec![0x80; 22],
            Self::Request(number) => stun(0x0001, number),
            Self::Response(number) => stun(0x0101, number),
        }
    }
}

/// A STUN message without attributes (RFC 8489, section 5).
fn stun(kind: u16, number: u32) -> Vec<u8> {
    let mut message = [kind.to_be_bytes(), [0, 0]].concat();
    message.extend(0x2112_a442_u32.to_be_bytes());
    for word in [number, !number, number.rotate_left(16)] {
        message.extend(word.to_be_bytes());
    }
    message
}

/// The frame of a packet that comes in by an interface.
///
/// # Panics
///
/// Where it has more than 64 bytes.
pub fn frame(at: Port, source: SocketAddrV4, destination: SocketAddrV4, says: Says) -> Template {
    let spec = Spec {
        macs: (sender(at), at.mac()),
        source,
        destination,
        transport: says.transport(),
        ttl: 64,
        payload: says.payload(),
    };
    let bytes = spec.frame();
    let mut frame = [0; TEMPLATE];
    frame[..bytes.len()].copy_from_slice(&bytes);
    frame
}

/// Nobody looks at who has sent it, but it is somebody.
fn sender(at: Port) -> [u8; 6] {
    let neighbour = NEIGHBOURS.iter().find(|known| known.port == at);
    neighbour.map_or(ROUTER, |known| known.mac)
}

/// Source and destination of a TCP or UDP frame without IP options.
pub fn addresses(frame: &Template) -> (SocketAddrV4, SocketAddrV4) {
    let address = |at: usize, port: usize| {
        let octets: [u8; 4] = std::array::from_fn(|byte| frame[at + byte]);
        SocketAddrV4::new(
            octets.into(),
            u16::from_be_bytes([frame[port], frame[port + 1]]),
        )
    };
    (address(26, 34), address(30, 36))
}

/// What the floor looks a frame up by.
pub fn classic_key(frame: &Template) -> ClassicKey {
    let (source, destination) = addresses(frame);
    ClassicKey {
        source: wire(source),
        destination: wire(destination),
        source_port: source.port().to_be(),
        destination_port: destination.port().to_be(),
        protocol: u32::from(frame[23]),
    }
}

/// What the floor is to make of `before`, so that it becomes `after`: what edgelb has made of it.
pub fn classic_entry(before: &Template, after: &Template) -> ClassicEntry {
    let ((old_source, old_destination), (source, destination)) =
        (addresses(before), addresses(after));
    let addresses = address_change(wire(old_source), wire(source))
        + address_change(wire(old_destination), wire(destination));
    let hop = |frame: &Template| u16::from_ne_bytes([frame[22], frame[23]]);
    let ports = word_change(old_source.port().to_be(), source.port().to_be())
        + word_change(old_destination.port().to_be(), destination.port().to_be());
    ClassicEntry {
        macs: std::array::from_fn(|word| {
            u16::from_ne_bytes([after[word * 2], after[word * 2 + 1]])
        }),
        source: wire(source),
        destination: wire(destination),
        source_port: source.port().to_be(),
        destination_port: destination.port().to_be(),
        address_delta: fold(addresses + word_change(hop(before), hop(after))),
        transport_delta: fold(addresses + ports),
        reserved: [0; 9],
    }
}

fn wire(address: SocketAddrV4) -> u32 {
    u32::from_ne_bytes(address.ip().octets())
}
