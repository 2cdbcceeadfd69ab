//! What the maps are to hold for a plan, and the difference to what they hold (pure).

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddrV4,
};

use lb_common::{
    net::{Ip4, Port, Protocol, Zone},
    policy::{MAX_RULES, NodeAddress, PortRule},
    service::{NO_POOL, Node, Outbound, Ring, SOURCE_OR_AFFINITY, Service, ServiceKey, Treatment},
    settings::Settings,
};

use crate::{
    drains::Drains,
    indexes::{Indexes, ServiceId, TooLarge},
    maglev::{self, Candidate},
    plan::{
        Plan, PlannedNode, PlannedNodeAddress, PlannedOutbound, PlannedService, PolicyMode,
        WithoutFlow,
    },
    takers::Takers,
    warm_up::Shares,
};

/// The maps that follow from the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Services.
    pub services: Vec<(ServiceKey, Service)>,
    /// Rings, by the index of the service.
    pub rings: BTreeMap<u16, Ring>,
    /// Nodes by their cell.
    pub nodes: BTreeMap<u32, Node>,
    /// VIPs and their zones.
    pub vips: Vec<(Ip4, Zone)>,
    /// Connections of nodes that leave from a VIP.
    pub outbound: Vec<(ServiceKey, Outbound)>,
    /// The nodes' own addresses and what may pass to and from them.
    pub node_addresses: Vec<(Ip4, NodeAddress)>,
    /// What holds for the data path as a whole.
    pub settings: Settings,
}

impl Contents {
    /// The maps for `plan` where there were none before.
    ///
    /// # Errors
    ///
    /// What does not fit.
    pub fn of(plan: &Plan) -> Result<Self, TooLarge> {
        let mut indexes = Indexes::default();
        indexes.assign(plan)?;
        let (takers, shares) = (Takers::default(), Shares::default());
        let drains = Drains::default();
        Ok(Self::with(plan, &indexes, &takers, &shares, &drains))
    }

    /// The maps for `plan`, to all of which `indexes` has assigned an index. New flows go to `takers`
    /// alone, by their `shares`, but for those of clients that stay with one of `drains`.
    pub fn with(
        plan: &Plan,
        indexes: &Indexes,
        takers: &Takers,
        shares: &Shares,
        drains: &Drains,
    ) -> Self {
        let mut contents = Self {
            vips: plan
                .vips
                .iter()
                .map(|vip| (vip.address.into(), vip.zone))
                .collect(),
            node_addresses: plan
                .node_addresses
                .iter()
                .map(|address| node_address(address, plan))
                .collect(),
            settings: Settings {
                reset_without_flow: u8::from(plan.without_flow == WithoutFlow::Reset),
                observe: u8::from(plan.policy_mode == PolicyMode::Observe),
                reserved: [0; 2],
                answers_per_second: plan.limits.answers_per_second,
            },
            ..Self::default()
        };
        for service in &plan.services {
            let choice = if drains.concern(&service.name) {
                SOURCE_OR_AFFINITY
            } else {
                service.balancing.choice as u8
            };
            contents.add(service, choice, plan, indexes, |node| {
                takers
                    .takes(&service.name, &node.name)
                    .then(|| shares.weight(service, node))
            });
        }
        for outbound in &plan.outbound {
            contents.add_outbound(outbound, plan, indexes);
        }
        contents
    }

    /// `choice` is what the data path is told of how a node is chosen; `weight` is that of a node on the
    /// ring, if it takes new flows.
    fn add(
        &mut self,
        service: &PlannedService,
        choice: u8,
        plan: &Plan,
        indexes: &Indexes,
        weight: impl Fn(&PlannedNode) -> Option<u16>,
    ) {
        let id = ServiceId::from(service);
        let (ServiceId::Balanced(key) | ServiceId::Outbound(key)) = id;
        let Some(index) = indexes.service(id) else {
            return;
        };
        self.services.push((
            key,
            Service {
                index,
                first_snat_port: *plan.limits.snat_ports.start(),
                last_snat_port: *plan.limits.snat_ports.end(),
                treatment: service.treatment as u8,
                choice,
            },
        ));
        let mut candidates = Vec::new();
        for node in &service.nodes {
            let Some((cell, number)) = indexes.node(id, node.address) else {
                continue;
            };
            let snat_pool = match service.treatment {
                Treatment::Snat => indexes.pool(service, node.address),
                Treatment::Dnat => None,
            };
            self.nodes.insert(
                cell,
                Node {
                    address: (*node.address.ip()).into(),
                    port: Port::new(node.address.port()),
                    weight: node.weight,
                    // There are fewer pools than this can name.
                    snat_pool: snat_pool.map_or(NO_POOL, |pool| pool as u16),
                    reserved: 0,
                },
            );
            candidates.extend(weight(node).map(|weight| Candidate {
                name: &node.name,
                index: number as u8,
                weight,
            }));
        }
        self.rings.insert(index, maglev::ring(&candidates));
    }

    fn add_outbound(&mut self, planned: &PlannedOutbound, plan: &Plan, indexes: &Indexes) {
        let id = ServiceId::from(planned);
        let Some(service) = indexes.service(id) else {
            return;
        };
        for (_, address) in &planned.nodes {
            let Some((_, node)) = indexes.node(id, SocketAddrV4::new(*address, 0)) else {
                continue;
            };
            let port = Port::new(planned.port);
            let key = ServiceKey::new(planned.zone, Protocol::Tcp, (*address).into(), port);
            self.outbound.push((
                key,
                Outbound {
                    vip: planned.vip.into(),
                    service,
                    node,
                    first_snat_port: *plan.limits.snat_ports.start(),
                    last_snat_port: *plan.limits.snat_ports.end(),
                },
            ));
        }
    }
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
    Vip(Ip4, Zone),
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
/// service: what a service refers to comes before it, and goes after it. Where clients stay with a node that
/// drains, they do so before the node leaves the ring.
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
    let is_new = |service: &&(ServiceKey, Service)| !before.services.contains(service);
    let begins_to_drain = |(key, service): &&(ServiceKey, Service)| {
        let mut known = before.services.iter();
        service.choice == SOURCE_OR_AFFINITY
            && known.any(|(own, known)| (own, known.index) == (key, service.index))
    };
    let new_services = || after.services.iter().filter(is_new);
    let change = |(key, service): &(ServiceKey, Service)| Change::Service(*key, *service);
    changes.extend(new_services().filter(begins_to_drain).map(change));
    for (index, ring) in &after.rings {
        if before.rings.get(index) != Some(ring) {
            changes.push(Change::Ring(*index, Box::new(*ring)));
        }
    }
    let new_vips = after.vips.iter().filter(|vip| !before.vips.contains(vip));
    changes.extend(new_vips.map(|(address, zone)| Change::Vip(*address, *zone)));
    let others = new_services().filter(|service| !begins_to_drain(service));
    changes.extend(others.map(change));
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
