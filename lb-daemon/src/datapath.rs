//! The eBPF object in the kernel: the only place that uses aya.
//!
//! One task owns a [`Datapath`]; nobody else writes to the maps.

mod addresses;
mod adopt;
mod affinities;
mod attach;
mod batch;
mod error;
mod events;
mod flows;
mod link;
mod load;
mod pins;
#[cfg(test)]
mod stack;
mod table;

use aya::{Ebpf, programs::Xdp};
use lb_common::{
    address::KnownAddress,
    affinity::{Affinity, AffinityKey},
    counters::NodeCounters,
    drop_reason::{GONE_CELL, VERDICT_CELLS},
    interface::{INTERFACE_CELLS, Interface},
    names,
    next_hop::{Neighbour, NextHop},
    route_cache,
    service::{
        MAX_NODES, MAX_SERVICES, Node, Outbound, Ring, SNAT_POOL_WORDS, SNAT_PORT_WORDS, Service,
        ServiceKey, full_word,
    },
    settings::Settings,
};

use crate::{
    contents::Change,
    indexes::{Owner, Place},
};

use self::{
    addresses::Addresses,
    batch::{read_cells, walk},
    flows::Flows,
    table::{Cells, CpuCells, Table},
};
pub use self::{
    attach::{Attached, Mode},
    error::{Error, Result},
    events::Events,
    flows::{Pair, Progress, Stage},
    load::Sizes,
    pins::Pins,
};

/// The program and its maps.
pub struct Datapath {
    ebpf: Ebpf,
    flows: Flows,
    services: Table<ServiceKey, Service>,
    rings: Cells<Ring>,
    nodes: Cells<Node>,
    addresses: Addresses,
    outbound: Table<ServiceKey, Outbound>,
    affinities: Table<AffinityKey, Affinity>,
    node_loads: Cells<u64>,
    settings: Cells<Settings>,
    snat_ports: Cells<u64>,
    next_hops: Cells<NextHop>,
    neighbours: Table<Neighbour, u32>,
    routes: Cells<route_cache::Line>,
    node_routes: Cells<u64>,
    routing: Cells<u64>,
    interfaces: Cells<Interface>,
    node_counters: CpuCells<NodeCounters>,
    verdicts: CpuCells<u64>,
    seats: Table<Place, Owner>,
    /// Whether an earlier edgelb's flows go on.
    adopted: bool,
    /// A flow table of another size, whose flows go over into ours.
    outgrown: Option<Flows>,
    pins: Option<Pins>,
}

impl Datapath {
    /// Loads the object that is built into this binary and makes its maps. Where there are pins, what
    /// an earlier edgelb has left there goes on, and everything else is pinned.
    pub fn load(sizes: Sizes, pins: Option<Pins>) -> Result<Self> {
        let mut datapath = load::load(sizes, pins)?;
        datapath.copy_outgrown()?;
        Ok(datapath)
    }

    /// Whether flows of an earlier edgelb go on.
    pub const fn adopted(&self) -> bool {
        self.adopted
    }

    /// The interfaces that an earlier edgelb has attached the program to.
    pub fn pinned_links(&self) -> Result<Vec<u32>> {
        self.pins.as_ref().map_or(Ok(Vec::new()), Pins::links)
    }

    /// From here on the next edgelb goes on with what this one has made. To be called when the
    /// program of an earlier one has been replaced everywhere.
    pub fn take_over_pins(&mut self) -> Result<()> {
        if let Some(pins) = &self.pins {
            pins.replace()?;
        }
        // Once more: the old program has gone on meanwhile.
        self.copy_outgrown()?;
        self.outgrown = None;
        Ok(())
    }

    /// Attaches the program to an interface by its kernel index. Pinned, it stays when the answer is
    /// dropped; see [`Self::detach`].
    pub fn attach(&mut self, name: &str, index: u32) -> Result<Attached> {
        let pin = self.pins.as_ref().map(|pins| pins.link(index));
        attach::attach(load::program(&mut self.ebpf)?, name, index, pin.as_deref())
    }

    /// Puts the program in the place of the one that an earlier edgelb has attached to an interface:
    /// each packet meets the one or the other. False where there is none.
    pub fn replace(&mut self, name: &str, index: u32) -> Result<bool> {
        let pins = self.pins.as_ref();
        let Some(link) = pins.and_then(|pins| pins.pinned_link(index)) else {
            return Ok(false);
        };
        attach::replace(load::program(&mut self.ebpf)?, name, link)
    }

    /// Forgets an attachment whose interface is gone.
    pub fn forget(&mut self, index: u32) -> Result<()> {
        self.pins.as_ref().map_or(Ok(()), |pins| pins.detach(index))
    }

