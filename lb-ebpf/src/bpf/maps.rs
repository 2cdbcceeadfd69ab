//! The maps, and the operations on them that [`Tables`] names.

use core::ptr::NonNull;

use aya_ebpf::{
    EbpfContext as _,
    bindings::{BPF_NOEXIST, bpf_fib_lookup as FibLookup},
    btf_maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
    helpers::generated::bpf_fib_lookup,
    macros::btf_map,
    programs::XdpContext,
};
use lb_common::{
    address::{ADDRESS_CELLS, ADDRESS_INDEXES, AddressHash, AddressIndex, KnownAddress},
    affinity::{Affinity, AffinityKey, MAX_AFFINITIES},
    counters::NodeCounters,
    drop_reason::{OBSERVED_CELL, VERDICT_CELLS},
    event::Event,
    flow::{Direction, FlowKey, Opened},
    fragment::{FragmentKey, FragmentPorts, MAX_FRAGMENTED},
    interface::{INTERFACE_CELLS, Interface},
    names::{ROUTING_CELLS_USED, ROUTING_GENERATION},
    net::{Ip4, Mac},
    next_hop::{MAX_NEXT_HOPS, Neighbour, NextHop},
    policy::NodeAddress,
    route_cache::{LINES, Line},
    service::{
        MAX_NODES, MAX_SERVICES, MAX_SNAT_POOLS, NO_NODE, Node, Outbound, Ring, SNAT_POOL_WORDS,
        Service, ServiceKey,
    },
    settings::{AnswerBudget, Settings},
    transaction::{MAX_TRANSACTIONS, Transaction},
};
use lb_ebpf::{
    flow_table::{self, turns, turns::Unconfirmed},
    packet::Packet,
    route_cache,
    tables::{InsertError, Owner, Route, Tables},
    verdict::Way,
};

use super::{
    atomic::{Word, word},
    clock::Ticked,
    flows::{FlowMemory, ON_PAGES, Slot},
};

const NODE_CELLS: usize = (MAX_SERVICES * MAX_NODES) as usize;

#[btf_map]
static SERVICES: HashMap<ServiceKey, Service, { MAX_SERVICES as usize }> = HashMap::new();
#[btf_map]
static RINGS: Array<Ring, { MAX_SERVICES as usize }> = Array::new();
#[btf_map]
static NODES: Array<Node, NODE_CELLS> = Array::new();
#[btf_map]
static ADDRESSES: Array<KnownAddress, { ADDRESS_CELLS as usize }> = Array::new();
#[btf_map]
static ADDRESS_INDEX: Array<AddressIndex, { ADDRESS_INDEXES as usize }> = Array::new();
#[btf_map]
static ADDRESS_HASH: Array<u64, 1> = Array::new();
#[btf_map]
static SNAT_PORTS: Array<u64, { (MAX_SNAT_POOLS * SNAT_POOL_WORDS) as usize }> = Array::new();
#[btf_map]
static SNAT_CURSORS: Array<u64, { MAX_SNAT_POOLS as usize }> = Array::new();
#[btf_map]
static NEXT_HOPS: Array<NextHop, { MAX_NEXT_HOPS as usize }> = Array::new();
#[btf_map]
static NEIGHBOURS: HashMap<Neighbour, u32, { MAX_NEXT_HOPS as usize }> = HashMap::new();
#[btf_map]
static ROUTING: Array<u64, 2> = Array::new();
#[btf_map]
static INTERFACES: Array<Interface, { INTERFACE_CELLS as usize }> = Array::new();
#[btf_map]
static NODE_COUNTERS: PerCpuArray<NodeCounters, NODE_CELLS> = PerCpuArray::new();
#[btf_map]
static VERDICTS: PerCpuArray<u64, { VERDICT_CELLS as usize }> = PerCpuArray::new();
#[btf_map]
static OUTBOUND: HashMap<ServiceKey, Outbound, { (MAX_SERVICES * MAX_NODES) as usize }> =
    HashMap::new();
