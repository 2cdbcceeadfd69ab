//! The tables of the data path as plain collections.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
};

use lb_common::{
    affinity::{Affinity, AffinityKey},
    event::Event,
    flow::{FlowCell, FlowEntry, FlowKey, Opened},
    fragment::{FragmentKey, FragmentPorts},
    interface::Interface,
    net::{Ip4, Mac},
    next_hop::{Neighbour, NextHop},
    policy::NodeAddress,
    route_cache::WAYS,
    service::{Node, Outbound, SNAT_POOL_WORDS, Service, ServiceKey},
    settings::{AnswerBudget, Settings},
    transaction::Transaction,
};
use lb_daemon::{contents::Contents, datapath::Pair};
use lb_ebpf::{
    flow_table::{self, turns, turns::Unconfirmed},
    route_cache,
    tables::{FlowSlot, InsertError, Owner, Route, Tables},
};

use super::{NEIGHBOURS, Port, flow_memory::FlowMemory};

/// Plain collections with the sizes of a configuration.
pub struct PlainTables {
    /// What the daemon has written.
    pub contents: Contents,
    flows: FlowMemory,
    snat: RefCell<HashMap<u32, u64>>,
    cursors: RefCell<HashMap<u16, u32>>,
    next_hops: RefCell<HashMap<u32, NextHop>>,
    cells: RefCell<HashMap<Neighbour, u32>>,
    routes: RefCell<HashMap<u32, RouteLine>>,
    node_routes: RefCell<HashMap<u32, u64>>,
    transactions: RefCell<HashMap<Transaction, u32>>,
    fragments: RefCell<HashMap<FragmentKey, FragmentPorts>>,
    /// Clients that stay with nodes that drain.
    pub affinities: RefCell<HashMap<AffinityKey, Affinity>>,
    loads: RefCell<HashMap<u32, u64>>,
    answers: RefCell<AnswerBudget>,
    /// Packets that passed although no rule names them.
    pub observed: Cell<u64>,
    /// Raised by tests that change routes.
    pub generation: Cell<u32>,
    /// The router that the default route leads to.
    pub gateway: Cell<Ip4>,
    /// What the daemon would have heard.
    pub events: RefCell<Vec<Event>>,
}

/// An entry of the plain flow table.
pub struct PlainSlot {
    /// The cell that it is in.
    pub cell: Rc<RefCell<FlowCell>>,
    /// Number of the cell.
    pub number: u32,
}

impl FlowSlot for PlainSlot {
    fn with<R>(&self, f: impl FnOnce(&mut FlowEntry) -> R) -> R {
        f(&mut self.cell.borrow_mut().entry)
    }
}

/// A line of the cache of routes.
#[derive(Clone, Default)]
pub struct RouteLine(Rc<[Cell<u64>; WAYS]>);

impl route_cache::Line for RouteLine {
    fn load(&self, way: usize) -> u64 {
        self.0[way].get()
    }

    fn store(&self, way: usize, word: u64) {
        self.0[way].set(word);
    }
}

impl PlainTables {
    /// Tables with these contents, and room for as many flows.
    pub fn new(contents: Contents, flows: u32, half_open: u32) -> Self {
        Self {
            contents,
            flows: FlowMemory::new(flows, half_open),
            snat: RefCell::default(),
            cursors: RefCell::default(),
            next_hops: RefCell::default(),
            cells: RefCell::default(),
            routes: RefCell::default(),
            node_routes: RefCell::default(),
            transactions: RefCell::default(),
            fragments: RefCell::default(),
            affinities: RefCell::default(),
            loads: RefCell::default(),
            answers: RefCell::default(),
            observed: Cell::new(0),
            generation: Cell::new(0),
            gateway: Cell::new(Ip4::from_octets([192, 0, 2, 254])),
            events: RefCell::default(),
        }
    }

    /// Every flow.
    pub fn flows(&self) -> Vec<Pair> {
        self.flows.all()
    }
}

/// The kernel's index that interfaces have on the host: 10, 11, 12.
pub const fn interface_index(port: Port) -> u32 {
    port as u32 + 10
}

