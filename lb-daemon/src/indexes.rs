//! Which index each service, node and pool of SNAT ports has in the maps (pure).
//!
//! Flow entries and counters carry these indexes. So an index stays with its owner whatever else
//! changes in the configuration, and goes to another owner only when no flow carries it any more.

mod record;
mod seats;

use std::{collections::BTreeSet, net::SocketAddrV4};

use lb_common::{
    net::{Port, Protocol, Zone},
    service::{MAX_NODES, MAX_SERVICES, MAX_SNAT_POOLS, ServiceKey, Treatment, node_cell},
};

pub use self::record::{MAX_RECORDS, Owner, Place};
use self::seats::Seats;
use crate::plan::{Plan, PlannedOutbound, PlannedService};

/// What a service is known by: one that is renamed is the same, one that listens elsewhere is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServiceId {
    /// Balanced: what clients ask.
    Balanced(ServiceKey),
    /// Connections of the nodes: the VIP that they leave from, and the port outside.
    Outbound(ServiceKey),
}

impl From<&PlannedService> for ServiceId {
    fn from(service: &PlannedService) -> Self {
        let (vip, port) = (*service.listen.ip(), Port::new(service.listen.port()));
        let key = ServiceKey::new(service.zone, service.protocol, vip.into(), port);
        Self::Balanced(key)
    }
}

impl From<&PlannedOutbound> for ServiceId {
    fn from(outbound: &PlannedOutbound) -> Self {
        let (vip, port) = (outbound.vip.into(), Port::new(outbound.port));
        Self::Outbound(ServiceKey::new(outbound.zone, Protocol::Tcp, vip, port))
    }
}

/// What a pool of SNAT ports is known by. What the node sees must be unique: services that lead from
/// one VIP to one node address and port share a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PoolId {
    /// Protocol and VIP, on no port and on either side.
    vip: ServiceKey,
    node: SocketAddrV4,
}

impl PoolId {
    fn of(service: &PlannedService, node: SocketAddrV4) -> Self {
        let vip = (*service.listen.ip()).into();
        Self {
            vip: ServiceKey::new(Zone::External, service.protocol, vip, Port::new(0)),
            node,
        }
    }
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
    /// It would fit, were it not for what has gone.
    #[error(
        "there is no room for another {0} now: what has been removed takes its place until its last flow has ended"
    )]
    NotYet(&'static str),
}

/// Who has which index.
#[derive(Clone, Debug, Default)]
pub struct Indexes {
    services: Seats<ServiceId>,
    /// By [`node_cell`]. The nodes of [`ServiceId::Outbound`] are without a port.
    nodes: Seats<(ServiceId, SocketAddrV4)>,
    pools: Seats<PoolId>,
}

/// What flows carry.
#[derive(Clone, Debug)]
pub struct InUse {
    /// Entries of flows by the cell of their node; a flow has two.
    entries: Vec<u64>,
    pools: Vec<bool>,
}

impl Default for InUse {
    fn default() -> Self {
        Self {
            entries: vec![0; (MAX_SERVICES * MAX_NODES) as usize],
            pools: vec![false; MAX_SNAT_POOLS as usize],
        }
    }
}

impl InUse {
    /// Notes the node and the pool of a flow; the index of no pool is beyond them all.
    pub fn note(&mut self, cell: u16, pool: u16) {
        if let Some(entries) = self.entries.get_mut(usize::from(cell)) {
            *entries += 1;
        }
        if let Some(pool) = self.pools.get_mut(usize::from(pool)) {
            *pool = true;
        }
    }

    /// Flows of the node with this cell.
    pub fn flows(&self, cell: u32) -> u64 {
        let entries = self.entries.get(cell as usize);
        entries.map_or(0, |entries| entries.div_ceil(2))
    }
}

/// Indexes that nobody has any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Freed {
    /// Cells of nodes.
    pub cells: Vec<u32>,
    /// Pools of SNAT ports.
    pub pools: Vec<u32>,
}

