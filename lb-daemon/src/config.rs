//! The configuration file: from text to a [`Config`] that has no wrong values.
//!
//! Everything wrong with a file is told at once, each with line, key, value and what would be right.

mod address;
mod balancing;
mod check;
mod document;
mod error;
mod health;
mod parse;
pub mod paths;
mod policy;
mod warn;

use std::{
    fs,
    net::{Ipv4Addr, SocketAddrV4},
    ops::RangeInclusive,
    path::Path,
    time::Duration,
};

use lb_common::{
    net::{Protocol, Zone},
    service::{FIRST_OWN_PORT, Treatment},
};

pub use self::{
    balancing::{Affinity, Balancing, BalancingConfig},
    error::{Error, Problem, Warning},
    health::{Check, Health, ServiceHealth, Settings, Tls},
    policy::{Allowed, MAX_ALLOWED, Policy, PolicyMode, WithoutFlow},
};
use ipnet::Ipv4Net;

/// A valid configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `[pool]`.
    pub pool: Pool,
    /// `[interfaces]`.
    pub interfaces: Interfaces,
    /// `[vips]`.
    pub vips: Roles,
    /// `[[nodes]]`.
    pub nodes: Vec<Node>,
    /// `[[services]]`.
    pub services: Vec<Service>,
    /// `[policy]`.
    pub policy: Policy,
    /// `[timeouts]`.
    pub timeouts: Timeouts,
    /// `[limits]`.
    pub limits: Limits,
    /// `[balancing]`.
    pub balancing: BalancingConfig,
    /// `[health]`.
    pub health: Health,
}

/// `[pool]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Name of the pool, for people.
    pub name: String,
    /// Whether the pool speaks XMPP (5269): gone in Skype for Business Server 2019.
    pub xmpp: bool,
    /// Whether VIPs on one side only are wanted, against H15.
    pub one_side: bool,
    /// The organisation's networks, to which the nodes have static routes (H10).
    pub internal_networks: Vec<Ipv4Net>,
}

/// `[interfaces]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interfaces {
    /// Towards the Internet; at least one.
    pub external: Vec<String>,
    /// Towards the organisation.
    pub internal: Vec<String>,
    /// Whether edgelb assigns the VIPs to the interfaces itself.
    pub manage_addresses: bool,
}

/// An address for each role of an Edge Server, of the pool (VIPs) or of one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// Access (SIP, XMPP).
    pub access: Option<Ipv4Addr>,
    /// Web Conferencing.
    pub webconf: Option<Ipv4Addr>,
    /// A/V.
    pub av: Option<Ipv4Addr>,
    /// The internal side.
    pub internal: Option<Ipv4Addr>,
}

/// A role of an Edge Server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Access (SIP, XMPP).
    Access,
    /// Web Conferencing.
    Webconf,
    /// A/V.
    Av,
    /// The internal side.
    Internal,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Access, Self::Webconf, Self::Av, Self::Internal];

    /// The key in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Webconf => "webconf",
            Self::Av => "av",
            Self::Internal => "internal",
        }
    }

    /// The side that the role is on.
    pub const fn zone(self) -> Zone {
        match self {
            Self::Access | Self::Webconf | Self::Av => Zone::External,
            Self::Internal => Zone::Internal,
        }
    }
}

impl Roles {
    /// The address of a role.
    pub const fn get(&self, role: Role) -> Option<Ipv4Addr> {
        match role {
            Role::Access => self.access,
            Role::Webconf => self.webconf,
            Role::Av => self.av,
            Role::Internal => self.internal,
        }
    }
}

/// One of `[[nodes]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Name of the node, for people.
    pub name: String,
    /// Its addresses: one for each VIP.
    pub addresses: Roles,
    /// Share of new flows relative to the other nodes.
    pub weight: u16,
}

/// One of `[[services]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Name of the service, for people.
    pub name: String,
    /// What clients ask.
    pub listen: SocketAddrV4,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Where the clients are.
    pub zone: Zone,
    /// What happens to the addresses.
    pub treatment: Treatment,
    /// Who answers.
    pub nodes: Vec<ServiceNode>,
}

/// A node of one of `[[services]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceNode {
    /// Name of the node, for people.
    pub name: String,
    /// Where it is asked.
    pub address: SocketAddrV4,
    /// Share of new flows relative to the other nodes.
    pub weight: u16,
}

/// `[timeouts]`: how long a flow may be idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP in use. SIP keeps connections quiet for 30 minutes.
    pub tcp_established: Duration,
    /// TCP before the handshake is complete.
    pub tcp_half_open: Duration,
    /// TCP after a FIN or RST.
    pub tcp_closing: Duration,
    /// UDP.
    pub udp: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            tcp_established: Duration::from_hours(1),
            tcp_half_open: Duration::from_secs(30),
            tcp_closing: Duration::from_secs(30),
            udp: Duration::from_mins(2),
        }
    }
}

/// `[limits]`: how large the tables are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Flows in use at a time (256 bytes of kernel memory each, allocated at start).
    pub max_flows: u32,
    /// Flows that are not confirmed yet; beyond that the oldest are forgotten.
    pub max_half_open: u32,
    /// Source ports towards one node address and port.
    pub snat_ports: RangeInclusive<u16>,
    /// RSTs and ICMP errors that each CPU sends in a second.
    pub answers_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_flows: 262_144,
            max_half_open: 65_536,
            snat_ports: 1024..=FIRST_OWN_PORT - 1,
            answers_per_second: 10_000,
        }
    }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// That it cannot be read, or everything that is wrong with it.
    pub fn load(path: &Path) -> Result<Self, Error> {
        Self::load_with_warnings(path).map(|(config, _)| config)
    }

    /// Reads a file, and says what is doubtful about it.
    ///
    /// # Errors
    ///
    /// That it cannot be read, or everything that is wrong with it.
    pub fn load_with_warnings(path: &Path) -> Result<(Self, Vec<Warning>), Error> {
        let text = fs::read_to_string(path).map_err(|source| Error::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse_with_warnings(&text).map_err(|problems| Error::Invalid {
            path: path.to_owned(),
            problems,
        })
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, in the order of the lines.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        Self::parse_with_warnings(text).map(|(config, _)| config)
    }

    /// Reads the text of a file, and says what is doubtful about it, in the order of the lines.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, in the order of the lines.
    pub fn parse_with_warnings(text: &str) -> Result<(Self, Vec<Warning>), Vec<Problem>> {
        let mut problems = Vec::new();
        let located = parse::parse(text, &mut problems);
        if let (Some(located), true) = (located, problems.is_empty()) {
            check::check(&located, &mut problems);
            if problems.is_empty() {
                let mut warnings = warn::warnings(&located);
                warnings.sort_by_key(|warning| warning.line);
                return Ok((located.config, warnings));
            }
        }
        problems.sort_by_key(|problem| problem.line);
        Err(problems)
    }
}

#[cfg(test)]
mod tests;
