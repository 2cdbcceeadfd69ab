//! The cache of routes ([`lb_common::route_cache`]): how a way is found in a line of it, and put there.
//!
//! Other CPUs do the same at the same time. At worst a word is there twice, or lost, and the kernel is asked again.

use lb_common::route_cache::{WAYS, Wanted};

/// A line, where it lies.
pub trait Line {
    /// A word of it.
    fn load(&self, way: usize) -> u64;
    /// Replaces a word.
    fn store(&self, way: usize, word: u64);
}

/// The cell of the adjacency array that a line knows, if it does.
#[inline(always)]
pub fn find(line: &impl Line, wanted: Wanted) -> Option<u32> {
    (0..WAYS).find_map(|way| wanted.cell(line.load(way)))
}

/// Puts a way in front of the others, of which the first that is outdated goes, or else the oldest.
#[inline(always)]
pub fn keep(line: &impl Line, wanted: Wanted, cell: u32) {
    let mut word = wanted.word(cell);
    for way in 0..WAYS {
        let held = line.load(way);
        line.store(way, word);
        if wanted.outlives(held) {
            return;
        }
        word = held;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use lb_common::net::{Ip4, Zone};

    use super::*;

    #[derive(Default)]
    struct Words([Cell<u64>; WAYS]);

    impl Line for Words {
        fn load(&self, way: usize) -> u64 {
            self.0[way].get()
        }

        fn store(&self, way: usize, word: u64) {
            self.0[way].set(word);
        }
    }

    fn wanted(host: u8, generation: u32) -> Wanted {
        let address = Ip4::from_octets([198, 51, 100, host]);
        Wanted::new(address, Zone::External, generation)
    }

    #[test]
    fn destinations_in_one_line_keep_apart() {
        let line = Words::default();
        for host in 1..=4 {
            keep(&line, wanted(host, 1), u32::from(host));
        }
        for host in 1..=4 {
            assert_eq!(find(&line, wanted(host, 1)), Some(u32::from(host)));
        }
        assert_eq!(find(&line, wanted(5, 1)), None);
    }

    #[test]
    fn the_oldest_makes_room_where_all_are_good() {
        let line = Words::default();
        for host in 1..=5 {
            keep(&line, wanted(host, 1), u32::from(host));
        }
        assert_eq!(find(&line, wanted(1, 1)), None);
        for host in 2..=5 {
            assert_eq!(find(&line, wanted(host, 1)), Some(u32::from(host)));
        }
    }

    #[test]
    fn an_outdated_way_makes_room_first() {
        let line = Words::default();
        for (way, (host, generation)) in [(1, 2), (3, 1), (2, 2), (4, 2)].into_iter().enumerate() {
            line.store(way, wanted(host, generation).word(u32::from(host)));
        }
        keep(&line, wanted(5, 2), 5);
        assert_eq!(find(&line, wanted(3, 1)), None);
        for host in [1, 2, 4, 5] {
            assert_eq!(find(&line, wanted(host, 2)), Some(u32::from(host)));
        }
    }
}
