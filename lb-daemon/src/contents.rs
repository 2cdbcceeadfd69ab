//! What the maps are to hold for a plan, and the difference to what they hold (pure).

use std::collections::{BTreeMap, BTreeSet};

use lb_common::{
    net::{Ip4, Port, Protocol},
    policy::{MAX_RULES, NodeAddress, PortRule},
    service::{
        MAX_NODES, MAX_SERVICES, MAX_SNAT_POOLS, NO_POOL, Node, Outbound, Ring, Service,
        ServiceKey, Treatment, node_cell,
    },
    settings::Settings,
};

use crate::{
    maglev::{self, Candidate},
    plan::{Plan, PlannedNodeAddress, PlannedService, PolicyMode, WithoutFlow},
};

/// The maps that follow from the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Services, in the order of their index.
    pub services: Vec<(ServiceKey, Service)>,
    /// Rings, by the index of the service.
    pub rings: Vec<Ring>,
    /// Nodes by their cell.
    pub nodes: BTreeMap<u32, Node>,
    /// VIPs and the numbers of their zones.
    pub vips: Vec<(Ip4, u32)>,
    /// Connections of nodes that leave from a VIP.
    pub outbound: Vec<(ServiceKey, Outbound)>,
    /// The nodes' own addresses and what may pass to and from them.
    pub node_addresses: Vec<(Ip4, NodeAddress)>,
    /// What holds for the data path as a whole.
    pub settings: Settings,
}

/// A plan that does not fit into the maps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// Too many services.
    #[error("{0} services; {MAX_SERVICES} fit")]
    Services(usize),
    /// Too many nodes behind one service.
    #[error("service {0}: {1} nodes; {MAX_NODES} fit behind one service")]
    Nodes(String, usize),
    /// Too many pools of SNAT ports.
    #[error("{0} pairs of VIP and node address with source NAT; {MAX_SNAT_POOLS} fit")]
    SnatPools(usize),
}

impl Contents {
    /// The maps for `plan`.
    ///
    /// # Errors
    ///
    /// What does not fit.
    pub fn of(plan: &Plan) -> Result<Self, TooLarge> {
        let services = plan.services.len() + plan.outbound.len();
        if services > MAX_SERVICES as usize {
            return Err(TooLarge::Services(services));
        }
        let mut contents = Self::default();
        let mut pools = Pools::default();
        for (index, service) in plan.services.iter().enumerate() {
            if service.nodes.len() > MAX_NODES as usize {
                return Err(TooLarge::Nodes(service.name.clone(), service.nodes.len()));
            }
            contents.add(index as u16, service, plan, &mut pools);
        }
        if pools.0.len() > MAX_SNAT_POOLS as usize {
            return Err(TooLarge::SnatPools(pools.0.len()));
        }
        contents.vips = plan
            .vips
            .iter()
            .map(|vip| (vip.address.into(), vip.zone as u32))
            .collect();
        contents.outbound = outbound(plan);
        contents.settings = Settings {
            reset_without_flow: u8::from(plan.without_flow == WithoutFlow::Reset),
            observe: u8::from(plan.policy_mode == PolicyMode::Observe),
            reserved: [0; 2],
            answers_per_second: plan.limits.answers_per_second,
        };
        contents.node_addresses = plan
            .node_addresses
            .iter()
            .map(|address| node_address(address, plan))
            .collect();
        Ok(contents)
    }

    fn add(&mut self, index: u16, service: &PlannedService, plan: &Plan, pools: &mut Pools) {
        let key = ServiceKey::new(
            service.zone,
            service.protocol,
            (*service.listen.ip()).into(),
            Port::new(service.listen.port()),
        );
        self.services.push((
            key,
            Service {
                index,
                first_snat_port: *plan.limits.snat_ports.start(),
                last_snat_port: *plan.limits.snat_ports.end(),
                treatment: service.treatment as u8,
                reserved: 0,
            },
        ));
        for (number, node) in service.nodes.iter().enumerate() {
            let snat_pool = match service.treatment {
                Treatment::Snat => pools.index(service, node.address),
                Treatment::Dnat => NO_POOL,
            };
            self.nodes.insert(
                node_cell(index, number as u16),
                Node {
                    address: (*node.address.ip()).into(),
                    port: Port::new(node.address.port()),
                    reserved: 0,
                    snat_pool,
                },
            );
        }
        self.rings.push(ring(service));
    }
}

fn outbound(plan: &Plan) -> Vec<(ServiceKey, Outbound)> {
    let mut entries = Vec::new();
    for (service, planned) in (plan.services.len()..).zip(&plan.outbound) {
        for (node, (_, address)) in planned.nodes.iter().enumerate() {
            let key = ServiceKey::new(
                planned.zone,
                Protocol::Tcp,
                (*address).into(),
                Port::new(planned.port),
            );
            entries.push((
                key,
                Outbound {
                    vip: planned.vip.into(),
                    service: service as u16,
                    node: node as u16,
                    first_snat_port: *plan.limits.snat_ports.start(),
                    last_snat_port: *plan.limits.snat_ports.end(),
                },
            ));
        }
    }
    entries
}

