//! The memory of the flow table in a host test: index, cells and turns are what they are in the kernel.

use std::{
    cell::{Cell as Shared, RefCell},
    collections::BTreeMap,
    rc::Rc,
};

use lb_common::{
    flow::{FlowCell, FlowEntry, FlowKey, Opened},
    flow_index::{BUCKET_WORDS, BucketWords, ELSEWHERE, buckets},
};
use lb_daemon::datapath::Pair;
use lb_ebpf::flow_table::{Bucket, Cell, Memory, TurnWord};
use zerocopy::FromBytes as _;

use super::tables::PlainSlot;

/// Room for a number of flows.
pub struct FlowMemory {
    capacity: u32,
    index: Vec<Shared<BucketWords>>,
    /// Those that were ever asked for.
    cells: RefCell<BTreeMap<u32, Rc<RefCell<FlowCell>>>>,
    /// The first cell that was never given out.
    unused: Shared<u32>,
    given_back: RefCell<Vec<u32>>,
    turns: Vec<Shared<u64>>,
    turns_taken: Shared<u32>,
}

impl FlowMemory {
    /// For so many flows that are confirmed, and so many that are not.
    pub fn new(flows: u32, half_open: u32) -> Self {
        let capacity = flows + half_open;
        let buckets = buckets(capacity) as usize;
        Self {
            capacity,
            index: vec![Shared::new([0; BUCKET_WORDS]); buckets],
            cells: RefCell::default(),
            // The first are those of the turns.
            unused: Shared::new(2 * half_open),
            given_back: RefCell::default(),
            turns: vec![Shared::new(0); half_open as usize],
            turns_taken: Shared::default(),
        }
    }

    /// Every flow.
    pub fn all(&self) -> Vec<Pair> {
        let cells = self.cells.borrow();
        let cells: Vec<FlowCell> = cells.values().map(|cell| *cell.borrow()).collect();
        let pairs = cells.as_chunks().0.iter().copied();
        pairs
            .filter(|pair: &Pair| pair.iter().all(|cell| !cell.key.is_vacant()))
            .collect()
    }
}

/// The real ones are full of the flow before, but for the key.
fn vacant() -> Rc<RefCell<FlowCell>> {
    Rc::new(RefCell::new(FlowCell {
        key: FlowKey::default(),
        entry: FlowEntry::read_from_bytes(&[0xa5; size_of::<FlowEntry>()])
            .unwrap_or_else(|error| panic!("{error}")),
    }))
}

impl<'a> Memory for &'a FlowMemory {
    type Bucket = PlainBucket<'a>;
    type Cell = PlainCell;
    type Turn = PlainTurn<'a>;

    fn seed(&self) -> u64 {
        0x1234_5678
    }

    fn mask(&self) -> u32 {
        self.index.len() as u32 - 1
    }

    fn bucket(&self, number: u32) -> Option<PlainBucket<'a>> {
        self.index.get(number as usize).map(PlainBucket)
    }

    fn cell(&self, number: u32) -> Option<PlainCell> {
        let mut cells = self.cells.borrow_mut();
        // Both of a pair: `all` takes them two by two.
        (number < 2 * self.capacity).then(|| {
            cells.entry(number ^ 1).or_insert_with(vacant);
            let cell = Rc::clone(cells.entry(number).or_insert_with(vacant));
            PlainCell { cell, number }
        })
    }

    fn take_pair(&self) -> Option<u32> {
        if let Some(pair) = self.given_back.borrow_mut().pop() {
            return Some(pair);
        }
        let first = self.unused.get();
        (first < 2 * self.capacity).then(|| {
            self.unused.set(first + 2);
            first
        })
    }

    fn give_pair(&self, first: u32) {
        self.given_back.borrow_mut().push(first);
    }

    fn turns(&self) -> u32 {
        self.turns.len() as u32
    }

    fn next_turn(&self) -> u32 {
        let taken = self.turns_taken.get();
        self.turns_taken.set(taken + 1);
        taken
    }

    fn turn(&self, number: u32) -> Option<PlainTurn<'a>> {
        self.turns.get(number as usize).map(PlainTurn)
    }
}

/// The word of a turn.
pub struct PlainTurn<'a>(&'a Shared<u64>);

impl TurnWord for PlainTurn<'_> {
    fn load(&self) -> u64 {
        self.0.get()
    }

    fn exchange(&self, old: u64, new: u64) -> bool {
        let is_old = self.0.get() == old;
        if is_old {
            self.0.set(new);
        }
        is_old
    }

    fn set(&self, new: u64) {
        self.0.set(new);
    }
}

/// A bucket.
#[derive(Clone, Copy)]
pub struct PlainBucket<'a>(&'a Shared<BucketWords>);

impl Bucket for PlainBucket<'_> {
    fn load(self, slot: usize) -> u64 {
        self.0.get()[slot]
    }

    fn exchange(self, slot: usize, old: u64, new: u64) -> bool {
        let mut words = self.0.get();
        let is_old = words[slot] == old;
        if is_old {
            words[slot] = new;
            self.0.set(words);
        }
        is_old
    }

    fn count_elsewhere(self, number: u64) {
        let mut words = self.0.get();
        words[ELSEWHERE] = words[ELSEWHERE].wrapping_add(number);
        self.0.set(words);
    }
}

/// A cell.
pub struct PlainCell {
    cell: Rc<RefCell<FlowCell>>,
    number: u32,
}

impl Cell for PlainCell {
    type Slot = PlainSlot;

    fn key(&self) -> FlowKey {
        self.cell.borrow().key
    }

    fn set_key(&self, key: FlowKey) {
        self.cell.borrow_mut().key = key;
    }

    fn opened(&self) -> Opened {
        self.cell.borrow().entry.opened
    }

    fn exchange_opened(&self, old: Opened, new: Opened) -> bool {
        let mut cell = self.cell.borrow_mut();
        let is_old = cell.entry.opened == old;
        if is_old {
            cell.entry.opened = new;
        }
        is_old
    }

    fn slot(self) -> PlainSlot {
        PlainSlot {
            cell: self.cell,
            number: self.number,
        }
    }
}
