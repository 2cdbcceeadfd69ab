//! The flow table: its key, its entry and what an entry goes through.

use core::hash::{Hash, Hasher};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    net::{Ip4, Port, Protocol, Zone},
    service::Treatment,
};

/// A 5-tuple as it is on the wire, with the zone it came from.
///
/// The zone is part of the key so that a host on one side cannot speak in a flow of the other by
/// forging its addresses (H13). Aligned so that it is hashed and compared as two words.
#[derive(Clone, Copy, Debug, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(8))]
pub struct FlowKey {
    /// Source address.
    pub source: Ip4,
    /// Destination address.
    pub destination: Ip4,
    /// Source port.
    pub source_port: Port,
    /// Destination port.
    pub destination_port: Port,
    /// Number of the transport protocol.
    pub protocol: u8,
    zone: u8,
    /// The kernel hashes and compares every byte of a key.
    zero: [u8; 2],
}

impl FlowKey {
    /// The key of a packet from `source` to `destination` that came in from `zone`.
    #[inline(always)]
    pub const fn new(
        zone: Zone,
        protocol: Protocol,
        source: (Ip4, Port),
        destination: (Ip4, Port),
    ) -> Self {
        Self::from_wire(zone, protocol as u8, source, destination)
    }

    /// The same for a protocol number just read from a packet, whatever it is.
    #[inline(always)]
    pub const fn from_wire(
        zone: Zone,
        protocol: u8,
        source: (Ip4, Port),
        destination: (Ip4, Port),
    ) -> Self {
        let addresses: u64 = zerocopy::transmute!([source.0, destination.0]);
        let rest: u64 = zerocopy::transmute!([
            source.1.wire().to_ne_bytes(),
            destination.1.wire().to_ne_bytes(),
            [protocol, zone as u8],
            [0; 2],
        ]);
        // As the words that it is hashed by: a processor waits when it reads a word that it has just written in
        // parts.
        zerocopy::transmute!([addresses, rest])
    }

    /// The key of the packets that answer what `rewrite` makes of the packets of this key.
    #[must_use]
    #[inline(always)]
    pub const fn answer_to(&self, rewrite: &Rewrite) -> Self {
        Self {
            source: rewrite.destination,
            destination: rewrite.source,
            source_port: rewrite.destination_port,
            destination_port: rewrite.source_port,
            ..*self
        }
    }

    /// The key of the packets that answer the packets of this key where nothing is rewritten.
    #[must_use]
    #[inline(always)]
    pub const fn reversed(&self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            ..*self
        }
    }

    /// The key of the packets with the same addresses and these ports.
    #[must_use]
    #[inline(always)]
    pub const fn with_ports(&self, source_port: Port, destination_port: Port) -> Self {
        Self {
            source_port,
            destination_port,
            ..*self
        }
    }

    /// Number of the zone, as in [`Zone`].
    #[inline(always)]
    pub const fn zone(&self) -> u8 {
        self.zone
    }

    /// The bytes of the key as two words in memory order.
    #[inline(always)]
    pub const fn words(&self) -> [u64; 2] {
        zerocopy::transmute!(*self)
    }

    /// The key that has these [words](Self::words).
    #[inline(always)]
    pub const fn of_words(words: [u64; 2]) -> Self {
        zerocopy::transmute!(words)
    }

    /// True for the key of a cell that holds no flow: no packet has protocol 0.
    #[inline(always)]
    pub const fn is_vacant(&self) -> bool {
        self.protocol == 0
    }
}

// By words, where the derived ones would go by fields.
impl PartialEq for FlowKey {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        let ([addresses, rest], [other_addresses, other_rest]) = (self.words(), other.words());
        addresses == other_addresses && rest == other_rest
    }
}

impl Hash for FlowKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.words().hash(state);
    }
}

/// All that changes in a packet of a flow, ready to be written.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C, align(8))]
pub struct Rewrite {
    /// New source address.
    pub source: Ip4,
    /// New destination address.
    pub destination: Ip4,
    /// New source port.
    pub source_port: Port,
    /// New destination port.
    pub destination_port: Port,
    /// What the new addresses add to the IPv4 header checksum (RFC 1624, equation 3), as a
    /// ones' complement sum in memory order.
    pub address_delta: u16,
    /// The same for the TCP or UDP checksum: addresses (pseudo header) and ports.
    pub transport_delta: u16,
}

/// Which way a flow entry carries packets.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct Direction(u8);

impl Direction {
    /// From the client to the node.
    pub const TO_NODE: Self = Self(0);
    /// From the node to the client.
    pub const TO_CLIENT: Self = Self(1);
}

/// How far a direction of a flow has come.
///
/// An entry is `OPENING` until the flow is confirmed, that of the answers `ANSWERED` from the first answer on;
/// then it is `ESTABLISHED` until its own direction shows a FIN or a RST.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct FlowState(u8);

impl FlowState {
    /// The client has asked.
    pub const OPENING: Self = Self(0);
    /// The node has answered; the client has yet to show that the answer reached it. For answers only.
    pub const ANSWERED: Self = Self(1);
    /// Both sides have spoken.
    pub const ESTABLISHED: Self = Self(2);
    /// A FIN came by in this direction.
    pub const FIN: Self = Self(3);
    /// A RST came by in this direction.
    pub const RESET: Self = Self(4);

