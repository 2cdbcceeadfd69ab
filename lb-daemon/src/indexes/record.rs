//! Who has which index, as it is noted beside the flows that carry it: the next daemon goes on with it.

use std::net::SocketAddrV4;

use lb_common::{
    net::{Ip4, Port, socket_address},
    service::ServiceKey,
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Indexes, PoolId, ServiceId, seats::Seats};

/// Which of the seats.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Place {
    table: u32,
    index: u32,
}

/// Whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Owner {
    service: ServiceKey,
    node: Ip4,
    node_port: Port,
    outbound: u8,
    reserved: u8,
}

/// Seats that can be noted.
pub const MAX_RECORDS: u32 = 8192;

const SERVICES: u32 = 0;
const NODES: u32 = 1;
const POOLS: u32 = 2;

impl Owner {
    fn of(service: ServiceId, node: Option<SocketAddrV4>) -> Self {
        let (key, outbound) = match service {
            ServiceId::Balanced(key) => (key, 0),
            ServiceId::Outbound(key) => (key, 1),
        };
        Self {
            service: key,
            node: node.map_or(Ip4::UNSPECIFIED, |node| (*node.ip()).into()),
            node_port: Port::new(node.map_or(0, |node| node.port())),
            outbound,
            reserved: 0,
        }
    }

    const fn service(&self) -> ServiceId {
        match self.outbound {
            0 => ServiceId::Balanced(self.service),
            _ => ServiceId::Outbound(self.service),
        }
    }

    fn node(&self) -> SocketAddrV4 {
        socket_address(self.node, self.node_port)
    }
}

impl Indexes {
    /// Everybody who has an index.
    pub fn records(&self) -> Vec<(Place, Owner)> {
        let services = records(SERVICES, &self.services, |service| {
            Owner::of(*service, None)
        });
        let nodes = records(NODES, &self.nodes, |(service, node)| {
            Owner::of(*service, Some(*node))
        });
        let pools = records(POOLS, &self.pools, |pool| {
            Owner::of(ServiceId::Balanced(pool.vip), Some(pool.node))
        });
        services.chain(nodes).chain(pools).collect()
    }

    /// Who had which index. All are leaving until a plan wants them.
    pub fn recover(records: &[(Place, Owner)]) -> Self {
        let mut indexes = Self::default();
        for (place, owner) in records {
            let seat = place.index..place.index.saturating_add(1);
            match place.table {
                SERVICES => drop(indexes.services.take(owner.service(), seat)),
                NODES => drop(indexes.nodes.take((owner.service(), owner.node()), seat)),
                _ => drop(indexes.pools.take(
                    PoolId {
                        vip: owner.service,
                        node: owner.node(),
                    },
                    seat,
                )),
            }
        }
        indexes.leave_all();
        indexes
    }
}

fn records<K: PartialEq>(
    table: u32,
    seats: &Seats<K>,
    owner: impl Fn(&K) -> Owner,
) -> impl Iterator<Item = (Place, Owner)> {
    seats
        .iter()
        .map(move |(index, key)| (Place { table, index }, owner(key)))
}
