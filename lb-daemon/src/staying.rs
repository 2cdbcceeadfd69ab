//! Which clients stay with nodes that drain (pure).
//!
//! Affinity is between a client and a node, over all services of one side: who has a flow of A/V over
//! UDP there finds the same node over TCP. So a client that has a flow with the node in any service with
//! source-ip affinity stays with it in all of those in which the node drains.

use std::collections::{HashMap, HashSet};

use lb_common::{
    affinity::{Affinity, AffinityKey},
    flow::{Direction, FlowEntry, FlowKey},
    net::Ip4,
    service::node_cell,
};

use crate::{
    drains::{Drains, is_affine},
    indexes::Indexes,
    plan::Plan,
};

/// A node that drains, with the clients that have been noted.
#[derive(Clone, Debug, Default)]
struct Draining {
    /// Services, by their index, in which its clients stay with it.
    services: Vec<(u16, Affinity)>,
    clients: HashSet<Ip4>,
}

/// The nodes that drain, and their clients.
#[derive(Clone, Debug, Default)]
pub struct Staying {
    nodes: Vec<Draining>,
    /// From the cell of a node of a service to its place in `nodes`.
    cells: HashMap<u32, usize>,
}

impl Staying {
    /// The nodes that `drains` names, with no clients yet.
    pub fn of(plan: &Plan, indexes: &Indexes, drains: &Drains) -> Self {
        let mut staying = Self::default();
        let mut places = HashMap::new();
        for service in plan.services.iter().filter(|service| is_affine(service)) {
            for node in &service.nodes {
                let Some((cell, index)) = indexes.node(service.into(), node.address) else {
                    continue;
                };
                let place = *places.entry((service.zone, &node.name)).or_insert_with(|| {
                    staying.nodes.push(Draining::default());
                    staying.nodes.len() - 1
                });
                staying.cells.insert(cell, place);
                if let Some(until) = drains.until(&service.name, &node.name)
                    && let Some(service) = indexes.service(service.into())
                {
                    let affinity = Affinity::new(index, until);
                    staying.nodes[place].services.push((service, affinity));
                }
            }
        }
        let nodes = &staying.nodes;
        staying
            .cells
            .retain(|_, place| !nodes[*place].services.is_empty());
        staying
    }

    /// Whether no node drains.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Notes the client of a flow that is with one of the nodes.
    pub fn note(&mut self, key: &FlowKey, entry: &FlowEntry) {
        if entry.role.direction() == Direction::TO_NODE
            && let Some(place) = self.cells.get(&u32::from(entry.node_cell))
        {
            self.nodes[*place].clients.insert(key.source);
        }
    }

    /// What the data path is told of the clients.
    pub fn affinities(&self) -> impl Iterator<Item = (AffinityKey, Affinity)> {
        self.nodes.iter().flat_map(|node| {
            node.clients.iter().flat_map(|client| {
                let services = node.services.iter();
                services.map(|(service, affinity)| (AffinityKey::new(*client, *service), *affinity))
            })
        })
    }

    /// Whether what the data path was told still holds.
    pub fn confirms(&self, key: &AffinityKey, affinity: &Affinity) -> bool {
        let place = self.cells.get(&node_cell(key.service(), affinity.node));
        place.is_some_and(|place| {
            let mut services = self.nodes[*place].services.iter();
            services.any(|(service, own)| (*service, own.node) == (key.service(), affinity.node))
        })
    }
}

#[cfg(test)]
mod tests {
    use lb_common::{
        flow::{FlowState, Opened, Rewrite, Role},
        net::{Port, Protocol, Zone},
        service::{NO_POOL, Treatment},
    };

    use super::*;
    use crate::{
        clock::Moment, config::Config, indexes::ServiceId, node_state::Wanted, wishes::Wishes,
    };

    const CLIENT: [u8; 4] = [198, 51, 100, 7];

    struct Pool {
        plan: Plan,
        indexes: Indexes,
    }

    impl Pool {
        fn new() -> Self {
            let example = include_str!("../../config/edgelb.toml");
            let plan = Plan::of(&Config::parse(example).expect("the example is right"));
            let mut indexes = Indexes::default();
            indexes.assign(&plan).expect("it fits");
            Self { plan, indexes }
        }