fn node_address(planned: &PlannedNodeAddress, plan: &Plan) -> (Ip4, NodeAddress) {
    let rules: Vec<PortRule> = planned
        .rules
        .iter()
        .map(|rule| {
            PortRule::new(
                rule.protocol,
                rule.kind,
                *rule.ports.start(),
                *rule.ports.end(),
            )
        })
        .collect();
    debug_assert!(
        rules.len() <= MAX_RULES,
        "the table of rows has at most 8 for a role, and the configuration 16"
    );
    let address = NodeAddress::new(planned.role.zone(), &rules, balanced_udp(planned, plan));
    (planned.address.into(), address)
}

/// The UDP port on which clients reach this address by a VIP as well, without SNAT.
fn balanced_udp(planned: &PlannedNodeAddress, plan: &Plan) -> Port {
    plan.services
        .iter()
        .filter(|service| service.protocol == Protocol::Udp && service.treatment == Treatment::Dnat)
        .flat_map(|service| &service.nodes)
        .find(|node| *node.address.ip() == planned.address)
        .map_or(Port::default(), |node| Port::new(node.address.port()))
}

fn ring(service: &PlannedService) -> Ring {
    let candidates: Vec<Candidate> = service
        .nodes
        .iter()
        .enumerate()
        .map(|(number, node)| Candidate {
            name: &node.name,
            index: number as u8,
            weight: node.weight,
        })
        .collect();
    maglev::ring(&candidates)
}

/// Pools of SNAT ports. What the node sees must be unique: services that lead from one VIP to one
/// node address and port share a pool.
#[derive(Default)]
struct Pools(Vec<(u8, std::net::Ipv4Addr, std::net::SocketAddrV4)>);

impl Pools {
    fn index(&mut self, service: &PlannedService, node: std::net::SocketAddrV4) -> u32 {
        let pool = (service.protocol as u8, *service.listen.ip(), node);
        let index = self.0.iter().position(|known| *known == pool);
        index.unwrap_or_else(|| {
            self.0.push(pool);
            self.0.len() - 1
        }) as u32
    }
}

/// A change of one map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Write the settings.
    Settings(Settings),
    /// Write a node.
    Node(u32, Node),
    /// Write the ring of the service with this index.
    Ring(u16, Box<Ring>),
    /// Write a VIP.
    Vip(Ip4, u32),
    /// Write a service.
    Service(ServiceKey, Service),
    /// Write a connection that leaves from a VIP.
    Outbound(ServiceKey, Outbound),
    /// Remove a connection that leaves from a VIP.
    RemoveOutbound(ServiceKey),
    /// Write a node's own address.
    NodeAddress(Ip4, Box<NodeAddress>),
    /// Remove a node's own address.
    RemoveNodeAddress(Ip4),
    /// Remove a service.
    RemoveService(ServiceKey),
    /// Remove a VIP.
    RemoveVip(Ip4),
}

/// The changes that lead from `before` to `after`, in an order in which no packet meets a half-made
/// service: what a service refers to comes before it, and goes after it.
pub fn difference(before: &Contents, after: &Contents) -> Vec<Change> {
    let mut changes = Vec::new();
    if before.settings != after.settings {
        changes.push(Change::Settings(after.settings));
    }
    for (cell, node) in &after.nodes {
        if before.nodes.get(cell) != Some(node) {
            changes.push(Change::Node(*cell, *node));
        }
    }
    for (index, ring) in after.rings.iter().enumerate() {
        if before.rings.get(index) != Some(ring) {
            changes.push(Change::Ring(index as u16, Box::new(*ring)));
        }
    }
    let new_vips = after.vips.iter().filter(|vip| !before.vips.contains(vip));
    changes.extend(new_vips.map(|(address, zone)| Change::Vip(*address, *zone)));
    let new_services = after
        .services
        .iter()
        .filter(|service| !before.services.contains(service));
    changes.extend(new_services.map(|(key, service)| Change::Service(*key, *service)));
    let kept: Vec<ServiceKey> = after.services.iter().map(|(key, _)| *key).collect();
    for (key, _) in &before.services {
        if !kept.contains(key) {
            changes.push(Change::RemoveService(*key));
        }
    }
    let kept: BTreeSet<[u8; 4]> = after
        .vips
        .iter()
        .map(|(address, _)| address.octets())
        .collect();
    for (address, _) in &before.vips {
        if !kept.contains(&address.octets()) {
            changes.push(Change::RemoveVip(*address));
        }
    }
    for (key, outbound) in &after.outbound {
        if !before.outbound.contains(&(*key, *outbound)) {
            changes.push(Change::Outbound(*key, *outbound));
        }
    }
    for (key, _) in &before.outbound {
        if after.outbound.iter().all(|(kept, _)| kept != key) {
            changes.push(Change::RemoveOutbound(*key));
        }
    }
    for (address, rules) in &after.node_addresses {
        if !before.node_addresses.contains(&(*address, *rules)) {
            changes.push(Change::NodeAddress(*address, Box::new(*rules)));
        }
    }
    for (address, _) in &before.node_addresses {
        if after.node_addresses.iter().all(|(kept, _)| kept != address) {
            changes.push(Change::RemoveNodeAddress(*address));
        }
    }
    changes
}
