//! Who is where in the lab: every host, network and address, in one place.
//!
//! ```text
//! clients ─ router ─┬─ edgelb ─┬─ edge1, edge2      two arms: clients and nodes behind different
//!                   │  ext0    │  ext1              interfaces of edgelb
//! clients ─ router ─┴─ edgelb, edge1, edge2         one arm: all on one segment, edgelb by ext0
//! ```
//!
//! The internal side is the mirror image, with the front end (and the networks of the organisation) in
//! the place of the clients and their router, and `int0` and `int1`.

use std::{fmt, net::Ipv4Addr};

use clap::ValueEnum;

/// How edgelb is placed between clients and nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Arrangement {
    /// Clients behind one interface, nodes behind another: edgelb redirects.
    TwoArm,
    /// Clients and nodes behind the same interface: edgelb sends back where it received.
    OneArm,
}

impl Arrangement {
    /// Both.
    pub const ALL: [Self; 2] = [Self::TwoArm, Self::OneArm];

    /// edgelb's interfaces on one side; the first holds the VIPs.
    pub const fn interfaces(self, side: Side) -> &'static [&'static str] {
        match (self, side) {
            (Self::TwoArm, Side::External) => &["ext0", "ext1"],
            (Self::OneArm, Side::External) => &["ext0"],
            (Self::TwoArm, Side::Internal) => &["int0", "int1"],
            (Self::OneArm, Side::Internal) => &["int0"],
        }
    }
}

impl fmt::Display for Arrangement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TwoArm => "two-arm",
            Self::OneArm => "one-arm",
        })
    }
}

/// A side of the pool. Nothing crosses from one to the other (H13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Towards the Internet.
    External,
    /// Towards the organisation.
    Internal,
}

impl Side {
    /// Both.
    pub const ALL: [Self; 2] = [Self::External, Self::Internal];

    /// Who asks the VIPs of this side.
    pub const fn asker(self) -> Host {
        match self {
            Self::External => Host::Clients,
            Self::Internal => Host::FrontEnd,
        }
    }

    /// Who stands between the askers and edgelb.
    pub const fn router(self) -> Host {
        match self {
            Self::External => Host::Router,
            Self::Internal => Host::FrontEnd,
        }
    }

    /// The interface of nodes and routers on this side.
    pub const fn interface(self) -> &'static str {
        match self {
            Self::External => "ext",
            Self::Internal => "int",
        }
    }

    /// The networks of this side.
    pub const fn networks(self) -> &'static Networks {
        match self {
            Self::External => &EXTERNAL,
            Self::Internal => &INTERNAL,
        }
    }

    /// The address of an asker; there are [`ASKERS`] of them.
    pub const fn asker_address(self, number: u8) -> Ipv4Addr {
        assert!(number < ASKERS, "there are no more askers");
        let [a, b, c, _] = self.networks().askers.address.octets();
        Ipv4Addr::new(a, b, c, 1 + number)
    }
}

/// Number of addresses that ask, on each side.
pub const ASKERS: u8 = 250;

/// A host: a network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// The Internet: every client, and later the servers that nodes ask.
    Clients,
    /// The external router and firewall.
    Router,
    /// Where edgelb runs.
    Balancer,
    /// A node: index into [`NODES`].
    Edge(usize),
    /// The organisation: front ends, and the router before them.
    FrontEnd,
    /// The Ethernet switches: one bridge for each segment.
    Switch,
}

impl Host {
    /// Every host.
    pub const ALL: [Self; 7] = [
        Self::Clients,
        Self::Router,
        Self::Balancer,
        Self::Edge(0),
        Self::Edge(1),
        Self::FrontEnd,
        Self::Switch,
    ];

    /// Its name, which ends the name of its namespace.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clients => "clients",
            Self::Router => "router",
            Self::Balancer => "edgelb",
            Self::Edge(number) => NODES[number].name,
            Self::FrontEnd => "frontend",
            Self::Switch => "switch",
        }
    }

    /// What it is, for people.
    pub const fn role(self) -> &'static str {
        match self {
            Self::Clients => "the Internet: any address of 198.51.100.0/24 can be used",
            Self::Router => "the external router and firewall",
            Self::Balancer => "the load balancer",
            Self::Edge(_) => "an Edge node, with real nginx",
            Self::FrontEnd => "the organisation: any address of 10.30.0.0/24 can be used",
            Self::Switch => "the Ethernet switches",
        }
    }
}

