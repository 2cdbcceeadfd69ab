//! The two flow tables: the established one is ours ([`lb_ebpf::flow_table`]) and lies in array maps, the
//! half-open one is the kernel's LRU hash.

use core::ptr::NonNull;

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_NOEXIST},
    btf_maps::{Array, LruHashMap, PerCpuArray, Queue},
    macros::btf_map,
};
use lb_common::{
    flow::{FlowCell, FlowEntry, FlowKey, HalfOpenEntry},
    flow_index::{BucketWords, ELSEWHERE},
    names::FLOW_PAIRS_USED,
};
use lb_ebpf::{
    flow_table::{Bucket, Cell, Memory},
    tables::{FlowSlot, HalfOpenSlot, InsertError},
};

use super::atomic::Word;

/// The kernel puts the elements of an array that can be mapped on a page boundary, so that a cell and a
/// bucket are a cache line each. Nobody maps them.
pub const ON_PAGES: usize = BPF_F_MMAPABLE as usize;

// The daemon sets the sizes at load time, and with them what follows from them.
#[btf_map]
static FLOWS: Array<FlowCell, 524_288, ON_PAGES> = Array::new();
#[btf_map]
static FLOW_INDEX: Array<BucketWords, 131_072, ON_PAGES> = Array::new();
#[btf_map]
static FLOW_PAIRS: Queue<u32, 262_144> = Queue::new();
#[btf_map]
static FLOW_TABLE: Array<u64, 16> = Array::new();
#[btf_map]
static HALF_OPEN: LruHashMap<FlowKey, HalfOpenEntry, 131_072> = LruHashMap::new();
// A flow entry before it is inserted.
#[btf_map]
static DRAFT: PerCpuArray<HalfOpenEntry, 1> = PerCpuArray::new();

/// Seed of the index's hash.
#[unsafe(no_mangle)]
static FLOW_SEED: u64 = 0;
/// Buckets of the index, less one.
#[unsafe(no_mangle)]
static FLOW_MASK: u32 = 131_071;
/// Flows that fit.
#[unsafe(no_mangle)]
static FLOW_CAPACITY: u32 = 262_144;

/// Reads what the daemon has set: to the compiler it is as it was built.
#[inline(always)]
fn set_at_load<T: Copy>(constant: &T) -> T {
    // SAFETY: a reference is good to read from.
    unsafe { core::ptr::read_volatile(constant) }
}

/// An entry of a flow table, in place.
pub struct Slot(NonNull<FlowEntry>);

impl FlowSlot for Slot {
    #[inline(always)]
    fn with<R>(&self, f: impl FnOnce(&mut FlowEntry) -> R) -> R {
        // SAFETY: the pointer came from a look-up in this run of the program. Cells of an array stay where
        // they are, and RCU keeps an element of a preallocated hash table in place until the run ends.
        // Other CPUs may change the entry meanwhile: every field is at most eight bytes, read and written
        // as a whole.
        f(unsafe { &mut *self.0.as_ptr() })
    }
}

/// Where the established table lies.
pub struct FlowMemory;

impl Memory for FlowMemory {
    type Bucket = Words;
    type Cell = Line;

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
        FLOWS.get_ptr_mut(number).and_then(NonNull::new).map(Line)
    }

    #[inline(always)]
    fn take_pair(&self) -> Option<u32> {
        if let Ok(Some(pair)) = FLOW_PAIRS.pop() {
            return Some(pair);
        }
        let used = used()?;
        let capacity = u64::from(set_at_load(&FLOW_CAPACITY));
        // Looked at first: every try of a full table would add one.
        if used.load() >= capacity {
            return None;
        }
        let pair = used.increment();
        (pair < capacity).then_some(2 * pair as u32)
    }

    #[inline(always)]
    fn give_pair(&self, first: u32) {
        // There is room for every pair.
        let _ = FLOW_PAIRS.push(first, 0);
    }
}

#[inline(always)]
fn used() -> Option<Word> {
    // SAFETY: just looked up in an array map.
    FLOW_TABLE
        .get_ptr_mut(FLOW_PAIRS_USED)
        .map(|pointer| unsafe { Word::new(pointer) })
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

/// A cell of the established table.
pub struct Line(NonNull<FlowCell>);

impl Cell for Line {
    type Slot = Slot;

    #[inline(always)]
    fn key(&self) -> FlowKey {
        // SAFETY: a cell just looked up in an array map; other CPUs change a key only when nothing leads to it.
        unsafe { (*self.0.as_ptr()).key }
    }

    #[inline(always)]
    fn set_key(&self, key: FlowKey) {
        // SAFETY: as in `key`; the cell is ours, and no word leads to it.
        unsafe { (*self.0.as_ptr()).key = key };
    }

    #[inline(always)]
    fn slot(self) -> Slot {
        // SAFETY: a part of the same cell.
        Slot(unsafe { NonNull::new_unchecked(&raw mut (*self.0.as_ptr()).entry) })
    }
}

/// An entry of the half-open table, in place.
pub struct HalfOpen(NonNull<HalfOpenEntry>);

impl HalfOpenSlot for HalfOpen {
    type Slot = Slot;

    #[inline(always)]
    fn flow(&self) -> Slot {
        // SAFETY: a part of the same element.
        Slot(unsafe { NonNull::new_unchecked(&raw mut (*self.0.as_ptr()).entry) })
    }

    #[inline(always)]
    fn with<R>(&self, f: impl FnOnce(&mut HalfOpenEntry) -> R) -> R {
        // SAFETY: as for `Slot`.
        f(unsafe { &mut *self.0.as_ptr() })
    }

    #[inline(always)]
    fn claim(&self) -> bool {
        // SAFETY: an aligned word of an element just looked up.
        let confirming = unsafe { Word::new(&raw mut (*self.0.as_ptr()).confirming) };
        confirming.set(1) == 0
    }
}

/// Looks up a flow in the half-open table.
#[inline(always)]
pub fn half_open(key: &FlowKey) -> Option<HalfOpen> {
    HALF_OPEN
        .get_ptr_mut(key)
        .and_then(NonNull::new)
        .map(HalfOpen)
}

const EEXIST: i32 = -17;

/// Inserts an entry into the half-open table.
#[inline(always)]
pub fn open(key: &FlowKey, write: impl FnOnce(&mut HalfOpenEntry)) -> Result<(), InsertError> {
    // There is always a cell 0; the verifier does not know.
    let draft = DRAFT.get_ptr_mut(0).ok_or(InsertError::Full)?;
    // SAFETY: the cell of this CPU, and the program is not interrupted by itself.
    let entry = unsafe { &mut *draft };
    write(entry);
    let entry = &*entry;
    HALF_OPEN
        .insert(key, entry, u64::from(BPF_NOEXIST))
        .map_err(|error| match error {
            EEXIST => InsertError::Exists,
            _ => InsertError::Full,
        })
}

/// Removes an entry of the half-open table; that it is gone already is as good.
#[inline(always)]
pub fn forget_half_open(key: &FlowKey) {
    let _ = HALF_OPEN.remove(key);
}
