//! The plan: everything that the data path is to do, as it follows from a configuration (pure).

use std::net::{Ipv4Addr, SocketAddrV4};

use lb_common::{
    net::{Protocol, Zone},
    service::Treatment,
};

use crate::config::{Config, Role};
pub use crate::config::{Limits, Timeouts};

/// Everything that the data path is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Name of the pool.
    pub pool: String,
    /// The interfaces to attach to; the first of a zone holds its VIPs.
    pub interfaces: Vec<PlannedInterface>,
    /// Whether edgelb assigns the VIPs itself.
    pub manage_addresses: bool,
    /// The VIPs, each once.
    pub vips: Vec<PlannedVip>,
    /// The services; a service's index in the maps is its place here.
    pub services: Vec<PlannedService>,
    /// Idle times.
    pub timeouts: Timeouts,
    /// Sizes.
    pub limits: Limits,
}

/// An interface to attach to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedInterface {
    /// Kernel name.
    pub name: String,
    /// Its side.
    pub zone: Zone,
}

/// A VIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedVip {
    /// `access`, `webconf`, `av`, `internal`, or the name of the first service that listens there.
    pub name: String,
    /// The address.
    pub address: Ipv4Addr,
    /// Its side.
    pub zone: Zone,
}

/// A balanced service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedService {
    /// Stable name.
    pub name: String,
    /// Row of the requirements that asks for it, none for `[[services]]`.
    pub row: Option<&'static str>,
    /// What clients ask.
    pub listen: SocketAddrV4,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Where the clients and nodes are.
    pub zone: Zone,
    /// What happens to the addresses.
    pub treatment: Treatment,
    /// Who answers.
    pub nodes: Vec<PlannedNode>,
}

/// A node of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedNode {
    /// Name in the configuration.
    pub name: String,
    /// Where it is asked.
    pub address: SocketAddrV4,
    /// Share of new flows relative to the other nodes.
    pub weight: u16,
}

/// A service that every Edge pool has: row, role, protocol, port, treatment.
type EdgeService = (&'static str, Role, Protocol, u16, Treatment);

/// The rows of the requirements with the paths `balanced` and `balanced-no-snat`.
const EDGE_SERVICES: [EdgeService; 10] = [
    ("EV3", Role::Access, Protocol::Tcp, 443, Treatment::Snat),
    ("EV4", Role::Access, Protocol::Tcp, 5061, Treatment::Snat),
    ("EV1", Role::Access, Protocol::Tcp, XMPP, Treatment::Snat),
    ("EV6", Role::Webconf, Protocol::Tcp, 443, Treatment::Snat),
    ("EV7", Role::Av, Protocol::Udp, 3478, Treatment::Dnat),
    ("EV8", Role::Av, Protocol::Tcp, 443, Treatment::Dnat),
    ("IV1", Role::Internal, Protocol::Tcp, 5061, Treatment::Snat),
    ("IV3", Role::Internal, Protocol::Tcp, 5062, Treatment::Snat),
    ("IV4", Role::Internal, Protocol::Udp, 3478, Treatment::Dnat),
    ("IV5", Role::Internal, Protocol::Tcp, 443, Treatment::Dnat),
];

/// XMPP federation.
const XMPP: u16 = 5269;

impl Plan {
    /// The plan for a configuration.
    pub fn of(config: &Config) -> Self {
        let mut services = edge_services(config);
        services.extend(config.services.iter().map(|service| {
            PlannedService {
                name: service.name.clone(),
                row: None,
                listen: service.listen,
                protocol: service.protocol,
                zone: service.zone,
                treatment: service.treatment,
                nodes: service
                    .nodes
                    .iter()
                    .map(|node| PlannedNode {
                        name: node.name.clone(),
                        address: node.address,
                        weight: node.weight,
                    })
                    .collect(),
            }
        }));
        Self {
            pool: config.pool.name.clone(),
            interfaces: interfaces(config),
            manage_addresses: config.interfaces.manage_addresses,
            vips: vips(config, &services),
            services,
            timeouts: config.timeouts,
            limits: config.limits.clone(),
        }
    }
}

/// The services that follow from `[vips]` and `[[nodes]]`.
pub fn edge_services(config: &Config) -> Vec<PlannedService> {
    let mut services = Vec::new();
    for (row, role, protocol, port, treatment) in EDGE_SERVICES {
        let Some(vip) = config.vips.get(role) else {
            continue;
        };
        if port == XMPP && !config.pool.xmpp {
            continue;
        }
        services.push(PlannedService {
            name: format!("{}-{port}", role.name()),
            row: Some(row),
            listen: SocketAddrV4::new(vip, port),
            protocol,
            zone: role.zone(),
            treatment,
            nodes: config
                .nodes
                .iter()
                .filter_map(|node| {
                    Some(PlannedNode {
                        name: node.name.clone(),
                        address: SocketAddrV4::new(node.addresses.get(role)?, port),
                        weight: node.weight,
                    })
                })
                .collect(),
        });
    }
    services
}

fn interfaces(config: &Config) -> Vec<PlannedInterface> {
    let of = |names: &[String], zone| -> Vec<PlannedInterface> {
        names
            .iter()
            .map(|name| PlannedInterface {
                name: name.clone(),
                zone,
            })
            .collect()
    };
    let mut interfaces = of(&config.interfaces.external, Zone::External);
    interfaces.extend(of(&config.interfaces.internal, Zone::Internal));
    interfaces
}

fn vips(config: &Config, services: &[PlannedService]) -> Vec<PlannedVip> {
    let mut vips: Vec<PlannedVip> = Role::ALL
        .iter()
        .filter_map(|role| {
            Some(PlannedVip {
                name: role.name().to_owned(),
                address: config.vips.get(*role)?,
                zone: role.zone(),
            })
        })
        .collect();
    for service in services {
        if vips.iter().all(|vip| vip.address != *service.listen.ip()) {
            vips.push(PlannedVip {
                name: service.name.clone(),
                address: *service.listen.ip(),
                zone: service.zone,
            });
        }
    }
    vips
}
