//! The plan: everything that the data path is to do, as it follows from a configuration (pure).

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    ops::RangeInclusive,
};

use lb_common::{
    net::{Protocol, Zone},
    policy::RuleKind,
    service::Treatment,
};

use crate::config::{Affinity, Balancing, Config, Role};
pub use crate::config::{Health, Limits, PolicyMode, Timeouts, WithoutFlow};

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
    /// Connections of the nodes that leave from a VIP; their index in the maps goes on where that of the
    /// services ends.
    pub outbound: Vec<PlannedOutbound>,
    /// The nodes' own addresses, which are routed and never translated.
    pub node_addresses: Vec<PlannedNodeAddress>,
    /// Whether packets pass that no rule names.
    pub policy_mode: PolicyMode,
    /// What becomes of TCP packets without a flow.
    pub without_flow: WithoutFlow,
    /// Idle times.
    pub timeouts: Timeouts,
    /// Sizes.
    pub limits: Limits,
    /// How the nodes are checked.
    pub health: Health,
}

/// Connections of the nodes to one port outside, which leave from a VIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedOutbound {
    /// Stable name.
    pub name: String,
    /// Row of the requirements.
    pub row: &'static str,
    /// Where they leave from.
    pub vip: Ipv4Addr,
    /// The port outside (TCP).
    pub port: u16,
    /// The side.
    pub zone: Zone,
    /// Names and addresses of the nodes.
    pub nodes: Vec<(String, Ipv4Addr)>,
}

/// A node's own address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedNodeAddress {
    /// Name of the node.
    pub node: String,
    /// What the address is for.
    pub role: Role,
    /// The address.
    pub address: Ipv4Addr,
    /// What may pass to and from it.
    pub rules: Vec<PlannedRule>,
}

/// Ports that may pass to or from a node's own address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRule {
    /// Row of the requirements; none for `[[policy.allow]]`.
    pub row: Option<&'static str>,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Whose ports, and who opens.
    pub kind: RuleKind,
    /// The ports.
    pub ports: RangeInclusive<u16>,
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
    /// How a new flow finds its node.
    pub balancing: Balancing,
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

/// The rows of the requirements with the path `vip-out`: row, role, TCP port outside.
const VIP_OUT: [(&str, Role, u16); 4] = [
    ("EV2", Role::Access, XMPP),
    ("EV5", Role::Access, 5061),
    ("IV2", Role::Internal, 5061),
    ("IV6", Role::Internal, 443),
];

/// XMPP federation.
const XMPP: u16 = 5269;
/// The XMPP gateway's port on the inside.
const XMPP_GATEWAY: u16 = 23_456;

/// What may pass to and from a node's own address: row, role, protocol, kind, ports.
type NodeRule = (&'static str, Role, Protocol, RuleKind, RangeInclusive<u16>);

/// The rows of the requirements with the paths `node-in` and `node-out`.
const NODE_RULES: [NodeRule; 19] = {
    use Protocol::{Tcp, Udp};
    use Role::{Access, Av, Internal};
    use RuleKind::{FromNodePort, ToNodePort, ToOtherPort};
    [
        ("EN1", Access, Tcp, ToOtherPort, 80..=80),
        ("EN2", Access, Tcp, ToOtherPort, 53..=53),
        ("EN3", Access, Udp, ToOtherPort, 53..=53),
        ("EN4", Av, Tcp, FromNodePort, 50_000..=59_999),
        ("EN5", Av, Udp, FromNodePort, 50_000..=59_999),
        ("EN6", Av, Tcp, ToNodePort, 50_000..=59_999),
        ("EN7", Av, Udp, ToNodePort, 50_000..=59_999),
        ("EN8", Av, Udp, ToOtherPort, 3478..=3478),
        ("EN9", Av, Udp, ToNodePort, 3478..=3478),
        ("EN10", Av, Tcp, ToNodePort, 443..=443),
        ("EN11", Av, Tcp, ToOtherPort, 443..=443),
        (
            "IN1",
            Internal,
            Tcp,
            ToNodePort,
            XMPP_GATEWAY..=XMPP_GATEWAY,
        ),
        ("IN2", Internal, Tcp, ToNodePort, 4443..=4443),
        ("IN3", Internal, Tcp, ToNodePort, 8057..=8057),
        ("IN4", Internal, Udp, ToNodePort, 3478..=3478),
        ("IN5", Internal, Tcp, ToNodePort, 443..=443),
        ("IN6", Internal, Tcp, ToNodePort, 50_001..=50_001),
        ("IN7", Internal, Tcp, ToNodePort, 50_002..=50_002),
        ("IN8", Internal, Tcp, ToNodePort, 50_003..=50_003),
    ]
};

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
                balancing: config.balancing.of(&service.name, Affinity::None),
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
            outbound: outbound(config),
            node_addresses: node_addresses(config),
            services,
            policy_mode: config.policy.mode,
            without_flow: config.policy.without_flow,
            timeouts: config.timeouts,
            limits: config.limits.clone(),
            health: config.health.clone(),
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
        let name = format!("{}-{port}", role.name());
        // A client's UDP and its TCP reach the same A/V edge.
        let affinity = match treatment {
            Treatment::Snat => Affinity::None,
            Treatment::Dnat => Affinity::SourceIp,
        };
        services.push(PlannedService {
            balancing: config.balancing.of(&name, affinity),
            name,
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

fn outbound(config: &Config) -> Vec<PlannedOutbound> {
    VIP_OUT
        .iter()
        .filter(|(_, _, port)| config.pool.xmpp || *port != XMPP)
        .filter_map(|(row, role, port)| {
            Some(PlannedOutbound {
                name: format!("{}-out-{port}", role.name()),
                row,
                vip: config.vips.get(*role)?,
                port: *port,
                zone: role.zone(),
                nodes: config
                    .nodes
                    .iter()
                    .filter_map(|node| Some((node.name.clone(), node.addresses.get(*role)?)))
                    .collect(),
            })
        })
        .collect()
}

fn node_addresses(config: &Config) -> Vec<PlannedNodeAddress> {
    let mut addresses = Vec::new();
    for node in &config.nodes {
        for role in Role::ALL {
            let Some(address) = node.addresses.get(role) else {
                continue;
            };
            let rows = NODE_RULES
                .iter()
                .filter(|(_, of, _, _, ports)| {
                    *of == role && (config.pool.xmpp || *ports.start() != XMPP_GATEWAY)
                })
                .map(|(row, _, protocol, kind, ports)| PlannedRule {
                    row: Some(*row),
                    protocol: *protocol,
                    kind: *kind,
                    ports: ports.clone(),
                });
            let allowed = config
                .policy
                .allow
                .iter()
                .filter(|allowed| allowed.role == role)
                .map(|allowed| PlannedRule {
                    row: None,
                    protocol: allowed.protocol,
                    kind: allowed.kind,
                    ports: allowed.ports.clone(),
                });
            let rules = rows.chain(allowed).collect();
            addresses.push(PlannedNodeAddress {
                node: node.name.clone(),
                role,
                address,
                rules,
            });
        }
    }
    addresses
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
