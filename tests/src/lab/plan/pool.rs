//! The Edge pool: its VIPs and nodes.

use std::net::Ipv4Addr;

use super::Side;

/// The VIPs.
pub mod vip {
    use std::net::Ipv4Addr;

    /// Access.
    pub const ACCESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
    /// Web Conferencing.
    pub const WEBCONF: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 20);
    /// A/V.
    pub const AV: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 30);
    /// Internal.
    pub const INTERNAL: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 10);
    /// All of them.
    pub const ALL: [Ipv4Addr; 4] = [ACCESS, WEBCONF, AV, INTERNAL];
}

/// An Edge node.
#[derive(Debug)]
pub struct Node {
    /// Its name.
    pub name: &'static str,
    /// Its Access address.
    pub access: Ipv4Addr,
    /// Its Web Conferencing address.
    pub webconf: Ipv4Addr,
    /// Its A/V address.
    pub av: Ipv4Addr,
    /// Its internal address.
    pub internal: Ipv4Addr,
}

impl Node {
    /// Its addresses on one side.
    pub fn addresses(&self, side: Side) -> Vec<Ipv4Addr> {
        match side {
            Side::External => vec![self.access, self.webconf, self.av],
            Side::Internal => vec![self.internal],
        }
    }

    /// Its address behind a VIP.
    pub fn behind(&self, vip: Ipv4Addr) -> Option<Ipv4Addr> {
        match vip {
            vip::ACCESS => Some(self.access),
            vip::WEBCONF => Some(self.webconf),
            vip::AV => Some(self.av),
            vip::INTERNAL => Some(self.internal),
            _ => None,
        }
    }
}

/// The nodes of the pool.
pub const NODES: [Node; 2] = [
    Node {
        name: "edge1",
        access: Ipv4Addr::new(203, 0, 113, 11),
        webconf: Ipv4Addr::new(203, 0, 113, 21),
        av: Ipv4Addr::new(203, 0, 113, 31),
        internal: Ipv4Addr::new(10, 20, 0, 11),
    },
    Node {
        name: "edge2",
        access: Ipv4Addr::new(203, 0, 113, 12),
        webconf: Ipv4Addr::new(203, 0, 113, 22),
        av: Ipv4Addr::new(203, 0, 113, 32),
        internal: Ipv4Addr::new(10, 20, 0, 12),
    },
];
