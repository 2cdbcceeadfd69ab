//! The flow table: an index of tagged words ([`lb_common::flow_index`]) over cells of one cache line.
//!
//! A hash table of our own, because a look-up in the kernel's reads four cache lines and calls a helper,
//! and a hit of this one reads two. Once a flow is in it, it never moves; what is confirmed is never pushed out,
//! and what is not has a turn ([`turns`]).
//!
//! Several CPUs use it at once, and look-ups never wait. What makes that right:
//!
//! - A word of the index changes by compare and exchange only, between empty, claimed and taken.
//! - The cells of a flow are written before the first word leads to them, and belong to who took them.
//! - No two words of a bucket have the same tag: a look-up has one candidate. A word is put in as a claim, which
//!   becomes the word where no other has its tag, and of several claims the one to the lowest cell does
//!   (`claims.rs`). Nobody waits for anybody: whoever puts in a key may stand still in the midst of it.
//! - A confirmed flow is removed by who has put [`Opened::ENDING`] into the entry of its answers, again by compare and
//!   exchange. Its cells go to the others that are free.

mod claims;
pub mod turns;

use core::ops::Range;

use lb_common::{
    flow::{FlowKey, Opened},
    flow_index::{CROWDED, ELSEWHERE, Hash, IN_SECOND, IN_THIRD, SLOTS},
};

use crate::tables::{FlowSlot, InsertError};

/// Where the table lies.
pub trait Memory: Sized {
    /// A bucket of the index.
    type Bucket: Bucket;
    /// A cell.
    type Cell: Cell;
    /// The word of a turn.
    type Turn: TurnWord;

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
    /// How many turns there are.
    fn turns(&self) -> u32;
    /// How many turns were taken before this one, around the end of numbers: it is that with the same number, modulo
    /// the number of turns.
    fn next_turn(&self) -> u32;
    /// A turn by its number.
    fn turn(&self, number: u32) -> Option<Self::Turn>;

    /// Calls [`put`].
    fn put(&self, key: &FlowKey, number: u32) -> Result<(), InsertError> {
        put(self, key, number)
    }
    /// Calls [`take_out`].
    fn take_out(&self, key: &FlowKey, number: u32) -> bool {
        take_out(self, key, number)
    }
    /// Calls [`search`].
    fn search(&self, key: &FlowKey, among: Among) -> Option<u32> {
        search(self, key, among)
    }
}

/// The word of a turn ([`lb_common::turn::Turn`]).
pub trait TurnWord {
    /// The word as it is now.
    fn load(&self) -> u64;
    /// Puts `new` in the place of `old`; false where the word is something else.
    fn exchange(&self, old: u64, new: u64) -> bool;
    /// Replaces the word.
    fn set(&self, new: u64);
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
    /// When the flow was opened.
    fn opened(&self) -> Opened;
    /// Puts `new` in the place of `old` as [`lb_common::flow::FlowEntry::opened`]; false where it is something else.
    fn exchange_opened(&self, old: Opened, new: Opened) -> bool;
}

/// What a key is searched among.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Among {
    /// The words.
    Words,
    /// The words and the claims: where somebody is just entering the flow, that is the one.
    Claims,
}

/// Looks up a flow, in its first bucket where the call is.
#[inline(always)]
pub fn find<M: Memory>(memory: &M, key: &FlowKey) -> Option<<M::Cell as Cell>::Slot> {
    let hash = Hash::of(key, memory.seed());
    let first = memory.bucket(hash.first(memory.mask()))?;
    let number = hash.cell(candidate(first, |word| hash.has_tag(word)));
    match number.and_then(|number| entry_of(memory, number, key)) {
        Some(entry) => Some(entry),
        None if first.load(ELSEWHERE) == 0 => None,
        None => look_up(memory, key),
    }
}

/// Looks up a flow by a call, and also one that somebody is just entering.
#[inline(always)]
pub fn look_up<M: Memory>(memory: &M, key: &FlowKey) -> Option<<M::Cell as Cell>::Slot> {
    let number = memory.search(key, Among::Claims)?;
    memory.cell(number).map(Cell::slot)
}