impl Tables for PlainTables {
    type Slot = PlainSlot;
    type RouteLine = RouteLine;

    fn flow(&self, key: &FlowKey) -> Option<PlainSlot> {
        flow_table::find(&&self.flows, key)
    }

    fn look_up(&self, key: &FlowKey) -> Option<PlainSlot> {
        flow_table::look_up(&&self.flows, key)
    }

    fn at(&self, cell: u32, key: &FlowKey) -> Option<PlainSlot> {
        flow_table::entry_of(&&self.flows, cell, key)
    }

    fn other_direction(&self, flow: &PlainSlot, key: &FlowKey) -> Option<PlainSlot> {
        flow_table::other_direction(&&self.flows, flow.number, key)
    }

    fn open(
        &self,
        question: &FlowKey,
        answer: &FlowKey,
        write: impl FnOnce(&PlainSlot, &PlainSlot, Opened),
    ) -> Result<u32, InsertError> {
        turns::open(&&self.flows, question, answer, write)
    }

    fn unconfirmed(&self, answer: &FlowKey, answers: &PlainSlot) -> Option<Unconfirmed> {
        turns::of_answers(&&self.flows, answer, answers)
    }

    fn expect(&self, flow: &Unconfirmed, acknowledgment: u32) -> bool {
        turns::expect(&&self.flows, flow, acknowledgment)
    }

    fn confirm(&self, flow: &Unconfirmed) -> Result<(), InsertError> {
        turns::confirm(&&self.flows, flow)
    }

    fn forget(&self, question: &FlowKey) -> bool {
        flow_table::remove(&&self.flows, question)
    }

    fn service(&self, key: &ServiceKey) -> Option<Service> {
        let found = self
            .contents
            .services
            .iter()
            .find(|(known, _)| known == key);
        found.map(|(_, service)| *service)
    }

    fn outbound(&self, key: &ServiceKey) -> Option<Outbound> {
        let mut known = self.contents.outbound.iter();
        known
            .find(|(own, _)| own == key)
            .map(|(_, outbound)| *outbound)
    }

    fn ring_slot(&self, service: u16, slot: u32) -> Option<u8> {
        let ring = self.contents.rings.get(&service)?;
        ring.slots.get(slot as usize).copied()
    }

    fn affinity(&self, key: &AffinityKey) -> Option<Affinity> {
        self.affinities.borrow().get(key).copied()
    }

    fn node(&self, cell: u32) -> Option<Node> {
        self.contents.nodes.get(&cell).copied()
    }

    fn load(&self, cell: u32) -> u64 {
        self.loads.borrow().get(&cell).copied().unwrap_or(0)
    }

    fn count_opened(&self, cell: u32) {
        *self.loads.borrow_mut().entry(cell).or_default() += 1;
    }

    fn owner(&self, address: Ip4) -> Owner {
        let contents = &self.contents;
        if let Some((_, zone)) = contents.vips.iter().find(|(vip, _)| *vip == address) {
            return Owner::Vip(*zone);
        }
        let mut known = contents.node_addresses.iter();
        known
            .position(|(own, _)| *own == address)
            .map_or(Owner::Nobody, |number| Owner::Node(number as u32 + 1))
    }

    fn snat_word(&self, pool: u16, word: u32) -> u64 {
        let words = self.snat.borrow();
        words
            .get(&(u32::from(pool) * SNAT_POOL_WORDS + word))
            .copied()
            .unwrap_or(0)
    }

    fn snat_claim(&self, pool: u16, word: u32, bits: u64) -> u64 {
        let mut words = self.snat.borrow_mut();
        let word = words
            .entry(u32::from(pool) * SNAT_POOL_WORDS + word)
            .or_default();
        let before = *word;
        *word |= bits;
        before
    }

    fn snat_release(&self, pool: u16, word: u32, bits: u64) {
        let mut words = self.snat.borrow_mut();
        *words
            .entry(u32::from(pool) * SNAT_POOL_WORDS + word)
            .or_default() &= !bits;
    }

