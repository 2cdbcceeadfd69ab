//! Flows that are not confirmed.

use super::*;
use crate::flow_table::turns;

/// The client's entry tells which flow it is; that of the answers has the turn.
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
        turns::open(&self, &question(flow), &answer(flow), write).map(|_| ())
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
