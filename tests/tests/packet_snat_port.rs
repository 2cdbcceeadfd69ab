//! SNAT port allocation against a plain set of ports.

use std::collections::BTreeSet;

use lb_daemon::contents::Contents;
use lb_ebpf::snat_port::{Range, TRIES, claim, first_free, release, turn};
use lb_tests::runner::tables::PlainTables;
use proptest::prelude::*;

const POOL: u16 = 3;

fn tables() -> PlainTables {
    PlainTables::new(Contents::default(), 1, 1)
}

/// The first port at or after `start`, around the end of the range, that is not used.
fn by_hand(range: Range, used: &BTreeSet<u16>, start: u16) -> u16 {
    (start..=range.last)
        .chain(range.first..start)
        .find(|port| !used.contains(port))
        .unwrap_or(0)
}

#[test]
fn every_port_of_a_range_is_found_once() {
    for (first, last) in [
        (1024, 64_511),
        (1024, 1024),
        (1063, 1064),
        (2000, 2127),
        (5001, 5999),
    ] {
        let tables = tables();
        let range = Range { first, last };
        let mut used = BTreeSet::new();
        for _ in first..=last {
            let port = first_free(&tables, POOL, range, first);
            assert!((first..=last).contains(&port), "{range:?}: {port}");
            assert!(used.insert(port), "{range:?}: {port} twice");
            claim(&tables, POOL, port);
        }
        assert_eq!(first_free(&tables, POOL, range, first), 0, "{range:?}");
        // Whichever comes back is the one that is found, from wherever.
        for port in [first, last, u16::midpoint(first, last)] {
            release(&tables, POOL, port);
            for start in [first, last, port] {
                assert_eq!(
                    first_free(&tables, POOL, range, start),
                    port,
                    "{range:?} {start}"
                );
            }
            claim(&tables, POOL, port);
        }
    }
}

#[test]
fn a_port_rests_until_all_others_have_had_their_turn() {
    let tables = tables();
    let range = Range {
        first: 2000,
        last: 2099,
    };
    let mut turns = Vec::new();
    for _ in 2000..=2099 {
        let port = first_free(&tables, POOL, range, turn(&tables, POOL, range));
        claim(&tables, POOL, port);
        release(&tables, POOL, port);
        turns.push(port);
    }
    turns.sort_unstable();
    turns.dedup();
    assert_eq!(turns.len(), 100);
}

#[test]
fn pools_do_not_share_ports() {
    let tables = tables();
    let range = Range {
        first: 1024,
        last: 1024,
    };
    claim(&tables, 0, 1024);
    assert_eq!(first_free(&tables, 0, range, 1024), 0);
    assert_eq!(first_free(&tables, 1, range, 1024), 1024);
}

proptest! {
    #[test]
    fn the_bitmap_finds_what_a_plain_set_finds(
        first in 1024_u16..3000,
        length in 0_u16..700,
        steps in prop::collection::vec((any::<bool>(), 0_u16..700), 1..400),
    ) {
        let tables = tables();
        let range = Range { first, last: first + length };
        let mut used = BTreeSet::new();
        for (take, number) in steps {
            let port = first + number % (length + 1);
            if take {
                claim(&tables, POOL, port);
                used.insert(port);
            } else {
                release(&tables, POOL, port);
                used.remove(&port);
            }
            let expected = by_hand(range, &used, port);
            prop_assert_eq!(first_free(&tables, POOL, range, port), expected);
        }
    }

    #[test]
    fn every_choice_is_a_port_of_the_range(
        first in 1024_u16..64_512,
        length in 0_u16..,
        choice in any::<u16>(),
        attempts in 0..TRIES,
    ) {
        let range = Range { first, last: first.saturating_add(length).min(64_511) };
        let choice = range.first + choice % (range.last - range.first).saturating_add(1).max(1);
        let port = range.choice(choice, attempts);
        prop_assert!((range.first..=range.last).contains(&port), "{port}");
    }
}
