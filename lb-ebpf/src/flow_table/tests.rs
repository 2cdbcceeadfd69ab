//! The table on several threads at once, as it is used by several CPUs.

mod claims;
mod unconfirmed;

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
    vec::Vec,
};

use lb_common::{
    flow::{FlowCell, FlowEntry, FlowKey, FlowState, Opened},
    flow_index::{BUCKET_WORDS, CROWDED, ELSEWHERE, Hash, SLOTS, buckets},
    net::{Ip4, Port, Protocol, Zone},
    turn::Turn,
};
use zerocopy::FromZeros as _;

use super::{Bucket, Cell, Memory, TurnWord, find, insert, look_up, remove};
use crate::tables::{FlowSlot, InsertError};

/// What a lock holds. One that is poisoned has failed its test already.
fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

type Meanwhile = fn(&Shared);

/// A table of so many flows.
struct Shared {
    index: Vec<[AtomicU64; BUCKET_WORDS]>,
    cells: Vec<Mutex<FlowCell>>,
    free: Mutex<Vec<u32>>,
    turns: Vec<AtomicU64>,
    turns_taken: AtomicU64,
    /// What another CPU does while this one stands still, before which of its exchanges of a word in the index.
    meanwhile: Mutex<Option<(u32, Meanwhile)>>,
}

impl Shared {
    fn new(flows: u32) -> Self {
        Self::with_turns(flows, 0)
    }

    /// The same, and room for so many that are not confirmed.
    fn with_turns(flows: u32, turns: u32) -> Self {
        let buckets = buckets(flows + turns);
        Self {
            index: (0..buckets)
                .map(|_| [const { AtomicU64::new(0) }; 8])
                .collect(),
            cells: (0..2 * (turns + flows))
                .map(|_| Mutex::new(FlowCell::new_zeroed()))
                .collect(),
            free: Mutex::new((turns..turns + flows).map(|pair| 2 * pair).collect()),
            turns: (0..turns).map(|_| AtomicU64::new(0)).collect(),
            turns_taken: AtomicU64::new(0),
            meanwhile: Mutex::default(),
        }
    }

    fn free(&self) -> usize {
        held(&self.free).len()
    }

    fn words(&self) -> usize {
        let words = self.index.iter().flat_map(|words| &words[..SLOTS]);
        words.filter(|word| word.load(SeqCst) != 0).count()
    }

    fn enter(&self, flow: u32) -> Result<(), InsertError> {
        insert(
            &self,
            &question(flow),
            &answer(flow),
            |to_node, to_client| {
                to_node.with(|entry| entry.opened = Opened::at(flow));
                to_client.with(|entry| entry.opened = Opened::at(flow));
            },
        )
    }

    fn found(&self, key: &FlowKey) -> Option<u32> {
        find(&self, key).map(|slot| slot.with(|entry| entry.opened.second()))
    }
}

impl<'a> Memory for &'a Shared {
    type Bucket = InTable<'a>;
    type Cell = &'a Mutex<FlowCell>;
    type Turn = InTurn<'a>;

    fn seed(&self) -> u64 {
        99
    }

    fn mask(&self) -> u32 {
        self.index.len() as u32 - 1
    }

    fn bucket(&self, number: u32) -> Option<Self::Bucket> {
        let words = self.index.get(number as usize)?;
        Some(InTable { table: self, words })
    }

    fn cell(&self, number: u32) -> Option<Self::Cell> {
        self.cells.get(number as usize)
    }

    fn take_pair(&self) -> Option<u32> {
        held(&self.free).pop()
    }

    fn give_pair(&self, first: u32) {
        let mut free = held(&self.free);
        assert!(!free.contains(&first), "given back twice");
        free.push(first);
    }

    fn turns(&self) -> u32 {
        self.turns.len() as u32
    }

    fn next_turn(&self) -> u32 {
        self.turns_taken.fetch_add(1, SeqCst) as u32
    }

    fn turn(&self, number: u32) -> Option<InTurn<'a>> {
        self.turns.get(number as usize).map(InTurn)
    }
}

/// The word of a turn.
struct InTurn<'a>(&'a AtomicU64);

impl TurnWord for InTurn<'_> {
    fn load(&self) -> u64 {
        self.0.load(SeqCst)
    }

    fn exchange(&self, old: u64, new: u64) -> bool {
        self.0.compare_exchange(old, new, SeqCst, SeqCst).is_ok()
    }

    fn set(&self, new: u64) {
        self.0.store(new, SeqCst);
    }
}

#[derive(Clone, Copy)]
struct InTable<'a> {
    table: &'a Shared,
    words: &'a [AtomicU64; BUCKET_WORDS],
}

impl Bucket for InTable<'_> {
    fn load(self, slot: usize) -> u64 {
        self.words[slot].load(SeqCst)
    }

    fn exchange(self, slot: usize, old: u64, new: u64) -> bool {
        let meanwhile = held(&self.table.meanwhile).take();
        match meanwhile {
            Some((0, meanwhile)) => meanwhile(self.table),
            Some((exchanges, later)) => {
                *held(&self.table.meanwhile) = Some((exchanges - 1, later));
            }
            None => {}
        }
        self.words[slot]
            .compare_exchange(old, new, SeqCst, SeqCst)
            .is_ok()
    }

    fn count_elsewhere(self, number: u64) {
        self.words[ELSEWHERE].fetch_add(number, SeqCst);
    }
}

