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

mod network;
mod pool;

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddrV4},
};

use clap::ValueEnum;

use self::network::{EXTERNAL, INTERNAL};
pub use self::{
    network::{Network, Networks},
    pool::{NODES, Node, vip},
};

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

    /// Whom the nodes ask on this side: a federation partner, or a front end.
    pub const fn partner(self) -> Ipv4Addr {
        let [a, b, c, _] = self.networks().askers.address.octets();
        Ipv4Addr::new(a, b, c, 1 + ASKERS)
    }
}

/// Number of addresses that ask, on each side.
pub const ASKERS: u8 = 250;

/// The media server of the federation partner, on the external side.
pub const PARTNER_AV: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 252);

/// A host: a network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// The Internet: every client, and the servers that nodes ask.
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

/// A port at an address.
pub const fn at(address: Ipv4Addr, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(address, port)
}

/// Between the clients and their router.
pub const UPLINK: Network = Network::new([192, 0, 2, 4], 30);
/// The router's end of the uplink.
pub const UPLINK_ROUTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 5);
/// The clients' end of the uplink.
pub const UPLINK_CLIENTS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 6);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_used_once() {
        let mut addresses: Vec<Ipv4Addr> = vip::ALL.into();
        for side in Side::ALL {
            addresses.extend(NODES.iter().flat_map(|node| node.addresses(side)));
            let networks = side.networks();
            addresses.extend([networks.router, networks.balancer]);
            addresses.extend([networks.transit_router, networks.transit_balancer]);
        }
        addresses.extend([UPLINK_ROUTER, UPLINK_CLIENTS, PARTNER_AV]);
        addresses.extend(Side::ALL.map(Side::partner));
        let count = addresses.len();
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(addresses.len(), count);
    }
}
