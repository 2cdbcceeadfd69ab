//! What the data path knows of a packet once it is parsed.

use lb_common::{flow::FlowKey, net::Zone, transaction::TransactionId};

/// Flags of a TCP header (RFC 9293, section 3.1), the byte as it is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronize sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// The acknowledgment number is significant.
    pub const ACK: Self = Self(0x10);
    /// The flags that say anything about where a connection begins and ends.
    pub const LIFECYCLE: Self = Self(Self::FIN.0 | Self::SYN.0 | Self::RST.0);

    /// True when at least one flag of `other` is set.
    #[inline(always)]
    pub const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// True for the packet that opens a connection: SYN and nothing that contradicts it.
    #[inline(always)]
    pub const fn opens(self) -> bool {
        self.0 & (Self::LIFECYCLE.0 | Self::ACK.0) == Self::SYN.0
    }
}

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Transport {
    /// A whole TCP header.
    #[default]
    Tcp,
    /// A whole UDP header.
    Udp,
    /// An ICMP message about another packet. The key is that of the packets which answer the other one:
    /// they go where this message goes, through the same flow.
    IcmpError,
    /// Any other protocol; the ports of the key are 0.
    Other,
    /// A fragment but the first of a larger packet; the ports of the key are 0. The first one is
    /// [`Transport::Tcp`] or [`Transport::Udp`].
    Fragment,
}

/// What the data path needs of a TCP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Tcp {
    /// Flags.
    pub flags: TcpFlags,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgment number.
    pub acknowledgment: u32,
}

/// What a UDP datagram is to STUN and TURN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum StunKind {
    /// Nothing that is answered, and no answer: data, or an indication.
    #[default]
    None,
    /// A request.
    Request,
    /// A success or error response.
    Answer,
}

/// What the data path needs of a STUN header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Stun {
    /// Request or answer.
    pub kind: StunKind,
    /// Transaction id.
    pub id: TransactionId,
}

/// A well-formed IPv4 packet that was sent to this machine's Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Packet {
    /// Addresses and ports as they are on the wire.
    pub key: FlowKey,
    /// Where it came in.
    pub zone: Zone,
    /// Protocol header.
    pub transport: Transport,
    /// More of the TCP header; of other protocols only the flags mean anything, and there are none: a part that
    /// is not written costs nothing. Not a part of [`Transport::Tcp`]: the compiler
    /// fills the place of a missing part with whatever is at hand, and the verifier lets no pointer go
    /// there.
    pub tcp: Tcp,
    /// The STUN header in a UDP datagram, if there is one.
    pub stun: Stun,
    /// Where the protocol header starts in the frame (bytes).
    ///
    /// At most 74, and a byte, so that the verifier can bound it after it has been spilled.
    pub transport_at: u8,
    /// In an ICMP error, where the ports of the other packet stand in the frame (bytes); 0 where the
    /// message has none. At most 142, and a byte for the same reason.
    pub quoted_at: u8,
    /// True for the first of several fragments.
    pub is_first_fragment: bool,
    /// Identification of the IP packet, in wire order.
    pub identification: u16,
    /// Length of the IP packet (bytes).
    pub length: u16,
    /// Time to live on arrival.
    pub ttl: u8,
}
