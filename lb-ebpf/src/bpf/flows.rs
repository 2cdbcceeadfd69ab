//! Where the flow table ([`lb_ebpf::flow_table`]) lies: in array maps.

use core::ptr::NonNull;

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    btf_maps::{Array, Queue},
    macros::btf_map,
};
use lb_common::{
    flow::{FlowCell, FlowEntry, FlowKey, Opened},
    flow_index::{BucketWords, ELSEWHERE},
    names::{FLOW_PAIRS_USED, TURNS_TAKEN},
};
use lb_ebpf::{
    flow_table::{Among, Bucket, Cell, Memory, TurnWord},
    tables::{FlowSlot, InsertError},
};

use super::{
    atomic::{Word, word},
    flow_calls,
};

/// The kernel puts the elements of an array that can be mapped on a page boundary, so that a cell and a
/// bucket are a cache line each; and the daemon reads cells without a system call for each few of them.
pub const ON_PAGES: usize = BPF_F_MMAPABLE as usize;

// The daemon sets the sizes at load time, and with them what follows from them.
#[btf_map]
static FLOWS: Array<FlowCell, 655_360, ON_PAGES> = Array::new();
#[btf_map]
static FLOW_INDEX: Array<BucketWords, 131_072, ON_PAGES> = Array::new();
#[btf_map]
static FLOW_PAIRS: Queue<u32, 262_144> = Queue::new();
#[btf_map]
static FLOW_TABLE: Array<u64, 24> = Array::new();
#[btf_map]
static TURNS: Array<u64, 65_536> = Array::new();

/// Seed of the index's hash.
#[unsafe(no_mangle)]
static FLOW_SEED: u64 = 0;
/// Buckets of the index, less one.
#[unsafe(no_mangle)]
static FLOW_MASK: u32 = 131_071;
/// Confirmed flows that fit.
#[unsafe(no_mangle)]
static FLOW_CAPACITY: u32 = 262_144;
/// Turns, that is flows that are not confirmed that fit.
#[unsafe(no_mangle)]
static FLOW_TURNS: u32 = 65_536;

/// Reads what the daemon has set: to the compiler it is as it was built.
#[inline(always)]
fn set_at_load<T: Copy>(constant: &T) -> T {
    // SAFETY: a reference is good to read from.
    unsafe { core::ptr::read_volatile(constant) }
}

/// An entry of the flow table, in place.
pub struct Slot {
    entry: NonNull<FlowEntry>,
    /// Its cell.
    pub number: u32,
}

impl FlowSlot for Slot {
    #[inline(always)]
    fn with<R>(&self, f: impl FnOnce(&mut FlowEntry) -> R) -> R {
        // SAFETY: the pointer came from a look-up in this run of the program; cells of an array stay where
        // they are. Other CPUs may change the entry meanwhile: every field is at most eight bytes, read and written
        // as a whole.
        f(unsafe { &mut *self.entry.as_ptr() })
    }
}

/// Where the flow table lies.
pub struct FlowMemory;

impl Memory for FlowMemory {
    type Bucket = Words;
    type Cell = Line;
    type Turn = Word;

    #[inline(always)]
    fn seed(&self) -> u64 {
        set_at_load(&FLOW_SEED)
    }

    #[inline(always)]
    fn mask(&self) -> u32 {
        set_at_load(&FLOW_MASK)
    }

    #[inline(always)]
    fn bucket(&self, number: u32) -> Option<Words> {
        FLOW_INDEX
            .get_ptr_mut(number)
            .and_then(NonNull::new)
            .map(|words| Words(words.cast()))
    }

    #[inline(always)]
    fn cell(&self, number: u32) -> Option<Line> {
        let cell = FLOWS.get_ptr_mut(number).and_then(NonNull::new)?;
        Some(Line { cell, number })
    }