    /// True when a SYN from the client may open the flow anew and a short idle time ends it.
    #[inline(always)]
    pub const fn is_closing(self) -> bool {
        self.0 >= Self::FIN.0
    }

    /// True for an entry of a flow that is not confirmed yet, as far as this entry knows.
    #[inline(always)]
    pub const fn is_opening(self) -> bool {
        self.0 < Self::ESTABLISHED.0
    }
}

/// Which of two addresses a client asked, when the node cannot tell them apart: without SNAT it sees the
/// same 5-tuple either way (H3 and H4 on one socket).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The VIP.
    Vip,
    /// The node's own address.
    Node,
}

/// What an entry is to its flow, in one byte: which way it goes, how the flow is treated, and, for UDP
/// without SNAT, what the client sent its latest packet to.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct Role(u8);

impl Role {
    const TO_CLIENT: u8 = 1;
    const DNAT: u8 = 2;
    const ASKED_NODE: u8 = 4;

    /// The role of an entry at the beginning of its flow, which is with a question to the VIP.
    #[inline(always)]
    pub const fn new(direction: Direction, treatment: Treatment) -> Self {
        let to_client = direction.0 * Self::TO_CLIENT;
        let dnat = match treatment {
            Treatment::Snat => 0,
            Treatment::Dnat => Self::DNAT,
        };
        Self(to_client | dnat)
    }

    /// Which way.
    #[inline(always)]
    pub const fn direction(self) -> Direction {
        Direction(self.0 & Self::TO_CLIENT)
    }

    /// True where the node sees the client itself.
    #[inline(always)]
    pub const fn is_dnat(self) -> bool {
        self.0 & Self::DNAT != 0
    }

    /// What the client asked last.
    #[inline(always)]
    pub const fn asked(self) -> Asked {
        if self.0 & Self::ASKED_NODE == 0 {
            Asked::Vip
        } else {
            Asked::Node
        }
    }

    /// The same role after the client has asked that.
    #[must_use]
    #[inline(always)]
    pub const fn with_asked(self, asked: Asked) -> Self {
        match asked {
            Asked::Vip => Self(self.0 & !Self::ASKED_NODE),
            Asked::Node => Self(self.0 | Self::ASKED_NODE),
        }
    }
}

/// When a flow was opened. Until it is confirmed the answers' entry says instead in whose turn that was
/// ([`crate::turn`]).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct Opened(u32);

impl Opened {
    /// No monotonic clock gets there: 68 years.
    const IN_TURN: u32 = 1 << 31;

    /// What the answers' entry says of a flow that somebody is about to remove: a turn that there is not.
    pub const ENDING: Self = Self(u32::MAX);

    /// At this second of the monotonic clock.
    #[inline(always)]
    pub const fn at(second: u32) -> Self {
        Self(second & !Self::IN_TURN)
    }

    /// In the turn with this number, far below 2^31.
    #[inline(always)]
    pub const fn in_turn(number: u32) -> Self {
        Self(number | Self::IN_TURN)
    }

    /// The number of the turn of a flow that is not confirmed.
    #[inline(always)]
    pub const fn turn(self) -> Option<u32> {
        if self.0 & Self::IN_TURN == 0 {
            None
        } else {
            Some(self.0 & !Self::IN_TURN)
        }
    }

    /// The word as it lies in memory.
    #[inline(always)]
    pub const fn word(self) -> u32 {
        self.0
    }

    /// The second; of no use where there is a turn.
    #[inline(always)]
    pub const fn second(self) -> u32 {
        self.0
    }
}

/// One direction of a flow. A flow is two of these, each under the key of its own packets.
///
/// 48 bytes: with its key it fills one cache line of the flow table ([`FlowCell`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FlowEntry {
    /// What to write.
    pub rewrite: Rewrite,
    /// [`crate::next_hop::NextHop::generation`] at the time of the look-up of `next_hop`.
    pub generation: u32,
    /// Cell of the adjacency array; 0 until the first packet has looked it up.
    pub next_hop: u16,
    /// [`crate::service::node_cell`] of the node and its service.
    pub node_cell: u16,
    /// Index of the pool that the SNAT port came from, [`crate::service::NO_POOL`] without one.
    pub snat_pool: u16,
    /// Which way, and how.
    pub role: Role,
    /// How far this direction has come.
    pub state: FlowState,
    /// Second of the monotonic clock of the latest packet, to a tick.
    pub last_seen: u32,
    /// When the first packet came.
    pub opened: Opened,
    /// Packets in this direction; stays at its largest value.
    pub packets: u32,
    /// Bytes in this direction (IP total length).
    pub bytes: u64,
}

/// A cell of the flow table: one direction of a flow with its key, in one cache line.
///
/// The cells of a flow are neighbours: that of the client's packets has the even number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FlowCell {
    /// Key of the packets; vacant where there is no flow.
    pub key: FlowKey,
    /// The direction.
    pub entry: FlowEntry,
}

const _: () = assert!(size_of::<FlowCell>() == 64);