#[btf_map]
static ROUTES: Array<Line, { LINES as usize }, ON_PAGES> = Array::new();
#[btf_map]
static NODE_ROUTES: Array<u64, NODE_CELLS> = Array::new();
#[btf_map]
static TRANSACTIONS: LruHashMap<Transaction, u32, { MAX_TRANSACTIONS as usize }> =
    LruHashMap::new();
#[btf_map]
static FRAGMENTS: LruHashMap<FragmentKey, FragmentPorts, { MAX_FRAGMENTED as usize }> =
    LruHashMap::new();
#[btf_map]
static AFFINITIES: HashMap<AffinityKey, Affinity, { MAX_AFFINITIES as usize }> = HashMap::new();
#[btf_map]
static NODE_LOADS: Array<u64, NODE_CELLS> = Array::new();
#[btf_map]
static SETTINGS: Array<Settings, 1> = Array::new();
#[btf_map]
static ANSWERS: PerCpuArray<AnswerBudget, 1> = PerCpuArray::new();
// What one run of the program works on.
#[btf_map]
static WORK: PerCpuArray<[u64; WORK_WORDS], 1> = PerCpuArray::new();
#[btf_map]
static EVENTS: RingBuf<Event, 65_536> = RingBuf::new();

/// The maps, as seen from one packet.
pub struct Maps<'a> {
    context: &'a XdpContext,
}

impl<'a> Maps<'a> {
    /// The maps for the packet of `context`: the routing table is that of its network namespace.
    #[inline(always)]
    pub const fn new(context: &'a XdpContext) -> Self {
        Self { context }
    }
}

/// What one run of the program works on: in a map, because the stack has no room for it, and because the
/// verifier takes what it reads from a map for any value. It would follow every value that it knows through
/// everything that comes after.
pub struct Work {
    /// The packet.
    pub packet: Packet,
    /// How it is sent on.
    pub way: Way,
    /// The clock.
    pub clock: Ticked,
}

const WORK_WORDS: usize = size_of::<Work>().div_ceil(8);

impl Work {
    /// The place of this run.
    #[inline(always)]
    pub fn place() -> Option<&'static mut Self> {
        // SAFETY: the cell of this CPU, which is large enough and aligned to eight bytes; the program is not
        // interrupted by itself. Its first bytes are zero, which is a value of every field, and only
        // values are written after that.
        WORK.get_ptr_mut(0)
            .map(|cell| unsafe { &mut *cell.cast::<Self>() })
    }

    /// The same place, of which LLVM knows nothing: it reads from there what it needs, where it needs it,
    /// and does not keep all of it on the stack.
    #[inline(always)]
    pub fn forgotten(&mut self) -> (&Packet, &mut Way) {
        let mut place: *mut Self = self;
        // SAFETY: changes nothing. (An empty text would leave two line infos for one instruction.)
        unsafe { core::arch::asm!("{0} += 0", inout(reg) place, options(nostack)) };
        // SAFETY: still the same place.
        let work = unsafe { &mut *place };
        (&work.packet, &mut work.way)
    }
}

/// Adds to a counter that only this CPU writes.
#[inline(always)]
fn count(cell: u32, add: impl FnOnce(&mut NodeCounters)) {
    if let Some(counters) = NODE_COUNTERS.get_ptr_mut(cell) {
        // SAFETY: the slot of this CPU; the program is not interrupted by itself.
        add(unsafe { &mut *counters });
    }
}

/// Counts a packet that was sent on.
#[inline(always)]
pub fn count_forwarded(node_cell: u32, direction: Direction, length: u16) {
    let way = usize::from(direction == Direction::TO_CLIENT);
    count(node_cell, |counters| {
        counters.packets[way] += 1;
        counters.bytes[way] += u64::from(length);
    });
}

/// Counts a packet that was passed to the kernel (0) or dropped for the reason with this number.
#[inline(always)]
pub fn count_verdict(cell: u32) {
    if let Some(counter) = VERDICTS.get_ptr_mut(cell) {
        // SAFETY: as in `count`.
        unsafe { *counter += 1 };
    }
}

#[inline(always)]
fn snat_word(pool: u16, index: u32) -> Option<Word> {
    word(&SNAT_PORTS, u32::from(pool) * SNAT_POOL_WORDS + index)
}

