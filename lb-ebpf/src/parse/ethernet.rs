//! Ethernet II.

use lb_common::{drop_reason::DropReason, interface::Interface, net::Mac};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::frame::{Frame, Header};

/// An Ethernet header without a VLAN tag.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Ethernet {
    /// To whom.
    pub destination: Mac,
    /// From whom.
    pub source: Mac,
    /// What follows, in wire order.
    pub ether_type: u16,
}

impl Header for Ethernet {}

/// The two addresses of an Ethernet header, the destination first.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Addresses(pub [u32; 3]);

impl Header for Addresses {}

/// Bytes of the header.
pub const LENGTH: usize = size_of::<Ethernet>();

const ETHER_TYPE_IPV4: u16 = 0x0800_u16.to_be();

/// True for an IPv4 packet that was sent to `interface` itself. All else belongs to the kernel: ARP,
/// multicast (VRRP, routing protocols), tagged frames, and what a switch floods to us although it is
/// for somebody else, which must not be balanced a second time.
#[inline(always)]
pub fn is_ipv4_for(frame: &mut impl Frame, interface: &Interface) -> Result<bool, DropReason> {
    frame
        .header(0, |ethernet: &mut Ethernet| {
            ethernet.ether_type == ETHER_TYPE_IPV4 && ethernet.destination == interface.mac
        })
        .ok_or(DropReason::EthernetTruncated)
}