        /// The clients of `edge1`, which drains for one service or all.
        fn draining(&self, service: Option<&str>) -> Staying {
            let (mut wishes, mut drains) = (Wishes::default(), Drains::default());
            let wanted = wishes.want(&self.plan, "edge1", service, Wanted::Draining);
            wanted.expect("it is known");
            let now = Moment {
                monotonic: 1000,
                wall: 0,
            };
            drains.begin(&self.plan, &Wishes::default(), &wishes, now);
            Staying::of(&self.plan, &self.indexes, &drains)
        }

        /// Indexes of a service and of one of its nodes.
        fn place(&self, service: &str, node: &str) -> (u16, u16) {
            let mut services = self.plan.services.iter();
            let service = services.find(|planned| planned.name == service);
            let service = service.expect("it is planned");
            let mut nodes = service.nodes.iter();
            let node = nodes.find(|planned| planned.name == node);
            let id = ServiceId::from(service);
            let index = self.indexes.service(id).expect("it has one");
            let address = node.expect("it is planned").address;
            let (_, node) = self.indexes.node(id, address).expect("it has one");
            (index, node)
        }

        /// One direction of a flow of the client.
        fn flow(&self, service: &str, node: &str, direction: Direction) -> (FlowKey, FlowEntry) {
            let (service, node) = self.place(service, node);
            let (client, port) = (Ip4::from_octets(CLIENT), Port::new(40_000));
            let vip = (Ip4::from_octets([203, 0, 113, 30]), Port::new(3478));
            let key = FlowKey::new(Zone::External, Protocol::Udp, (client, port), vip);
            let entry = FlowEntry {
                rewrite: Rewrite::default(),
                generation: 0,
                next_hop: 0,
                node_cell: node_cell(service, node) as u16,
                snat_pool: NO_POOL,
                role: Role::new(direction, Treatment::Dnat),
                state: FlowState::ESTABLISHED,
                last_seen: 0,
                opened: Opened::at(0),
                packets: 0,
                bytes: 0,
            };
            (key, entry)
        }
    }

    #[test]
    fn a_client_stays_in_every_service_of_its_side_that_drains() {
        let pool = Pool::new();
        let (to_node, to_client) = (Direction::TO_NODE, Direction::TO_CLIENT);
        let av = ["av-3478", "av-443"];
        for (drained, service, node, direction, stays) in [
            (None, "av-3478", "edge1", to_node, &av[..]),
            (None, "av-443", "edge1", to_node, &av),
            // Its flow is of the service that does not drain.
            (Some("av-443"), "av-3478", "edge1", to_node, &av[1..]),
            // The other direction has the client at its end.
            (None, "av-3478", "edge1", to_client, &[]),
            // Another node, another side, and a service without affinity.
            (None, "av-3478", "edge2", to_node, &[]),
            (Some("av-443"), "internal-3478", "edge1", to_node, &[]),
            (None, "access-443", "edge1", to_node, &[]),
        ] {
            let mut staying = pool.draining(drained);
            let (key, entry) = pool.flow(service, node, direction);
            staying.note(&key, &entry);
            let mut found: Vec<(AffinityKey, Affinity)> = staying.affinities().collect();
            found.sort_by_key(|(key, _)| key.service());
            let wanted: Vec<(AffinityKey, Affinity)> = stays
                .iter()
                .map(|service| {
                    let (service, node) = pool.place(service, "edge1");
                    let key = AffinityKey::new(Ip4::from_octets(CLIENT), service);
                    (key, Affinity::new(node, 1300))
                })
                .collect();
            assert_eq!(found, wanted, "{drained:?} {service} {node}");
        }
    }

    #[test]
    fn what_was_told_holds_while_the_node_drains() {
        let pool = Pool::new();
        let told = |service, node| {
            let (service, node) = pool.place(service, node);
            let key = AffinityKey::new(Ip4::from_octets(CLIENT), service);
            // By an earlier daemon, whose seconds began elsewhere.
            (key, Affinity::new(node, 1299))
        };
        for (drained, service, node, holds) in [
            (None, "av-443", "edge1", true),
            (Some("av-443"), "av-443", "edge1", true),
            (Some("av-443"), "av-3478", "edge1", false),
            (None, "av-443", "edge2", false),
            (Some("access-443"), "av-443", "edge1", false),
        ] {
            let (key, affinity) = told(service, node);
            let staying = pool.draining(drained);
            assert_eq!(staying.confirms(&key, &affinity), holds, "{service} {node}");
        }
        assert!(pool.draining(Some("access-443")).is_empty());
    }
}
