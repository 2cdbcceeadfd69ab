//! The table on several threads at once, as it is used by several CPUs.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
    vec::Vec,
};

use lb_common::{
    flow::{FlowCell, FlowEntry, FlowKey, FlowState, Opened},
    flow_index::{BUCKET_WORDS, ELSEWHERE, LOCKED, SLOTS, buckets},
    net::{Ip4, Port, Protocol, Zone},
    turn::Turn,
};
use zerocopy::FromZeros as _;

use super::{Bucket, Cell, Memory, TurnWord, find, insert, remove, turns};
use crate::tables::{FlowSlot, InsertError};

/// What a lock holds. One that is poisoned has failed its test already.
fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A table of so many flows.
struct Shared {
    index: Vec<[AtomicU64; BUCKET_WORDS]>,
    cells: Vec<Mutex<FlowCell>>,
    free: Mutex<Vec<u32>>,
    turns: Vec<AtomicU64>,
    turns_taken: AtomicU64,
    /// What another CPU does in between, when a word is about to be put in for the first time.
    meanwhile: Mutex<Option<fn(&Self)>>,
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
        if let Some(meanwhile) = meanwhile {
            meanwhile(self.table);
        }
        self.words[slot]
            .compare_exchange(old, new, SeqCst, SeqCst)
            .is_ok()
    }

    fn count_elsewhere(self, number: u64) {
        self.words[ELSEWHERE].fetch_add(number, SeqCst);
    }

    fn lock(self) -> bool {
        // Who has it may be a thread that does not run.
        for _ in 0..1000 {
            if self.words[ELSEWHERE].fetch_or(LOCKED, SeqCst) & LOCKED == 0 {
                return true;
            }
            thread::sleep(Duration::from_micros(100));
        }
        false
    }

    fn unlock(self) {
        self.words[ELSEWHERE].fetch_and(!LOCKED, SeqCst);
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
fn while_a_key_is_put_in_nobody_else_can() {
    let table = Shared::new(8);
    // The answers of both flows have one key. This one gives up, as whoever has the lock waits for it.
    *held(&table.meanwhile) = Some(|table| {
        let entered = insert(&table, &question(2), &answer(1), |_, _| ());
        assert_eq!(entered, Err(InsertError::Full));
    });
    assert_eq!(table.enter(1), Ok(()));
    assert_eq!(table.found(&question(2)), None);
    assert_eq!(table.found(&answer(1)), Some(1));
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
    const FLOWS: u32 = 300;
    let table = Shared::new(2 * FLOWS);
    thread::scope(|scope| {
        for thread in 0..4_u32 {
            let table = &table;
            scope.spawn(move || {
                for round in 0..FLOWS * 40 {
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
    assert_eq!((table.free(), table.words()), (2 * FLOWS as usize, 0));
}

/// Flows that are not confirmed. The client's entry tells which flow it is; that of the answers has the turn.
impl Shared {
    fn open(&self, flow: u32) -> Result<(), InsertError> {
        let write = |to_node: &&Mutex<FlowCell>, to_client: &&Mutex<FlowCell>, opened| {
            for (slot, opened) in [(to_node, Opened::at(flow)), (to_client, opened)] {
                slot.with(|entry| {
                    entry.opened = opened;
                    entry.state = FlowState::OPENING;
                });
            }
        };
        turns::open(&self, &question(flow), &answer(flow), write)
    }

    fn confirm(&self, flow: u32) -> Result<(), InsertError> {
        let answers = find(&self, &answer(flow)).ok_or(InsertError::Full)?;
        let unconfirmed = turns::of_answers(&self, &answer(flow), &answers);
        let unconfirmed = unconfirmed.ok_or(InsertError::Known)?;
        turns::confirm(&self, &unconfirmed)
    }

    fn is_confirmed(&self, flow: u32) -> bool {
        find(&self, &answer(flow))
            .is_some_and(|slot| slot.with(|entry| entry.opened.turn().is_none()))
    }
}

#[test]
fn the_flow_that_was_opened_longest_ago_makes_room_and_a_confirmed_one_never() {
    let table = Shared::with_turns(2, 4);
    for flow in 0..4 {
        assert_eq!(table.open(flow), Ok(()));
        assert_eq!(table.found(&question(flow)), Some(flow));
    }
    assert_eq!(table.open(2), Err(InsertError::Taken), "its answers");
    assert_eq!(table.confirm(1), Ok(()));
    assert_eq!(table.confirm(1), Err(InsertError::Known));
    assert!(table.is_confirmed(1) && !table.is_confirmed(3));
    // That turn 0 was for flow 2 in vain has cost flow 0 its place. Next are 1, which is confirmed, 2 and 3.
    for flow in 5..8 {
        assert_eq!(table.open(flow), Ok(()));
    }
    let there: Vec<u32> = (0..8)
        .filter(|flow| table.found(&question(*flow)).is_some())
        .collect();
    assert_eq!(there, [1, 5, 6, 7]);
    assert_eq!(table.words(), 8);
    // There is room for two that are confirmed, however many were opened.
    assert_eq!(table.confirm(5), Ok(()));
    assert_eq!(table.confirm(6), Err(InsertError::Full));
    assert!(remove(&&table, &question(1)) && remove(&&table, &question(7)));
    assert!(!remove(&&table, &question(7)));
    assert_eq!(table.confirm(6), Ok(()));
    assert_eq!(table.found(&answer(6)), Some(6));
    assert_eq!((table.free(), table.words()), (0, 4));
}

#[test]
fn what_the_client_is_to_acknowledge_goes_with_its_flow() {
    let table = Shared::with_turns(2, 2);
    assert_eq!(table.open(0), Ok(()));
    let turn_of = |flow: u32| {
        let slot = find(&&table, &answer(flow)).unwrap_or_else(|| panic!("flow {flow}"));
        turns::of_answers(&&table, &answer(flow), &slot)
            .unwrap_or_else(|| panic!("flow {flow} is confirmed"))
    };
    assert!(turns::expect(&&table, &turn_of(0), 0x8000_0001));
    assert_eq!(turn_of(0).expected(), 0x8000_0001);
    // An answer that is noted after the turn has gone to another flow.
    let earlier = turn_of(0);
    assert_eq!(table.open(1), Ok(()));
    assert_eq!(table.open(2), Ok(()));
    assert!(!turns::expect(&&table, &earlier, 77));
    assert_ne!(turn_of(2).expected(), 77);
    assert_eq!(table.found(&question(0)), None);
}

#[test]
fn of_cpus_that_confirm_remove_and_push_out_a_flow_one_has_it() {
    const FLOWS: u32 = 40;
    const ROUNDS: u32 = 6_000;
    let table = Shared::with_turns(FLOWS, 16);
    let confirmed = AtomicU64::new(0);
    let removed = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..4_u32 {
            let (table, confirmed, removed) = (&table, &confirmed, &removed);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let flow = (round * (2 * thread + 1)) % FLOWS;
                    // All of them may find that another thread was first.
                    let _ = table.open(flow);
                    if table.confirm(flow).is_ok() {
                        confirmed.fetch_add(1, SeqCst);
                    }
                    if round % 3 == thread % 3 && remove(&table, &question(flow)) {
                        removed.fetch_add(1, SeqCst);
                    }
                }
            });
        }
    });
    let there: Vec<u32> = (0..FLOWS)
        .filter(|flow| table.found(&question(*flow)).is_some())
        .collect();
    assert_eq!(table.words(), 2 * there.len());
    let in_table = |flow: &&u32| table.is_confirmed(**flow);
    let held = there.iter().filter(in_table).count();
    assert_eq!(table.free(), FLOWS as usize - held, "of the pairs");
    assert!(confirmed.load(SeqCst) > 0 && removed.load(SeqCst) > 0);
    // Every turn has a pair of its own, and nobody holds one.
    let mut pairs: Vec<u32> = (0..)
        .zip(&table.turns)
        .map(|(number, turn)| (number, Turn(turn.load(SeqCst))))
        .map(|(number, turn)| {
            assert!(!turn.is_held());
            turn.pair(number)
        })
        .chain(held_pairs(&table, &there))
        .chain(self::held(&table.free).iter().copied())
        .collect();
    pairs.sort_unstable();
    pairs.dedup();
    assert_eq!(pairs.len(), (FLOWS + 16) as usize);
}

/// The pairs of confirmed flows.
fn held_pairs(table: &Shared, flows: &[u32]) -> Vec<u32> {
    let confirmed = flows.iter().filter(|flow| table.is_confirmed(**flow));
    confirmed
        .map(|flow| {
            let keys = table.cells.iter().map(|cell| held(cell).key);
            let cell = keys.into_iter().position(|key| key == question(*flow));
            cell.unwrap_or_else(|| panic!("flow {flow}")) as u32
        })
        .collect()
}