    fn snat_cursor(&self, pool: u16) -> u32 {
        let mut cursors = self.cursors.borrow_mut();
        let cursor = cursors.entry(pool).or_default();
        *cursor += 1;
        *cursor - 1
    }

    fn next_hop(&self, cell: u32) -> Option<NextHop> {
        Some(
            self.next_hops
                .borrow()
                .get(&cell)
                .copied()
                .unwrap_or_default(),
        )
    }

    fn set_next_hop(&self, cell: u32, next_hop: &NextHop) {
        self.next_hops.borrow_mut().insert(cell, *next_hop);
    }

    fn neighbour_cell(&self, neighbour: &Neighbour) -> Option<u32> {
        let mut cells = self.cells.borrow_mut();
        let next = cells.len() as u32 + 1;
        Some(*cells.entry(*neighbour).or_insert(next))
    }

    fn route_generation(&self) -> u32 {
        self.generation.get()
    }

    fn route(&self, key: &FlowKey) -> Route {
        let destination = key.destination.octets();
        let is_own =
            |own: [u8; 4]| destination == own || destination == [own[0], own[1], own[2], 255];
        if destination[0] == 127 || Port::ALL.map(Port::own_address).into_iter().any(is_own) {
            // This machine itself, and the broadcast addresses of its networks.
            return Route::None;
        }
        let (port, next) = match destination {
            [203, 0, 113, _] => (Port::Ext1, key.destination.octets()),
            [10, 20, 0, _] => (Port::Int0, key.destination.octets()),
            _ => (Port::Ext0, self.gateway.get().octets()),
        };
        let neighbour = Neighbour {
            interface: interface_index(port),
            address: Ip4::from_octets(next),
        };
        let known = NEIGHBOURS
            .iter()
            .find(|known| known.port == port && known.address == next);
        match known {
            Some(known) => Route::Resolved(
                neighbour,
                NextHop {
                    interface: interface_index(port),
                    generation: 0,
                    destination_mac: Mac::new(known.mac),
                    source_mac: Mac::new(port.mac()),
                    mtu: 1500,
                    reserved: 0,
                },
            ),
            None => Route::Unresolved(neighbour),
        }
    }

    fn interface(&self, index: u32) -> Option<Interface> {
        let port = Port::ALL
            .into_iter()
            .find(|port| interface_index(*port) == index)?;
        Some(Interface {
            index,
            mac: Mac::new(port.mac()),
            zone: u8::from(port == Port::Int0),
            reserved: 0,
            address: Ip4::from_octets(port.own_address()),
        })
    }

    fn node_address<R>(&self, number: u32, f: impl FnOnce(&NodeAddress) -> R) -> Option<R> {
        let known = self.contents.node_addresses.get(number as usize - 1);
        known.map(|(_, rules)| f(rules))
    }

    fn route_line(&self, number: u32) -> Option<RouteLine> {
        Some(self.routes.borrow_mut().entry(number).or_default().clone())
    }

    fn node_route(&self, cell: u32) -> u64 {
        self.node_routes.borrow().get(&cell).copied().unwrap_or(0)
    }

    fn set_node_route(&self, cell: u32, word: u64) {
        self.node_routes.borrow_mut().insert(cell, word);
    }

    fn asked_vip(&self, transaction: &Transaction) -> Option<u32> {
        self.transactions.borrow().get(transaction).copied()
    }

    fn remember(&self, transaction: &Transaction, now: u32) {
        self.transactions.borrow_mut().insert(*transaction, now);
    }

    fn fragment(&self, key: &FragmentKey) -> Option<FragmentPorts> {
        self.fragments.borrow().get(key).copied()
    }

    fn keep_fragment(&self, key: &FragmentKey, ports: &FragmentPorts) {
        self.fragments.borrow_mut().insert(*key, *ports);
    }

    fn settings(&self) -> Settings {
        self.contents.settings
    }

    fn may_answer(&self, now: u32, per_second: u32) -> bool {
        self.answers.borrow_mut().take(now, per_second)
    }

    fn count_observed(&self) {
        self.observed.set(self.observed.get() + 1);
    }

    fn notify(&self, event: &Event) {
        self.events.borrow_mut().push(*event);
    }
}
