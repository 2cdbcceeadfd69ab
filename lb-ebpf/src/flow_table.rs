//! The established table: an index of tagged words ([`lb_common::flow_index`]) over cells of one cache line.
//!
//! A hash table of our own, because a look-up in the kernel's reads four cache lines and calls a helper,
//! and a hit of this one reads two. It never evicts and, once a flow is in it, never moves it.
//!
//! Several CPUs use it at once without a lock. What makes that right:
//!
//! - A word of the index changes by compare and exchange only, between empty and taken.
//! - The cells of a flow are written before the first word leads to them, and belong to who took them.
//! - Whoever has put in a key looks for it once more, and takes it out again where somebody else has it,
//!   too: of two at the same time at least one sees the other. Both may give way; never do both stay.
//! - Whoever empties the word of the client's key is the one who removes the flow and gives its cells back.

use core::ops::Range;

use lb_common::{
    flow::FlowKey,
    flow_index::{CROWDED, ELSEWHERE, Hash, SLOTS},
};

use crate::tables::{FlowSlot, InsertError};

/// Where the table lies.
pub trait Memory {
    /// A bucket of the index.
    type Bucket: Bucket;
    /// A cell.
    type Cell: Cell;

    /// The seed of the index's hash.
    fn seed(&self) -> u64;
    /// The number of buckets, a power of two, less one.
    fn mask(&self) -> u32;
    /// A bucket by its number.
    fn bucket(&self, number: u32) -> Option<Self::Bucket>;
    /// A cell by its number.
    fn cell(&self, number: u32) -> Option<Self::Cell>;
    /// Takes two neighbouring cells that no flow has, and returns the number of the first. `None` when
    /// there are none.
    fn take_pair(&self) -> Option<u32>;
    /// Gives the two cells back.
    fn give_pair(&self, first: u32);
}

/// A bucket of the index.
pub trait Bucket: Copy {
    /// The word in a slot, or [`ELSEWHERE`].
    fn load(self, slot: usize) -> u64;
    /// Puts `new` in the place of `old`; false where the slot holds something else.
    fn exchange(self, slot: usize, old: u64, new: u64) -> bool;
    /// Adds to the word [`ELSEWHERE`], around the end of numbers.
    fn count_elsewhere(self, number: u64);
}

/// A cell: a key and the entry under it.
pub trait Cell {
    /// The entry in place.
    type Slot: FlowSlot;

    /// The key.
    fn key(&self) -> FlowKey;
    /// Replaces the key.
    fn set_key(&self, key: FlowKey);
    /// The entry.
    fn slot(self) -> Self::Slot;
}

/// Looks up a flow.
#[inline(always)]
pub fn find<M: Memory>(memory: &M, key: &FlowKey) -> Option<<M::Cell as Cell>::Slot> {
    let hash = Hash::of(key, memory.seed());
    let first = memory.bucket(hash.first(memory.mask()))?;
    let mut cell = scan(memory, first, hash, key);
    if cell.is_none() && first.load(ELSEWHERE) != 0 {
        let second = memory.bucket(hash.second(memory.mask()))?;
        cell = scan(memory, second, hash, key);
    }
    cell.map(Cell::slot)
}

#[inline(always)]
fn scan<M: Memory>(memory: &M, bucket: M::Bucket, hash: Hash, key: &FlowKey) -> Option<M::Cell> {
    for slot in 0..SLOTS {
        if let Some(number) = hash.cell(bucket.load(slot))
            && let Some(cell) = memory.cell(number)
            && cell.key() == *key
        {
            return Some(cell);
        }
    }
    None
}

/// Enters both directions of a flow; `write` fills in the entry of the client's packets and that of the
/// answers.
///
/// # Errors
///
/// [`InsertError::Exists`] where one of the keys is taken, [`InsertError::Full`] where there is no room.
#[inline(always)]
pub fn insert<M: Memory>(
    memory: &M,
    question: &FlowKey,
    answer: &FlowKey,
    write: impl FnOnce(&<M::Cell as Cell>::Slot, &<M::Cell as Cell>::Slot),
) -> Result<(), InsertError> {
    let pair = memory.take_pair().ok_or(InsertError::Full)?;
    let Some(questions) = memory.cell(pair) else {
        return Err(InsertError::Full);
    };
    let Some(answers) = memory.cell(pair | 1) else {
        return Err(InsertError::Full);
    };
    questions.set_key(*question);
    answers.set_key(*answer);
    write(&questions.slot(), &answers.slot());
    // The answers first: a client's packet never finds a flow whose answers would not.
    let mut entered = put(memory, answer, pair | 1);
    if entered.is_ok() {
        entered = put(memory, question, pair);
        if entered.is_err() {
            take_out(memory, answer, pair | 1);
        }
    }
    if entered.is_err() {
        vacate(memory, pair);
    }
    entered
}

/// Removes the flow whose client's packets have `question`; false where there is none, or where somebody
/// else has just removed it.
#[inline(always)]
pub fn remove<M: Memory>(memory: &M, question: &FlowKey) -> bool {
    let Some(number) = number_of(memory, question) else {
        return false;
    };
    let pair = number & !1;
    let Some(answer) = memory.cell(pair | 1).map(|cell| cell.key()) else {
        return false;
    };
    if !take_out(memory, question, pair) {
        return false;
    }
    take_out(memory, &answer, pair | 1);
    vacate(memory, pair);
    true
}