/// A network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its address.
    pub address: Ipv4Addr,
    /// Length of its prefix.
    pub prefix: u8,
}

impl Network {
    const fn new(address: [u8; 4], prefix: u8) -> Self {
        let [a, b, c, d] = address;
        Self {
            address: Ipv4Addr::new(a, b, c, d),
            prefix,
        }
    }

    /// Whether an address is in it.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        let differing = self.address.to_bits() ^ address.to_bits();
        differing
            .checked_shr(32 - u32::from(self.prefix))
            .unwrap_or(0)
            == 0
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// The networks of one side.
#[derive(Debug)]
pub struct Networks {
    /// Where the askers are, behind the router.
    pub askers: Network,
    /// Everything that nodes reach through edgelb on this side.
    pub beyond: Network,
    /// The nodes' segment. With one arm, router and edgelb are on it too.
    pub nodes: Network,
    /// The router on the nodes' segment (one arm).
    pub router: Ipv4Addr,
    /// edgelb's own address on the nodes' segment.
    pub balancer: Ipv4Addr,
    /// The VIP that the nodes' routes lead to.
    pub gateway: Ipv4Addr,
    /// Between router and edgelb (two arms).
    pub transit: Network,
    /// The router's end of it.
    pub transit_router: Ipv4Addr,
    /// edgelb's end of it.
    pub transit_balancer: Ipv4Addr,
}

const EXTERNAL: Networks = Networks {
    askers: Network::new([198, 51, 100, 0], 24),
    beyond: Network::new([0, 0, 0, 0], 0),
    nodes: Network::new([203, 0, 113, 0], 24),
    router: Ipv4Addr::new(203, 0, 113, 1),
    balancer: Ipv4Addr::new(203, 0, 113, 2),
    // H11.
    gateway: vip::ACCESS,
    transit: Network::new([192, 0, 2, 0], 30),
    transit_router: Ipv4Addr::new(192, 0, 2, 1),
    transit_balancer: Ipv4Addr::new(192, 0, 2, 2),
};

const INTERNAL: Networks = Networks {
    askers: Network::new([10, 30, 0, 0], 24),
    beyond: Network::new([10, 30, 0, 0], 16),
    nodes: Network::new([10, 20, 0, 0], 24),
    router: Ipv4Addr::new(10, 20, 0, 1),
    balancer: Ipv4Addr::new(10, 20, 0, 2),
    // H10.
    gateway: vip::INTERNAL,
    transit: Network::new([10, 20, 1, 0], 30),
    transit_router: Ipv4Addr::new(10, 20, 1, 1),
    transit_balancer: Ipv4Addr::new(10, 20, 1, 2),
};

/// Between the clients and their router.
pub const UPLINK: Network = Network::new([192, 0, 2, 4], 30);
/// The router's end of the uplink.
pub const UPLINK_ROUTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 5);
/// The clients' end of the uplink.
pub const UPLINK_CLIENTS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 6);

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_its_addresses() {
        let Networks { askers, beyond, .. } = Side::External.networks();
        assert!(askers.contains(Side::External.asker_address(0)));
        assert!(askers.contains(Side::External.asker_address(ASKERS - 1)));
        assert!(!askers.contains(vip::ACCESS));
        assert!(beyond.contains(vip::INTERNAL));
    }

    #[test]
    fn every_address_is_used_once() {
        let mut addresses: Vec<Ipv4Addr> = vip::ALL.into();
        for side in Side::ALL {
            addresses.extend(NODES.iter().flat_map(|node| node.addresses(side)));
            let networks = side.networks();
            addresses.extend([networks.router, networks.balancer]);
            addresses.extend([networks.transit_router, networks.transit_balancer]);
        }
        addresses.extend([UPLINK_ROUTER, UPLINK_CLIENTS]);
        let count = addresses.len();
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(addresses.len(), count);
    }
}