/// Hides where an index comes from: LLVM deletes the bound check of an index that is a remainder, and
/// the verifier does not know what LLVM knows.
#[inline(always)]
fn opaque(index: u32) -> usize {
    let mut index = u64::from(index);
    // SAFETY: changes nothing, as slots are below 4096. (An empty text would leave two line infos for
    // one instruction, which the kernel refuses.)
    unsafe { core::arch::asm!("{0} &= 4095", inout(reg) index, options(nomem, nostack, pure)) };
    index as usize
}

/// A subprogram: it is big, and called from several places.
#[inline(never)]
fn forget(question: &FlowKey) -> bool {
    flow_table::remove(&FlowMemory, question)
}

/// A line of the cache of routes, in place.
pub struct RouteLine(NonNull<Line>);

impl route_cache::Line for RouteLine {
    #[inline(always)]
    fn load(&self, way: usize) -> u64 {
        self.word(way).load()
    }

    #[inline(always)]
    fn store(&self, way: usize, word: u64) {
        self.word(way).store(word);
    }
}

impl RouteLine {
    #[inline(always)]
    fn word(&self, way: usize) -> Word {
        // SAFETY: just looked up in an array map, and ways are below the number of words in a line.
        unsafe { Word::new(self.0.as_ptr().cast::<u64>().add(way)) }
    }
}