/// Gives back two cells that no word leads to any more.
#[inline(always)]
fn vacate<M: Memory>(memory: &M, pair: u32) {
    for number in [pair, pair | 1] {
        if let Some(cell) = memory.cell(number) {
            cell.set_key(FlowKey::default());
        }
    }
    memory.give_pair(pair);
}

/// The buckets of a key, the first one first.
#[inline(always)]
fn bucket_of<M: Memory>(memory: &M, hash: Hash, second: bool) -> Option<M::Bucket> {
    let mask = memory.mask();
    memory.bucket(if second {
        hash.second(mask)
    } else {
        hash.first(mask)
    })
}

/// True where a bucket leads from the key to another cell than `own`.
#[inline(always)]
fn holds_other<M: Memory>(
    memory: &M,
    bucket: M::Bucket,
    hash: Hash,
    key: &FlowKey,
    own: u32,
) -> bool {
    for slot in 0..SLOTS {
        if let Some(number) = hash.cell(bucket.load(slot))
            && number != own
            && memory.cell(number).is_some_and(|cell| cell.key() == *key)
        {
            return true;
        }
    }
    false
}

/// True where the index leads from the key to another cell than `own`.
#[inline(never)]
fn is_taken<M: Memory>(memory: &M, hash: Hash, key: &FlowKey, own: u32) -> bool {
    for second in [false, true] {
        let Some(bucket) = bucket_of(memory, hash, second) else {
            return true;
        };
        if holds_other(memory, bucket, hash, key, own) {
            return true;
        }
    }
    false
}

/// Puts the word of a key into one of its buckets.
#[inline(never)]
fn put<M: Memory>(memory: &M, key: &FlowKey, number: u32) -> Result<(), InsertError> {
    let hash = Hash::of(key, memory.seed());
    if is_taken(memory, hash, key, number) {
        return Err(InsertError::Exists);
    }
    if !fill(memory, hash, number) {
        return Err(InsertError::Full);
    }
    if is_taken(memory, hash, key, number) {
        take_out(memory, key, number);
        return Err(InsertError::Exists);
    }
    Ok(())
}

/// Puts a word into a bucket that it belongs into: the first, while that is not crowded; false where both are
/// full.
#[inline(never)]
fn fill<M: Memory>(memory: &M, hash: Hash, number: u32) -> bool {
    let Some(first) = bucket_of(memory, hash, false) else {
        return false;
    };
    let Some(second) = bucket_of(memory, hash, true) else {
        return false;
    };
    let word = hash.word(number);
    if fill_slots(first, 0..CROWDED, word) {
        return true;
    }
    // Counted first: from the moment that the key is there it is looked for.
    first.count_elsewhere(1);
    if fill_slots(second, 0..CROWDED, word) {
        return true;
    }
    for slot in CROWDED..SLOTS {
        if fill_slots(first, slot..slot + 1, word) {
            first.count_elsewhere(1_u64.wrapping_neg());
            return true;
        }
        if fill_slots(second, slot..slot + 1, word) {
            return true;
        }
    }
    first.count_elsewhere(1_u64.wrapping_neg());
    false
}

/// Puts a word into the first of some slots that is free.
#[inline(always)]
fn fill_slots<B: Bucket>(bucket: B, slots: Range<usize>, word: u64) -> bool {
    for slot in slots {
        if bucket.load(slot) == 0 && bucket.exchange(slot, 0, word) {
            return true;
        }
    }
    false
}

/// Empties the word that leads from a key to a cell; false where there is none.
#[inline(never)]
fn take_out<M: Memory>(memory: &M, key: &FlowKey, number: u32) -> bool {
    let hash = Hash::of(key, memory.seed());
    let word = hash.word(number);
    let Some(first) = bucket_of(memory, hash, false) else {
        return false;
    };
    if empty(first, word) {
        return true;
    }
    let Some(second) = bucket_of(memory, hash, true) else {
        return false;
    };
    let was_there = empty(second, word);
    if was_there {
        first.count_elsewhere(1_u64.wrapping_neg());
    }
    was_there
}

/// Empties the slot that holds a word; false where there is none.
#[inline(always)]
fn empty<B: Bucket>(bucket: B, word: u64) -> bool {
    for slot in 0..SLOTS {
        if bucket.load(slot) == word && bucket.exchange(slot, word, 0) {
            return true;
        }
    }
    false
}

/// The cell of a key.
#[inline(never)]
fn number_of<M: Memory>(memory: &M, key: &FlowKey) -> Option<u32> {
    let hash = Hash::of(key, memory.seed());
    for second in [false, true] {
        let bucket = bucket_of(memory, hash, second)?;
        for slot in 0..SLOTS {
            if let Some(number) = hash.cell(bucket.load(slot))
                && memory.cell(number).is_some_and(|cell| cell.key() == *key)
            {
                return Some(number);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests;