impl<'a> Cell for &'a Mutex<FlowCell> {
    type Slot = &'a Mutex<FlowCell>;

    fn key(&self) -> FlowKey {
        held(self).key
    }

    fn set_key(&self, key: FlowKey) {
        held(self).key = key;
    }

    fn opened(&self) -> Opened {
        held(self).entry.opened
    }

    fn exchange_opened(&self, old: Opened, new: Opened) -> bool {
        let mut cell = held(self);
        let is_old = cell.entry.opened == old;
        if is_old {
            cell.entry.opened = new;
        }
        is_old
    }

    fn slot(self) -> Self::Slot {
        self
    }
}

impl FlowSlot for &Mutex<FlowCell> {
    fn with<R>(&self, f: impl FnOnce(&mut FlowEntry) -> R) -> R {
        f(&mut held(self).entry)
    }
}

fn key(client: [u8; 4], number: u32) -> FlowKey {
    let [a, b, c, d] = number.to_be_bytes();
    FlowKey::new(
        Zone::External,
        Protocol::Tcp,
        (
            Ip4::from_octets(client),
            Port::new(u16::from_be_bytes([c, d])),
        ),
        (Ip4::from_octets([203, 0, a, b]), Port::new(443)),
    )
}

fn question(flow: u32) -> FlowKey {
    key([198, 51, 100, 1], flow)
}

fn answer(flow: u32) -> FlowKey {
    key([203, 0, 113, 11], flow)
}

#[test]
fn what_is_put_in_is_found_both_ways_until_it_is_taken_out() {
    let table = Shared::new(64);
    for flow in 0..64 {
        assert_eq!(table.enter(flow), Ok(()));
    }
    assert_eq!(table.enter(64), Err(InsertError::Full));
    for flow in 0..64 {
        assert_eq!(table.found(&question(flow)), Some(flow));
        assert_eq!(table.found(&answer(flow)), Some(flow));
    }
    assert!(remove(&&table, &question(7)));
    assert!(!remove(&&table, &question(7)));
    assert_eq!(table.found(&question(7)), None);
    assert_eq!(table.found(&answer(7)), None);
    assert_eq!(table.enter(64), Ok(()));
    assert_eq!(table.words(), 128);
}

#[test]
fn a_key_that_is_taken_stays_with_who_has_it() {
    let table = Shared::new(8);
    assert_eq!(table.enter(1), Ok(()));
    assert_eq!(table.enter(1), Err(InsertError::Taken));
    // Another client, to which the node's answers would look the same.
    let entered = insert(&&table, &question(2), &answer(1), |_, _| ());
    assert_eq!(entered, Err(InsertError::Taken));
    assert_eq!(table.found(&question(2)), None);
    assert_eq!(table.found(&answer(1)), Some(1));
    // Nor has the attempt cost anything.
    assert_eq!((table.free(), table.words()), (7, 2));
}

#[test]
fn of_several_cpus_that_enter_a_flow_one_does() {
    const FLOWS: u32 = 2_000;
    let table = Shared::new(2 * FLOWS);
    let entered: Vec<u32> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    (0..FLOWS)
                        .filter(|flow| table.enter(*flow).is_ok())
                        .collect()
                })
            })
            .collect();
        let entered = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| panic!("a thread")));
        entered.collect::<Vec<Vec<u32>>>().concat()
    });
    for flow in 0..FLOWS {
        let stayed = entered.iter().filter(|entered| **entered == flow).count();
        assert_eq!(stayed, 1, "flow {flow}");
        assert!(table.found(&question(flow)).is_some());
        assert!(table.found(&answer(flow)).is_some());
    }
    assert_eq!(table.words(), 2 * entered.len());
    assert_eq!(table.free(), 2 * FLOWS as usize - entered.len());
}

#[test]
fn cells_are_neither_lost_nor_given_out_twice_where_flows_come_and_go() {
    // The index is as full as it gets, so many keys are elsewhere.
    const FLOWS: u32 = 270;
    let table = Shared::new(FLOWS + 4);
    thread::scope(|scope| {
        for thread in 0..4_u32 {
            let table = &table;
            scope.spawn(move || {
                for round in 0..FLOWS * 100 {
                    let flow = (round * (2 * thread + 1)) % FLOWS;
                    // Both may find that another thread was first.
                    let _ = table.enter(flow);
                    remove(&table, &question(flow));
                }
            });
        }
    });
    for flow in 0..FLOWS {
        remove(&&table, &question(flow));
    }
    assert_eq!((table.free(), table.words()), (FLOWS as usize + 4, 0));
    let elsewhere = table
        .index
        .iter()
        .map(|words| words[ELSEWHERE].load(SeqCst));
    assert!(elsewhere.into_iter().all(|keys| keys == 0));
}