/// The entry in a cell, where that has this key.
#[inline(always)]
pub fn entry_of<M: Memory>(
    memory: &M,
    number: u32,
    key: &FlowKey,
) -> Option<<M::Cell as Cell>::Slot> {
    let cell = memory.cell(number)?;
    (cell.key() == *key).then(|| cell.slot())
}

/// The entry of the packets that go the other way in the flow that has this cell, where they have this key.
#[inline(always)]
pub fn other_direction<M: Memory>(
    memory: &M,
    number: u32,
    key: &FlowKey,
) -> Option<<M::Cell as Cell>::Slot> {
    entry_of(memory, number ^ 1, key)
}

/// The cell of a key.
#[inline(always)]
pub fn search<M: Memory>(memory: &M, key: &FlowKey, among: Among) -> Option<u32> {
    let hash = Hash::of(key, memory.seed());
    for place in 0..BUCKETS {
        let bucket = bucket_of(memory, hash, place)?;
        let mut word = candidate(bucket, |word| hash.has_tag(word));
        if word == 0 && among == Among::Claims {
            word = candidate(bucket, |word| hash.has_tag_or_claim(word));
        }
        if let Some(number) = hash.cell(word)
            && entry_of(memory, number, key).is_some()
        {
            return Some(number);
        }
        if place == 0 && bucket.load(ELSEWHERE) == 0 {
            break;
        }
    }
    None
}

/// The one word of a bucket that may lead to a cell; 0 where none does.
#[inline(always)]
fn candidate<B: Bucket>(bucket: B, leads: impl Fn(u64) -> bool) -> u64 {
    let mut candidate = 0;
    for slot in 0..SLOTS {
        let word = bucket.load(slot);
        if leads(word) {
            candidate = word;
        }
    }
    candidate
}

/// Enters both directions of a confirmed flow; `write` fills in the entry of the client's packets and that of
/// the answers.
///
/// # Errors
///
/// What keeps the flow out.
#[inline(always)]
pub fn insert<M: Memory>(
    memory: &M,
    question: &FlowKey,
    answer: &FlowKey,
    write: impl FnOnce(&<M::Cell as Cell>::Slot, &<M::Cell as Cell>::Slot),
) -> Result<(), InsertError> {
    let pair = memory.take_pair().ok_or(InsertError::Full)?;
    let entered = enter(memory, pair, question, answer, write);
    if entered.is_err() {
        memory.give_pair(pair);
    }
    entered
}

/// Enters both directions of a flow into two cells that are ours.
#[inline(always)]
fn enter<M: Memory>(
    memory: &M,
    pair: u32,
    question: &FlowKey,
    answer: &FlowKey,
    write: impl FnOnce(&<M::Cell as Cell>::Slot, &<M::Cell as Cell>::Slot),
) -> Result<(), InsertError> {
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
    let entered = match memory.put(answer, pair | 1) {
        Ok(()) => match memory.put(question, pair) {
            Ok(()) => return Ok(()),
            Err(error) => {
                memory.take_out(answer, pair | 1);
                match error {
                    InsertError::Taken => InsertError::Known,
                    error => error,
                }
            }
        },
        Err(error) => error,
    };
    vacate(memory, pair);
    Err(entered)
}

/// Removes the flow whose client's packets have `question`; false where there is none, or where somebody
/// else is about to confirm or to remove it.
#[inline(always)]
pub fn remove<M: Memory>(memory: &M, question: &FlowKey) -> bool {
    let Some(number) = memory.search(question, Among::Words) else {
        return false;
    };
    let pair = number & !1;
    let Some(questions) = memory.cell(pair) else {
        return false;
    };
    let Some(answers) = memory.cell(pair | 1) else {
        return false;
    };
    let opened = answers.opened();
    if let Some(number) = opened.turn() {
        return turns::remove(memory, number, pair, question);
    }
    if !answers.exchange_opened(opened, Opened::ENDING) {
        return false;
    }
    // Between our look and our grasp the cells may have gone to another flow, which then goes on.
    if questions.key() != *question {
        answers.exchange_opened(Opened::ENDING, opened);
        return false;
    }
    memory.take_out(question, pair);
    memory.take_out(&answers.key(), pair | 1);
    vacate(memory, pair);
    memory.give_pair(pair);
    true
}

