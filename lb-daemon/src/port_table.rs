//! The four port tables of the requirements with a pool's own addresses, for the people who keep its
//! firewalls.
//!
//! What passes is read from the [`Plan`] that fills the maps; the rows add what people call it.

pub mod nft;
pub mod routes;
mod rows;

use std::{fmt, net::Ipv4Addr, ops::RangeInclusive};

use lb_common::{
    net::{Protocol, Zone},
    policy::RuleKind,
    service::Treatment,
};

pub use self::rows::{ALLOWED, ROWS};
use crate::{
    config::Role,
    plan::{Plan, PlannedNodeAddress, PlannedOutbound, PlannedRule, PlannedService},
};

/// A row of the requirements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its id.
    pub id: &'static str,
    /// The table it is in.
    pub table: Table,
    /// What speaks there.
    pub role: &'static str,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The port, or the ports.
    pub ports: RangeInclusive<u16>,
    /// Who opens.
    pub source: End,
    /// Who is asked.
    pub destination: End,
    /// What the load balancer does.
    pub path: Path,
    /// What for.
    pub purpose: &'static str,
}

/// A table of the requirements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// The nodes' external addresses.
    ExternalNode,
    /// The nodes' internal addresses.
    InternalNode,
    /// The external VIPs.
    ExternalVip,
    /// The internal VIP.
    InternalVip,
}

impl Table {
    /// Every table, in the order of the requirements.
    pub const ALL: [Self; 4] = [
        Self::ExternalNode,
        Self::InternalNode,
        Self::ExternalVip,
        Self::InternalVip,
    ];

    /// As in the requirements.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ExternalNode => "external-node",
            Self::InternalNode => "internal-node",
            Self::ExternalVip => "external-vip",
            Self::InternalVip => "internal-vip",
        }
    }

    /// For people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::ExternalNode => "External side, the nodes' own addresses",
            Self::InternalNode => "Internal side, the nodes' own addresses",
            Self::ExternalVip => "External side, VIPs",
            Self::InternalVip => "Internal side, VIP",
        }
    }

    /// Whose firewall it is for.
    pub const fn zone(self) -> Zone {
        match self {
            Self::ExternalNode | Self::ExternalVip => Zone::External,
            Self::InternalNode | Self::InternalVip => Zone::Internal,
        }
    }
}

/// An end of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Anybody.
    Any,
    /// A node's own address.
    Node(Role),
    /// A VIP.
    Vip(Role),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Node(role) => write!(f, "node.{}", role.name()),
            Self::Vip(role) => write!(f, "vip.{}", role.name()),
        }
    }
}

/// What the load balancer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Full NAT to a node.
    Balanced,
    /// To a node that sees the client.
    BalancedNoSnat,
    /// From a node, as the VIP.
    VipOut,
    /// To a node's own address.
    NodeIn,
    /// From a node's own address.
    NodeOut,
}

impl Path {
    /// As in the requirements.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Balanced => "balanced",
            Self::BalancedNoSnat => "balanced-no-snat",
            Self::VipOut => "vip-out",
            Self::NodeIn => "node-in",
            Self::NodeOut => "node-out",
        }
    }
}

/// A row for one node or one VIP, as a firewall beyond the load balancer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The row.
    pub row: &'static Row,
    /// Name of the node, none for a VIP.
    pub node: Option<String>,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Who opens; anybody where there is none.
    pub source: Option<Ipv4Addr>,
    /// From where; any port where there is none.
    pub source_ports: Option<RangeInclusive<u16>>,
    /// Who is asked; anybody where there is none.
    pub destination: Option<Ipv4Addr>,
    /// For what; any port where there is none.
    pub destination_ports: Option<RangeInclusive<u16>>,
    /// What changes at the load balancer.
    pub nat: Nat,
}

/// What the load balancer changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nat {
    /// Nothing: routed.
    None,
    /// Destination and source: the node sees the VIP.
    Full(Ipv4Addr),
    /// The destination: the node sees the client.
    Destination,
    /// The source: the far side sees the VIP.
    Source(Ipv4Addr),
}

