//! Two that put in the same key, of whom one stands still.

use super::*;
use crate::flow_table;

/// The exchanges of a CPU that enters a flow: the claims of the key of its answers and of the client's become words.
const CLAIMS_ANSWER: u32 = 0;
const HAS_CLAIMED_ANSWER: u32 = 1;
const CLAIMS_QUESTION: u32 = 2;
const HAS_CLAIMED_QUESTION: u32 = 3;

/// Enters flow 1, and stands still before this exchange while another CPU does something.
fn entered_meanwhile(
    is_other_lower: bool,
    exchange: u32,
    other: Meanwhile,
) -> (Shared, Result<(), InsertError>) {
    let table = Shared::new(8);
    // The last is taken first.
    if !is_other_lower {
        held(&table.free).reverse();
    }
    *held(&table.meanwhile) = Some((exchange, other));
    let entered = table.enter(1);
    assert_eq!((table.free(), table.words()), (7, 2));
    (table, entered)
}

#[test]
fn of_two_that_claim_the_key_of_the_answers_one_has_it_wherever_the_other_stands_still() {
    fn other(table: &Shared) -> Result<(), InsertError> {
        insert(&table, &question(2), &answer(1), |_, to_client| {
            to_client.with(|entry| entry.opened = Opened::at(2));
        })
    }
    for (is_other_lower, exchange) in [
        (true, CLAIMS_ANSWER),
        (false, CLAIMS_ANSWER),
        (true, HAS_CLAIMED_ANSWER),
    ] {
        let (table, entered) = entered_meanwhile(is_other_lower, exchange, |table| {
            assert_eq!(other(table), Ok(()));
        });
        assert_eq!(entered, Err(InsertError::Taken));
        assert_eq!(table.found(&question(1)), None);
        assert_eq!(table.found(&answer(1)), Some(2));
    }
    for (is_other_lower, exchange) in [
        (false, HAS_CLAIMED_ANSWER),
        (false, CLAIMS_QUESTION),
        (true, CLAIMS_QUESTION),
    ] {
        let (table, entered) = entered_meanwhile(is_other_lower, exchange, |table| {
            assert_eq!(other(table), Err(InsertError::Taken));
        });
        assert_eq!(entered, Ok(()));
        assert_eq!(table.found(&question(2)), None);
        assert_eq!(table.found(&answer(1)), Some(1));
    }
}

/// What becomes of the claim of a CPU that goes on at the very moment at which another is about to empty it.
#[test]
fn a_claim_that_became_the_word_stays_and_one_that_was_taken_back_is_in_nobodys_way() {
    /// Replaces what the CPU that stands still has claimed, as it would.
    fn goes_on(table: &Shared, replaced: fn(u64) -> u64) {
        let words = table.index.iter().flat_map(|words| &words[..SLOTS]);
        let highest = words.max_by_key(|word| word.load(SeqCst) as u32);
        let highest = highest.unwrap_or_else(|| panic!("a claim"));
        highest.store(replaced(highest.load(SeqCst)), SeqCst);
    }
    fn other(table: &Shared, meanwhile: Meanwhile) -> Result<(), InsertError> {
        const EMPTIES_THE_OTHER: u32 = 1;
        *held(&table.meanwhile) = Some((EMPTIES_THE_OTHER, meanwhile));
        insert(&table, &question(2), &answer(1), |_, _| ())
    }
    let (table, _) = entered_meanwhile(true, HAS_CLAIMED_ANSWER, |table| {
        let becomes_the_word = |table: &Shared| goes_on(table, |claim| claim | 1 << 32);
        assert_eq!(other(table, becomes_the_word), Err(InsertError::Taken));
        assert!(table.found(&answer(1)).is_some());
        assert_eq!(table.found(&question(2)), None);
        goes_on(table, |_| 0);
        assert_eq!(other(table, |_| ()), Ok(()));
    });
    assert!(table.found(&question(2)).is_some());

    let (table, _) = entered_meanwhile(true, HAS_CLAIMED_ANSWER, |table| {
        let is_taken_back = |table: &Shared| goes_on(table, |_| 0);
        assert_eq!(other(table, is_taken_back), Ok(()));
    });
    assert!(table.found(&question(2)).is_some());
}

#[test]
fn a_claim_in_another_bucket_that_came_to_nothing_is_not_counted() {
    for is_other_lower in [true, false] {
        let table = Shared::new(64);
        let first = |key: &FlowKey| Hash::of(key, (&table).seed()).first((&table).mask());
        let crowd = (100..)
            .map(question)
            .filter(|key| first(key) == first(&answer(1)));
        for (number, key) in (0..).zip(crowd.take(CROWDED)) {
            assert_eq!(flow_table::put(&&table, &key, number), Ok(()));
        }
        if !is_other_lower {
            held(&table.free).reverse();
        }
        *held(&table.meanwhile) = Some((HAS_CLAIMED_ANSWER, |table| {
            let _ = insert(&table, &question(2), &answer(1), |_, _| ());
        }));
        let entered = table.enter(1);
        assert_eq!(entered.is_ok(), !is_other_lower);
        assert_eq!(table.words(), CROWDED + 2);
        let stayed = if is_other_lower { 2 } else { 1 };
        assert!(remove(&&table, &question(stayed)));
        let elsewhere = table
            .index
            .iter()
            .map(|words| words[ELSEWHERE].load(SeqCst));
        assert_eq!(elsewhere.sum::<u64>(), 0);
    }
}

#[test]
fn of_two_that_open_a_flow_one_does_and_the_other_finds_it_at_once() {
    fn other(table: &Shared) -> Result<(), InsertError> {
        insert(&table, &question(1), &answer(2), |to_node, _| {
            to_node.with(|entry| entry.opened = Opened::at(2));
        })
    }
    let (table, entered) = entered_meanwhile(true, HAS_CLAIMED_QUESTION, |table| {
        assert_eq!(other(table), Ok(()));
    });
    assert_eq!(entered, Err(InsertError::Known));
    assert_eq!(table.found(&question(1)), Some(2));
    assert_eq!(table.found(&answer(1)), None);

    let (table, entered) = entered_meanwhile(false, HAS_CLAIMED_QUESTION, |table| {
        assert_eq!(other(table), Err(InsertError::Known));
        assert_eq!(table.found(&question(1)), None);
        let claimed = look_up(&table, &question(1));
        assert!(claimed.is_some_and(|slot| slot.with(|entry| entry.opened == Opened::at(1))));
        // It is not there to be removed yet.
        assert!(!remove(&table, &question(1)));
    });
    assert_eq!(entered, Ok(()));
    assert_eq!(table.found(&question(1)), Some(1));
    assert_eq!(table.found(&answer(2)), None);
}