impl Tables for Maps<'_> {
    type Slot = Slot;
    type RouteLine = RouteLine;

    #[inline(always)]
    fn flow(&self, key: &FlowKey) -> Option<Slot> {
        flow_table::find(&FlowMemory, key)
    }

    #[inline(always)]
    fn look_up(&self, key: &FlowKey) -> Option<Slot> {
        flow_table::look_up(&FlowMemory, key)
    }

    #[inline(always)]
    fn at(&self, cell: u32, key: &FlowKey) -> Option<Slot> {
        flow_table::entry_of(&FlowMemory, cell, key)
    }

    #[inline(always)]
    fn other_direction(&self, flow: &Slot, key: &FlowKey) -> Option<Slot> {
        flow_table::other_direction(&FlowMemory, flow.number, key)
    }

    #[inline(always)]
    fn open(
        &self,
        question: &FlowKey,
        answer: &FlowKey,
        write: impl FnOnce(&Slot, &Slot, Opened),
    ) -> Result<u32, InsertError> {
        turns::open(&FlowMemory, question, answer, write)
    }

    #[inline(always)]
    fn unconfirmed(&self, answer: &FlowKey, answers: &Slot) -> Option<Unconfirmed> {
        turns::of_answers(&FlowMemory, answer, answers)
    }

    #[inline(always)]
    fn expect(&self, flow: &Unconfirmed, acknowledgment: u32) -> bool {
        turns::expect(&FlowMemory, flow, acknowledgment)
    }

    #[inline(always)]
    fn confirm(&self, flow: &Unconfirmed) -> Result<(), InsertError> {
        turns::confirm(&FlowMemory, flow)
    }

    #[inline(always)]
    fn forget(&self, question: &FlowKey) -> bool {
        forget(question)
    }

    #[inline(always)]
    fn service(&self, key: &ServiceKey) -> Option<Service> {
        // SAFETY: copied before anything else happens.
        unsafe { SERVICES.get(key) }.copied()
    }

    #[inline(always)]
    fn outbound(&self, key: &ServiceKey) -> Option<Outbound> {
        // SAFETY: copied before anything else happens.
        unsafe { OUTBOUND.get(key) }.copied()
    }

    #[inline(always)]
    fn ring_slot(&self, service: u16, slot: u32) -> Option<u8> {
        let ring = RINGS.get(u32::from(service))?;
        Some(ring.slots.get(opaque(slot)).copied().unwrap_or(NO_NODE))
    }

    #[inline(always)]
    fn affinity(&self, key: &AffinityKey) -> Option<Affinity> {
        // SAFETY: copied before anything else happens.
        unsafe { AFFINITIES.get(key) }.copied()
    }

    #[inline(always)]
    fn node(&self, cell: u32) -> Option<Node> {
        NODES.get(cell).copied()
    }

    #[inline(always)]
    fn load(&self, cell: u32) -> u64 {
        word(&NODE_LOADS, cell).map_or(0, Word::load)
    }

    #[inline(always)]
    fn count_opened(&self, cell: u32) {
        if let Some(load) = word(&NODE_LOADS, cell) {
            load.increment();
        }
        count(cell, |counters| counters.opened += 1);
    }

    #[inline(always)]
    fn owner(&self, address: Ip4) -> Owner {
        let Some(hash) = word(&ADDRESS_HASH, 0) else {
            return Owner::Nobody;
        };
        let hash = AddressHash::from_word(hash.load());
        let index = ADDRESS_INDEX.get(hash.index());
        let cell = index.map_or(0, |index| u32::from(index[hash.slot(address)]));
        if cell == 0 {
            return Owner::Nobody;
        }
        match ADDRESSES.get(cell) {
            Some(known) if known.is(address) => match known.vip_zone() {
                Some(zone) => Owner::Vip(zone),
                None => Owner::Node(cell),
            },
            _ => Owner::Nobody,
        }
    }

    #[inline(always)]
    fn snat_word(&self, pool: u16, word: u32) -> u64 {
        snat_word(pool, word).map_or(u64::MAX, Word::load)
    }

    #[inline(always)]
    fn snat_claim(&self, pool: u16, word: u32, bits: u64) -> u64 {
        snat_word(pool, word).map_or(u64::MAX, |word| word.set(bits))
    }

    #[inline(always)]
    fn snat_release(&self, pool: u16, word: u32, bits: u64) {
        if let Some(word) = snat_word(pool, word) {
            word.clear(bits);
        }
    }

    #[inline(always)]
    fn snat_cursor(&self, pool: u16) -> u32 {
        word(&SNAT_CURSORS, u32::from(pool)).map_or(0, |cursor| cursor.increment() as u32)
    }

    #[inline(always)]
    fn next_hop(&self, cell: u32) -> Option<NextHop> {
        NEXT_HOPS.get(cell).copied()
    }

    #[inline(always)]
    fn set_next_hop(&self, cell: u32, next_hop: &NextHop) {
        // Cannot fail: `neighbour_cell` gives out cells of the array only.
        let _ = NEXT_HOPS.set(cell, next_hop, 0);
    }

    #[inline(always)]
    fn neighbour_cell(&self, neighbour: &Neighbour) -> Option<u32> {
        // SAFETY: copied before anything else happens.
        if let Some(cell) = unsafe { NEIGHBOURS.get(neighbour) } {
            return Some(*cell);
        }
        let cell = 1 + word(&ROUTING, ROUTING_CELLS_USED)?.increment();
        if cell >= u64::from(MAX_NEXT_HOPS) {
            return None;
        }
        let cell = cell as u32;
        match NEIGHBOURS.insert(neighbour, cell, u64::from(BPF_NOEXIST)) {
            Ok(()) => Some(cell),
            // Another CPU was first; a cell is lost, of very many.
            // SAFETY: copied before anything else happens.
            Err(_) => unsafe { NEIGHBOURS.get(neighbour) }.copied(),
        }
    }

    #[inline(always)]
    fn route_generation(&self) -> u32 {
        word(&ROUTING, ROUTING_GENERATION).map_or(0, |changes| changes.load() as u32)
    }

    #[inline(always)]
    fn route(&self, key: &FlowKey) -> Route {
        route(self.context, key)
    }

    #[inline(always)]
    fn interface(&self, index: u32) -> Option<Interface> {
        INTERFACES
            .get(index % INTERFACE_CELLS)
            .filter(|interface| interface.index == index && index != 0)
            .copied()
    }

    #[inline(always)]
    fn node_address<R>(&self, number: u32, f: impl FnOnce(&NodeAddress) -> R) -> Option<R> {
        ADDRESSES.get(number).map(|known| f(&known.node))
    }

    #[inline(always)]
    fn route_line(&self, number: u32) -> Option<RouteLine> {
        ROUTES
            .get_ptr_mut(number)
            .and_then(NonNull::new)
            .map(RouteLine)
    }

    #[inline(always)]
    fn node_route(&self, cell: u32) -> u64 {
        word(&NODE_ROUTES, cell).map_or(0, Word::load)
    }

    #[inline(always)]
    fn set_node_route(&self, cell: u32, route: u64) {
        if let Some(word) = word(&NODE_ROUTES, cell) {
            word.store(route);
        }
    }

    #[inline(always)]
    fn asked_vip(&self, transaction: &Transaction) -> Option<u32> {
        // SAFETY: copied before anything else happens.
        unsafe { TRANSACTIONS.get(transaction) }.copied()
    }

    #[inline(always)]
    fn remember(&self, transaction: &Transaction, now: u32) {
        // Without a place in the table the client hears nothing and asks again.
        let _ = TRANSACTIONS.insert(transaction, now, 0);
    }

    #[inline(always)]
    fn fragment(&self, key: &FragmentKey) -> Option<FragmentPorts> {
        // SAFETY: copied before anything else happens.
        unsafe { FRAGMENTS.get(key) }.copied()
    }

    #[inline(always)]
    fn keep_fragment(&self, key: &FragmentKey, ports: &FragmentPorts) {
        // Without a place in the table the other fragments are dropped and counted.
        let _ = FRAGMENTS.insert(key, ports, 0);
    }

    #[inline(always)]
    fn settings(&self) -> Settings {
        SETTINGS.get(0).copied().unwrap_or_default()
    }

    #[inline(always)]
    fn may_answer(&self, now: u32, per_second: u32) -> bool {
        ANSWERS.get_ptr_mut(0).is_some_and(|budget| {
            // SAFETY: as in `count`.
            unsafe { &mut *budget }.take(now, per_second)
        })
    }

    #[inline(always)]
    fn count_observed(&self) {
        count_verdict(OBSERVED_CELL);
    }

    #[inline(always)]
    fn notify(&self, event: &Event) {
        // The sender of the packet will try again, and so will this.
        let _ = EVENTS.output(event, 0);
    }
}

