//! The memory of the established table in a host test: the index and the cells are what they are in the kernel.

use std::{
    cell::{Cell as Shared, RefCell},
    rc::Rc,
};

use lb_common::{
    flow::{FlowCell, FlowEntry, FlowKey},
    flow_index::{BUCKET_WORDS, BucketWords, ELSEWHERE, buckets},
};
use lb_ebpf::flow_table::{Bucket, Cell, Memory};
use zerocopy::FromBytes as _;

use super::tables::PlainSlot;

/// Room for a number of flows.
pub struct FlowMemory {
    capacity: u32,
    index: Vec<Shared<BucketWords>>,
    /// As many as have ever been given out.
    cells: RefCell<Vec<Rc<RefCell<FlowCell>>>>,
    given_back: RefCell<Vec<u32>>,
}

impl FlowMemory {
    /// For so many flows.
    pub fn new(flows: usize) -> Self {
        let capacity = u32::try_from(flows).unwrap_or_else(|error| panic!("{error}"));
        Self {
            capacity,
            index: vec![Shared::new([0; BUCKET_WORDS]); buckets(capacity) as usize],
            cells: RefCell::default(),
            given_back: RefCell::default(),
        }
    }

    /// Every entry.
    pub fn all(&self) -> Vec<(FlowKey, FlowEntry)> {
        let cells = self.cells.borrow();
        cells
            .iter()
            .map(|cell| *cell.borrow())
            .filter(|cell| !cell.key.is_vacant())
            .map(|cell| (cell.key, cell.entry))
            .collect()
    }
}

impl<'a> Memory for &'a FlowMemory {
    type Bucket = PlainBucket<'a>;
    type Cell = PlainCell;

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
        let cells = self.cells.borrow();
        cells.get(number as usize).cloned().map(PlainCell)
    }

    fn take_pair(&self) -> Option<u32> {
        if let Some(pair) = self.given_back.borrow_mut().pop() {
            return Some(pair);
        }
        let mut cells = self.cells.borrow_mut();
        let first = cells.len() as u32;
        (first < 2 * self.capacity).then(|| {
            // The real ones are full of the flow before, but for the key.
            let cell = FlowCell {
                key: FlowKey::default(),
                entry: FlowEntry::read_from_bytes(&[0xa5; size_of::<FlowEntry>()])
                    .unwrap_or_else(|error| panic!("{error}")),
            };
            cells.extend([0, 1].map(|_| Rc::new(RefCell::new(cell))));
            first
        })
    }

    fn give_pair(&self, first: u32) {
        self.given_back.borrow_mut().push(first);
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
pub struct PlainCell(Rc<RefCell<FlowCell>>);

impl Cell for PlainCell {
    type Slot = PlainSlot;

    fn key(&self) -> FlowKey {
        self.0.borrow().key
    }

    fn set_key(&self, key: FlowKey) {
        self.0.borrow_mut().key = key;
    }

    fn slot(self) -> PlainSlot {
        PlainSlot::Established(self.0)
    }
}