    #[inline(always)]
    fn take_pair(&self) -> Option<u32> {
        if let Ok(Some(pair)) = FLOW_PAIRS.pop() {
            return Some(pair);
        }
        let used = word(&FLOW_TABLE, FLOW_PAIRS_USED)?;
        let capacity = u64::from(set_at_load(&FLOW_CAPACITY));
        // Looked at first: every try of a full table would add one.
        if used.load() >= capacity {
            return None;
        }
        let pair = used.increment();
        // The first are those of the turns.
        (pair < capacity).then_some(2 * (set_at_load(&FLOW_TURNS) + pair as u32))
    }

    #[inline(always)]
    fn give_pair(&self, first: u32) {
        // There is room for every pair.
        let _ = FLOW_PAIRS.push(first, 0);
    }

    #[inline(always)]
    fn turns(&self) -> u32 {
        set_at_load(&FLOW_TURNS)
    }

    #[inline(always)]
    fn next_turn(&self) -> u32 {
        word(&FLOW_TABLE, TURNS_TAKEN).map_or(0, Word::increment) as u32
    }

    #[inline(always)]
    fn turn(&self, number: u32) -> Option<Word> {
        word(&TURNS, number)
    }

    #[inline(always)]
    fn put(&self, key: &FlowKey, number: u32) -> Result<(), InsertError> {
        flow_calls::put(key, number)
    }

    #[inline(always)]
    fn take_out(&self, key: &FlowKey, number: u32) -> bool {
        flow_calls::take_out(key, number)
    }

    #[inline(always)]
    fn search(&self, key: &FlowKey, among: Among) -> Option<u32> {
        flow_calls::search(key, among)
    }
}

impl TurnWord for Word {
    #[inline(always)]
    fn load(&self) -> u64 {
        Self::load(*self)
    }

    #[inline(always)]
    fn exchange(&self, old: u64, new: u64) -> bool {
        Self::exchange(*self, old, new)
    }

    #[inline(always)]
    fn set(&self, new: u64) {
        Self::store(*self, new);
    }
}

/// A bucket of the index.
#[derive(Clone, Copy)]
pub struct Words(NonNull<u64>);

impl Words {
    #[inline(always)]
    fn word(self, slot: usize) -> Word {
        // SAFETY: a word of a bucket just looked up in an array map; `slot` is below the number of its words,
        // which the verifier checks.
        unsafe { Word::new(self.0.as_ptr().add(slot)) }
    }
}

impl Bucket for Words {
    #[inline(always)]
    fn load(self, slot: usize) -> u64 {
        self.word(slot).load()
    }

    #[inline(always)]
    fn exchange(self, slot: usize, old: u64, new: u64) -> bool {
        self.word(slot).exchange(old, new)
    }

    #[inline(always)]
    fn count_elsewhere(self, number: u64) {
        self.word(ELSEWHERE).add(number);
    }
}

/// A cell of the flow table.
pub struct Line {
    cell: NonNull<FlowCell>,
    number: u32,
}

impl Cell for Line {
    type Slot = Slot;

    #[inline(always)]
    fn key(&self) -> FlowKey {
        // SAFETY: a cell just looked up in an array map; other CPUs change a key only when nothing leads to it.
        unsafe { (*self.cell.as_ptr()).key }
    }

    #[inline(always)]
    fn set_key(&self, key: FlowKey) {
        // SAFETY: as in `key`; the cell is ours, and no word leads to it.
        unsafe { (*self.cell.as_ptr()).key = key };
    }

    #[inline(always)]
    fn opened(&self) -> Opened {
        // SAFETY: as in `key`, but for that others change it as a whole.
        unsafe { (&raw const (*self.cell.as_ptr()).entry.opened).read_volatile() }
    }

    #[inline(always)]
    fn exchange_opened(&self, old: Opened, new: Opened) -> bool {
        // SAFETY: an aligned word of the same cell.
        unsafe {
            let opened = &raw mut (*self.cell.as_ptr()).entry.opened;
            Word::exchange_half(opened.cast(), old.word(), new.word())
        }
    }

    #[inline(always)]
    fn slot(self) -> Slot {
        // SAFETY: a part of the same cell.
        let entry = unsafe { NonNull::new_unchecked(&raw mut (*self.cell.as_ptr()).entry) };
        Slot {
            entry,
            number: self.number,
        }
    }
}