/// Notes of two cells that no word leads to them any more; that of the client's key last, by which others tell.
#[inline(always)]
fn vacate<M: Memory>(memory: &M, pair: u32) {
    for number in [pair | 1, pair] {
        if let Some(cell) = memory.cell(number) {
            cell.set_key(FlowKey::default());
        }
    }
}

/// Buckets of a key.
const BUCKETS: u32 = 3;

/// A bucket of a key: 0 is the first.
#[inline(always)]
fn bucket_of<M: Memory>(memory: &M, hash: Hash, number: u32) -> Option<M::Bucket> {
    let mask = memory.mask();
    memory.bucket(match number {
        0 => hash.first(mask),
        1 => hash.second(mask),
        _ => hash.third(mask),
    })
}

/// Puts the word of a key into one of its buckets.
#[inline(always)]
pub fn put<M: Memory>(memory: &M, key: &FlowKey, number: u32) -> Result<(), InsertError> {
    let hash = Hash::of(key, memory.seed());
    let Some(first) = bucket_of(memory, hash, 0) else {
        return Err(InsertError::Full);
    };
    match fill(memory, first, hash, hash.claim(number)) {
        Some(place) => claims::settle(memory, first, hash, number, &place),
        None => Err(InsertError::Full),
    }
}

/// Where a word was put.
struct Place<B> {
    bucket: B,
    slot: usize,
    /// As what it is counted in the first bucket of its key.
    counted: u64,
}

/// Puts a word into its first bucket, or where that is crowded into the less crowded of its first two, or into its
/// third.
#[inline(always)]
fn fill<M: Memory>(
    memory: &M,
    first: M::Bucket,
    hash: Hash,
    word: u64,
) -> Option<Place<M::Bucket>> {
    let placed = |bucket, slot, counted| {
        Some(Place {
            bucket,
            slot,
            counted,
        })
    };
    if let Some(slot) = fill_slots(first, 0..CROWDED, word) {
        return placed(first, slot, 0);
    }
    let second = bucket_of(memory, hash, 1)?;
    // Counted first: from the moment that the key is there it is looked for.
    first.count_elsewhere(IN_SECOND);
    if let Some(slot) = fill_slots(second, 0..CROWDED, word) {
        return placed(second, slot, IN_SECOND);
    }
    for crowded in CROWDED..SLOTS {
        if let Some(slot) = fill_slots(first, crowded..crowded + 1, word) {
            first.count_elsewhere(IN_SECOND.wrapping_neg());
            return placed(first, slot, 0);
        }
        if let Some(slot) = fill_slots(second, crowded..crowded + 1, word) {
            return placed(second, slot, IN_SECOND);
        }
    }
    first.count_elsewhere(IN_THIRD.wrapping_sub(IN_SECOND));
    let third = bucket_of(memory, hash, 2)?;
    if let Some(slot) = fill_slots(third, 0..SLOTS, word) {
        return placed(third, slot, IN_THIRD);
    }
    first.count_elsewhere(IN_THIRD.wrapping_neg());
    None
}

/// Puts a word into the first of some slots that is free: which.
#[inline(always)]
fn fill_slots<B: Bucket>(bucket: B, mut slots: Range<usize>, word: u64) -> Option<usize> {
    slots.find(|slot| bucket.load(*slot) == 0 && bucket.exchange(*slot, 0, word))
}

/// Empties the word that leads from a key to a cell; false where there is none.
#[inline(always)]
pub fn take_out<M: Memory>(memory: &M, key: &FlowKey, number: u32) -> bool {
    let hash = Hash::of(key, memory.seed());
    let word = hash.word(number);
    let Some(first) = bucket_of(memory, hash, 0) else {
        return false;
    };
    if empty(first, word) {
        return true;
    }
    for (number, place) in [(1, IN_SECOND), (2, IN_THIRD)] {
        if let Some(bucket) = bucket_of(memory, hash, number)
            && empty(bucket, word)
        {
            first.count_elsewhere(place.wrapping_neg());
            return true;
        }
    }
    false
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

#[cfg(test)]
mod tests;