impl fmt::Display for Nat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Full(vip) => write!(f, "destination becomes a node, source becomes {vip}"),
            Self::Destination => f.write_str("destination becomes a node, source is kept"),
            Self::Source(vip) => write!(f, "source of a node becomes {vip}"),
        }
    }
}

/// The tables of a plan, in the order of the rows and, within a row, of the nodes.
pub fn lines(plan: &Plan) -> Vec<Line> {
    let allowed = ALLOWED.iter().flat_map(|row| allowed(plan, row));
    ROWS.iter()
        .flat_map(|row| of_row(plan, row))
        .chain(allowed)
        .collect()
}

fn of_row(plan: &Plan, row: &'static Row) -> Vec<Line> {
    let services = plan
        .services
        .iter()
        .filter(|service| service.row == Some(row.id))
        .map(|service| balanced(row, service));
    let outbound = plan
        .outbound
        .iter()
        .filter(|outbound| outbound.row == row.id)
        .map(|outbound| vip_out(row, outbound));
    services.chain(outbound).chain(routed(plan, row)).collect()
}

fn balanced(row: &'static Row, service: &PlannedService) -> Line {
    let vip = *service.listen.ip();
    Line {
        row,
        node: None,
        protocol: service.protocol,
        source: None,
        source_ports: None,
        destination: Some(vip),
        destination_ports: Some(one(service.listen.port())),
        nat: match service.treatment {
            Treatment::Snat => Nat::Full(vip),
            Treatment::Dnat => Nat::Destination,
        },
    }
}

fn vip_out(row: &'static Row, outbound: &PlannedOutbound) -> Line {
    Line {
        row,
        node: None,
        protocol: Protocol::Tcp,
        source: Some(outbound.vip),
        source_ports: None,
        destination: None,
        destination_ports: Some(one(outbound.port)),
        nat: Nat::Source(outbound.vip),
    }
}

fn routed(plan: &Plan, row: &'static Row) -> impl Iterator<Item = Line> {
    plan.node_addresses.iter().flat_map(move |node| {
        let rules = node.rules.iter().filter(|rule| rule.row == Some(row.id));
        rules.map(move |rule| by_rule(row, node, rule))
    })
}

/// The rules of `[[policy.allow]]` of one role and direction.
fn allowed(plan: &Plan, row: &'static Row) -> impl Iterator<Item = Line> {
    plan.node_addresses.iter().flat_map(move |node| {
        let end = End::Node(node.role);
        let rules = node.rules.iter().filter(move |rule| {
            let of_row = match rule.kind {
                RuleKind::ToNodePort => row.destination == end,
                RuleKind::FromNodePort | RuleKind::ToOtherPort => row.source == end,
            };
            rule.row.is_none() && of_row
        });
        rules.map(move |rule| by_rule(row, node, rule))
    })
}

fn by_rule(row: &'static Row, node: &PlannedNodeAddress, rule: &PlannedRule) -> Line {
    let (own, ports) = (Some(node.address), Some(rule.ports.clone()));
    let (source, source_ports, destination, destination_ports) = match rule.kind {
        RuleKind::ToNodePort => (None, None, own, ports),
        RuleKind::FromNodePort => (own, ports, None, None),
        RuleKind::ToOtherPort => (own, None, None, ports),
    };
    Line {
        row,
        node: Some(node.node.clone()),
        protocol: rule.protocol,
        source,
        source_ports,
        destination,
        destination_ports,
        nat: Nat::None,
    }
}

const fn one(port: u16) -> RangeInclusive<u16> {
    port..=port
}

/// An address as it is written in a table.
pub fn address_text(address: Option<Ipv4Addr>) -> String {
    address.map_or_else(|| "any".to_owned(), |address| address.to_string())
}

/// Ports as they are written in a table.
pub fn ports_text(ports: Option<&RangeInclusive<u16>>) -> String {
    match ports {
        None => "any".to_owned(),
        Some(ports) if ports.start() == ports.end() => ports.start().to_string(),
        Some(ports) => format!("{}-{}", ports.start(), ports.end()),
    }
}
