//! Addresses and ports as they are on the wire.
//!
//! The types keep network byte order inside, so that the data path compares and copies them without
//! a conversion, and so that a bare integer can never be mistaken for one.

use core::{
    fmt,
    net::{Ipv4Addr, SocketAddrV4},
};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// An IPv4 address in network byte order.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct Ip4(u32);

impl Ip4 {
    /// `0.0.0.0`.
    pub const UNSPECIFIED: Self = Self(0);

    /// The four bytes in the order in which they are sent.
    #[inline(always)]
    pub const fn octets(self) -> [u8; 4] {
        self.0.to_ne_bytes()
    }

    /// The address from its four bytes in the order in which they are sent.
    #[inline(always)]
    pub const fn from_octets(octets: [u8; 4]) -> Self {
        Self(u32::from_ne_bytes(octets))
    }

    /// The memory representation, for checksums and hashes only.
    #[inline(always)]
    pub const fn wire(self) -> u32 {
        self.0
    }

    /// The address from its memory representation, as a kernel structure holds it (`__be32`).
    #[inline(always)]
    pub const fn from_wire(wire: u32) -> Self {
        Self(wire)
    }

    /// True for an address that no packet may come from: 0/8, 127/8, 224/4 and 240/4, which takes
    /// in the limited broadcast address (RFC 1812, section 5.3.7).
    #[inline(always)]
    pub const fn is_never_a_source(self) -> bool {
        let first = self.octets()[0];
        first == 0 || first == 127 || first >= 224
    }
}

impl From<Ipv4Addr> for Ip4 {
    fn from(address: Ipv4Addr) -> Self {
        Self::from_octets(address.octets())
    }
}

impl From<Ip4> for Ipv4Addr {
    fn from(address: Ip4) -> Self {
        Self::from(address.octets())
    }
}

impl fmt::Debug for Ip4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Ipv4Addr::from(*self), f)
    }
}

/// A TCP or UDP port in network byte order.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct Port(u16);

impl Port {
    /// The port with this number.
    #[inline(always)]
    pub const fn new(number: u16) -> Self {
        Self(number.to_be())
    }

    /// The number of the port.
    #[inline(always)]
    pub const fn number(self) -> u16 {
        u16::from_be(self.0)
    }

    /// The memory representation, for checksums and hashes only.
    #[inline(always)]
    pub const fn wire(self) -> u16 {
        self.0
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.number(), f)
    }
}

/// Address and port, for people.
pub fn socket_address(address: Ip4, port: Port) -> SocketAddrV4 {
    SocketAddrV4::new(address.into(), port.number())
}

/// An Ethernet address.
///
/// Three halves of a word, because a copy of six single bytes becomes a call to `memmove`, which BPF
/// does not have.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct Mac([u16; 3]);

impl Mac {
    /// The address from its six bytes in the order in which they are sent.
    #[inline(always)]
    pub const fn new(octets: [u8; 6]) -> Self {
        let [a, b, c, d, e, f] = octets;
        Self([
            u16::from_ne_bytes([a, b]),
            u16::from_ne_bytes([c, d]),
            u16::from_ne_bytes([e, f]),
        ])
    }

    /// The six bytes in the order in which they are sent.
    #[inline(always)]
    pub const fn octets(self) -> [u8; 6] {
        let [[a, b], [c, d], [e, f]] = [
            self.0[0].to_ne_bytes(),
            self.0[1].to_ne_bytes(),
            self.0[2].to_ne_bytes(),
        ];
        [a, b, c, d, e, f]
    }

    /// True for broadcast and multicast, which are for the kernel (ARP, VRRP, routing protocols).
    #[inline(always)]
    pub const fn is_group(self) -> bool {
        self.0[0].to_ne_bytes()[0] & 1 == 1
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.octets();
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The transport protocols that are balanced, by their number in the IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Protocol {
    /// RFC 9293.
    Tcp = 6,
    /// RFC 768.
    Udp = 17,
}

impl Protocol {
    /// `tcp` or `udp`, as in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// The side of the Edge pool that an interface is on (H13: nothing is forwarded between the two).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
#[repr(u8)]
pub enum Zone {
    /// Towards the Internet.
    #[default]
    External = 0,
    /// Towards the organisation.
    Internal = 1,
}

impl Zone {
    /// `external` or `internal`, as in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::External => "external",
            Self::Internal => "internal",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_wire_order() {
        let address = Ip4::from(Ipv4Addr::new(203, 0, 113, 10));
        assert_eq!(address.octets(), [203, 0, 113, 10]);
        assert_eq!(zerocopy::IntoBytes::as_bytes(&address), [203, 0, 113, 10]);
        assert_eq!(Ipv4Addr::from(address), Ipv4Addr::new(203, 0, 113, 10));
    }

    #[test]
    fn a_port_keeps_wire_order() {
        let port = Port::new(5061);
        assert_eq!(zerocopy::IntoBytes::as_bytes(&port), 5061_u16.to_be_bytes());
        assert_eq!(port.number(), 5061);
    }

    #[test]
    fn a_mac_keeps_its_bytes() {
        let octets = [2, 3, 4, 5, 6, 7];
        assert_eq!(Mac::new(octets).octets(), octets);
        assert!(!Mac::new(octets).is_group());
        assert!(Mac::new([0xff; 6]).is_group());
        assert!(Mac::new([0x01, 0, 0x5e, 0, 0, 18]).is_group());
    }

    #[test]
    fn addresses_that_are_never_a_source() {
        for (text, never) in [
            ("0.0.0.0", true),
            ("127.0.0.1", true),
            ("224.0.0.5", true),
            ("255.255.255.255", true),
            ("203.0.113.1", false),
            ("10.0.0.1", false),
        ] {
            let address: Ipv4Addr = text.parse().unwrap_or(Ipv4Addr::UNSPECIFIED);
            assert_eq!(Ip4::from(address).is_never_a_source(), never, "{text}");
        }
    }
}