    /// Takes the program off an interface.
    pub fn detach(&mut self, index: u32, attached: Option<Attached>) -> Result<()> {
        if let Some(pins) = &self.pins {
            pins.detach(index)?;
        }
        drop(attached);
        self.clear_interface(index)
    }

    /// Removes all pins. The program must be off all interfaces.
    pub fn unpin(&mut self) -> Result<()> {
        self.pins.as_ref().map_or(Ok(()), Pins::remove)
    }

    /// Who has which index, as an earlier daemon has noted it.
    pub fn seats(&self) -> Result<Vec<(Place, Owner)>> {
        let mut seats = Vec::new();
        walk(load::SEATS, &self.seats, |place, owner| {
            seats.push((*place, *owner));
        })?;
        Ok(seats)
    }

    /// Notes who has which index, for the next daemon.
    pub fn note_seats(&mut self, seats: &[(Place, Owner)]) -> Result<()> {
        let noted = self.seats()?;
        for (place, owner) in seats {
            if !noted.contains(&(*place, *owner)) {
                self.seats.set(place, owner)?;
            }
        }
        for (place, _) in noted {
            if seats.iter().all(|(kept, _)| *kept != place) {
                self.seats.remove(&place)?;
            }
        }
        Ok(())
    }

    /// The XDP program, for runs without an interface.
    pub fn program(&mut self) -> Result<&mut Xdp> {
        load::program(&mut self.ebpf)
    }

    /// The ring of events from the data path.
    pub fn take_events(&mut self) -> Result<Events> {
        let map = self
            .ebpf
            .take_map(names::EVENTS)
            .ok_or(Error::Missing(names::EVENTS))?;
        Events::new(map)
    }

    /// Tells the program which interface it is on. Two interfaces in one cell are refused.
    pub fn set_interface(&mut self, name: &str, interface: &Interface) -> Result<()> {
        let cell = interface.index % INTERFACE_CELLS;
        let held = self.interfaces.get(cell)?;
        if held.index != 0 && held.index != interface.index {
            return Err(Error::InterfaceCell {
                name: name.to_owned(),
                index: interface.index,
                other: held.index,
            });
        }
        self.interfaces.set(cell, interface)
    }

    /// Forgets an interface.
    pub fn clear_interface(&mut self, index: u32) -> Result<()> {
        let cell = index % INTERFACE_CELLS;
        if self.interfaces.get(cell)?.index == index {
            self.interfaces.set(cell, &Interface::default())?;
        }
        Ok(())
    }

    /// Brings one map up to date.
    pub fn apply(&mut self, change: &Change) -> Result<()> {
        match change {
            Change::Settings(settings) => self.settings.set(0, settings),
            Change::Node(cell, node) => self.nodes.set(*cell, node),
            Change::Ring(service, ring) => self.rings.set(u32::from(*service), ring),
            Change::Vip(address, zone) => {
                let vip = KnownAddress::vip(*address, *zone);
                self.addresses.set(*address, &vip)
            }
            Change::Service(key, service) => self.services.set(key, service),
            Change::Outbound(key, outbound) => self.outbound.set(key, outbound),
            Change::RemoveOutbound(key) => self.outbound.remove(key),
            Change::NodeAddress(address, rules) => {
                let node = KnownAddress::node(*address, **rules);
                self.addresses.set(*address, &node)
            }
            Change::RemoveNodeAddress(address) => self.addresses.remove(*address, false),
            Change::RemoveService(key) => self.services.remove(key),
            Change::RemoveVip(address) => self.addresses.remove(*address, true),
        }
    }

    /// How many flows a node has, as it was said last, and those that the data path has opened since.
    pub fn load_of(&self, cell: u32) -> Result<u64> {
        self.node_loads.get(cell)
    }

    /// Says how many flows a node has. The data path adds those that it opens from here on.
    pub fn set_load(&mut self, cell: u32, flows: u64) -> Result<()> {
        self.node_loads.set(cell, &flows)
    }

    /// The ports of a pool, 64 a word: a set bit for each that may be in use.
    pub fn snat_ports(&self, pool: u16) -> Result<Vec<u64>> {
        let first = u32::from(pool) * SNAT_POOL_WORDS;
        let words = read_cells(names::SNAT_PORTS, &self.snat_ports, first, SNAT_PORT_WORDS)?;
        Ok(words.into_iter().map(|word| word.0).collect())
    }