impl Indexes {
    /// Gives everything in `plan` an index: the one that it has, or one that is free. What `plan` does
    /// not have is leaving from here on.
    ///
    /// # Errors
    ///
    /// What does not fit; nothing has changed then.
    pub fn assign(&mut self, plan: &Plan) -> Result<(), TooLarge> {
        check_size(plan)?;
        let mut assigned = self.clone();
        assigned.leave_all();
        for service in &plan.services {
            let nodes = service.nodes.iter().map(|node| node.address);
            assigned.seat(service.into(), nodes)?;
            if service.treatment == Treatment::Snat {
                for node in &service.nodes {
                    assigned
                        .pools
                        .take(PoolId::of(service, node.address), 0..MAX_SNAT_POOLS)
                        .ok_or(TooLarge::NotYet("pool of SNAT ports"))?;
                }
            }
        }
        for outbound in &plan.outbound {
            let nodes = outbound.nodes.iter();
            let nodes = nodes.map(|(_, address)| SocketAddrV4::new(*address, 0));
            assigned.seat(outbound.into(), nodes)?;
        }
        *self = assigned;
        Ok(())
    }

    fn leave_all(&mut self) {
        self.services.leave_all();
        self.nodes.leave_all();
        self.pools.leave_all();
    }

    fn seat(
        &mut self,
        service: ServiceId,
        nodes: impl Iterator<Item = SocketAddrV4>,
    ) -> Result<(), TooLarge> {
        let index = self
            .services
            .take(service, 0..MAX_SERVICES)
            .ok_or(TooLarge::NotYet("service"))?;
        let first = index * MAX_NODES;
        for node in nodes {
            self.nodes
                .take((service, node), first..first + MAX_NODES)
                .ok_or(TooLarge::NotYet("node"))?;
        }
        Ok(())
    }

    /// The index of a service.
    pub fn service(&self, service: ServiceId) -> Option<u16> {
        self.services.of(&service).map(|index| index as u16)
    }

    /// The cell of a node, and its index within the service.
    pub fn node(&self, service: ServiceId, node: SocketAddrV4) -> Option<(u32, u16)> {
        let cell = self.nodes.of(&(service, node))?;
        Some((cell, (cell % MAX_NODES) as u16))
    }

    /// The index of the pool that a service with SNAT uses towards a node.
    pub fn pool(&self, service: &PlannedService, node: SocketAddrV4) -> Option<u32> {
        self.pools.of(&PoolId::of(service, node))
    }

    /// Every pool that somebody has.
    pub fn pools(&self) -> impl Iterator<Item = u16> {
        self.pools.iter().map(|(index, _)| index as u16)
    }

    /// The cells of nodes that are no more in the plan, and that flows may still carry.
    pub fn leaving(&self) -> BTreeSet<u32> {
        self.nodes.leaving().collect()
    }

    /// Frees what is leaving and has been in no flow the last two times. Twice: a packet that found the
    /// old service just before it went may have opened a flow while the flows were looked through.
    pub fn release(&mut self, in_use: &InUse) -> Freed {
        let has_pool = |pool: u32| in_use.pools.get(pool as usize) == Some(&true);
        let freed = Freed {
            cells: self.nodes.release(|cell| in_use.flows(cell) > 0),
            pools: self.pools.release(has_pool),
        };
        let nodes = &self.nodes;
        self.services.release(|service| {
            nodes.any_in(node_cell(service as u16, 0)..node_cell(service as u16 + 1, 0))
        });
        freed
    }
}

/// That the plan fits into empty maps.
fn check_size(plan: &Plan) -> Result<(), TooLarge> {
    let services = plan.services.len() + plan.outbound.len();
    if services > MAX_SERVICES as usize {
        return Err(TooLarge::Services(services));
    }
    let sizes = plan
        .services
        .iter()
        .map(|service| (&service.name, service.nodes.len()));
    let outbound = plan.outbound.iter();
    let sizes = sizes.chain(outbound.map(|outbound| (&outbound.name, outbound.nodes.len())));
    for (name, nodes) in sizes {
        if nodes > MAX_NODES as usize {
            return Err(TooLarge::Nodes(name.clone(), nodes));
        }
    }
    let mut pools = Vec::new();
    for service in &plan.services {
        if service.treatment == Treatment::Snat {
            for node in &service.nodes {
                let pool = PoolId::of(service, node.address);
                if !pools.contains(&pool) {
                    pools.push(pool);
                }
            }
        }
    }
    if pools.len() > MAX_SNAT_POOLS as usize {
        return Err(TooLarge::SnatPools(pools.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