const AF_INET: u8 = 2;
const RESOLVED: i64 = 0;
const NO_NEIGHBOUR: i64 = 7;

/// Asks the kernel's routing table as if the packet came from this machine (interface 1 is `lo` in
/// every namespace), so that only `lo` needs forwarding enabled and the kernel itself never forwards
/// anything from one interface to another (H13).
#[inline(always)]
fn route(context: &XdpContext, key: &FlowKey) -> Route {
    const LO: u32 = 1;
    #[allow(clippy::cast_possible_wrap)] // 64.
    const LENGTH: i32 = size_of::<FibLookup>() as i32;
    // SAFETY: a C structure of integers and byte arrays, for which zero is a value.
    let mut lookup: FibLookup = unsafe { core::mem::zeroed() };
    lookup.family = AF_INET;
    lookup.l4_protocol = key.protocol;
    lookup.ifindex = LO;
    lookup.__bindgen_anon_3.ipv4_src = key.source.wire();
    lookup.__bindgen_anon_4.ipv4_dst = key.destination.wire();
    // SAFETY: context and structure outlive the call, which is told the structure's size.
    let answer = unsafe { bpf_fib_lookup(context.as_ptr(), &raw mut lookup, LENGTH, 0) };
    if lookup.family != AF_INET {
        // An IPv4 route through an IPv6 gateway.
        return Route::None;
    }
    let neighbour = Neighbour {
        interface: lookup.ifindex,
        // SAFETY: the family says which member of the union is meant.
        address: Ip4::from_wire(unsafe { lookup.__bindgen_anon_4.ipv4_dst }),
    };
    match answer {
        RESOLVED => Route::Resolved(
            neighbour,
            NextHop {
                interface: lookup.ifindex,
                generation: 0,
                destination_mac: Mac::new(lookup.dmac),
                source_mac: Mac::new(lookup.smac),
                // SAFETY: after a successful look-up the member holds the MTU.
                mtu: unsafe { lookup.__bindgen_anon_1.mtu_result },
                reserved: 0,
            },
        ),
        NO_NEIGHBOUR => Route::Unresolved(neighbour),
        _ => Route::None,
    }
}