    /// Clears the marks of some of the 64 ports in a word of a pool. The data path may change them at the
    /// same time; what is lost then is a hint, which costs it one further try.
    pub fn clear_snat_ports(&mut self, pool: u16, word: u16, ports: u64) -> Result<()> {
        let pool = u32::from(pool) * SNAT_POOL_WORDS;
        let marked = self.snat_ports.get(pool + u32::from(word))?;
        self.snat_ports
            .set(pool + u32::from(word), &(marked & !ports))?;
        let full = pool + full_word(word);
        let not_full = self.snat_ports.get(full)? & !(1 << (word % 64));
        self.snat_ports.set(full, &not_full)
    }

    /// Makes a pool as good as new: every port is free.
    pub fn clear_pool(&mut self, pool: u32) -> Result<()> {
        for word in 0..SNAT_POOL_WORDS {
            self.snat_ports.set(pool * SNAT_POOL_WORDS + word, &0)?;
        }
        Ok(())
    }

    /// The cell of a neighbour that some flow goes through.
    pub fn neighbour_cell(&self, neighbour: &Neighbour) -> Result<Option<u32>> {
        self.neighbours.get(neighbour)
    }

    /// Calls `visit` with every neighbour that has a cell.
    pub fn walk_neighbours(&self, visit: impl FnMut(&Neighbour, &u32)) -> Result<()> {
        walk(names::NEIGHBOURS, &self.neighbours, visit)
    }

    /// A cell of the adjacency array.
    pub fn next_hop(&self, cell: u32) -> Result<NextHop> {
        self.next_hops.get(cell)
    }

    /// Rewrites a cell of the adjacency array: every flow through it follows with its next packet.
    pub fn set_next_hop(&mut self, cell: u32, next_hop: &NextHop) -> Result<()> {
        self.next_hops.set(cell, next_hop)
    }

    /// The generation of the routes.
    pub fn route_generation(&self) -> Result<u32> {
        Ok(self.routing.get(names::ROUTING_GENERATION)? as u32)
    }

    /// Starts a new generation of the routes: every flow looks its next hop up again.
    pub fn raise_route_generation(&mut self) -> Result<()> {
        let raised = self.routing.get(names::ROUTING_GENERATION)?.wrapping_add(1);
        self.start_route_generation(raised)
    }

    /// Starts a generation by its number, which is larger than that of any before.
    pub fn start_route_generation(&mut self, generation: u64) -> Result<()> {
        let before = self.routing.get(names::ROUTING_GENERATION)?;
        if before / route_cache::GENERATIONS != generation / route_cache::GENERATIONS {
            self.clear_routes()?;
        }
        self.routing.set(names::ROUTING_GENERATION, &generation)?;
        let mut cells = Vec::new();
        self.walk_neighbours(|_, cell| cells.push(*cell))?;
        for cell in cells {
            let mut next_hop = self.next_hops.get(cell)?;
            next_hop.generation = generation as u32;
            // Empty until the next look-up fills it: the neighbour may be no next hop any more.
            next_hop.interface = 0;
            self.next_hops.set(cell, &next_hop)?;
        }
        Ok(())
    }

    /// Empties the cache of routes: the numbers of generations in it begin anew.
    fn clear_routes(&mut self) -> Result<()> {
        for line in 0..route_cache::LINES {
            self.routes.set(line, &[0; route_cache::WAYS])?;
        }
        for cell in 0..MAX_SERVICES * MAX_NODES {
            self.node_routes.set(cell, &0)?;
        }
        Ok(())
    }

    /// What passed for a node, summed over the CPUs.
    pub fn node_counters(&self, cell: u32) -> Result<NodeCounters> {
        let mut sum = NodeCounters::default();
        for one in self.node_counters.get(cell)? {
            for way in 0..2 {
                sum.packets[way] += one.packets[way];
                sum.bytes[way] += one.bytes[way];
            }
            sum.opened += one.opened;
        }
        Ok(sum)
    }

    /// Makes the cell of a node as good as new: no node, and nothing counted. What was counted goes on
    /// counting in the sum of all nodes that are gone.
    pub fn clear_node(&mut self, cell: u32) -> Result<()> {
        let gone = self.node_counters(cell)?.packets.iter().sum();
        self.verdicts.add(GONE_CELL, gone)?;
        self.node_counters.clear(cell)?;
        self.node_routes.set(cell, &0)?;
        self.nodes.set(cell, &Node::default())
    }

    /// Packets passed to the kernel (cell 0) and dropped (by the number of the reason).
    pub fn verdicts(&self) -> Result<Vec<u64>> {
        (0..VERDICT_CELLS)
            .map(|cell| Ok(self.verdicts.get(cell)?.into_iter().sum()))
            .collect()
    }
}
