//! The cache of routes: what the kernel has said of the way to a destination, in words of 64 bits.
//!
//! A word is read and written as a whole, so nobody needs a lock, and the array of them is found by index, so
//! nobody needs a helper. It holds the destination, the cell of the adjacency array, and the low bits of the
//! generation that the way is good for: one comparison tells whether it is the one that is looked for.

use crate::{
    net::{Ip4, Zone},
    next_hop::MAX_NEXT_HOPS,
};

/// Ways that one line of the cache holds; the newest first.
pub const WAYS: usize = 4;
/// Lines of the cache: at one destination to two ways, one in seventy finds all of its own taken.
pub const LINES: u32 = 1 << LINE_BITS;
const LINE_BITS: u32 = 15;

/// A line: what the cache is an array of.
pub type Line = [u64; WAYS];

/// Generations after which all words are to be cleared. Half as many as a word tells apart: one that is written
/// while the others are being cleared goes with the next clearing, before its number comes round.
pub const GENERATIONS: u64 = 1 << (GENERATION_BITS - 1);

const CELL_BITS: u32 = 14;
const GENERATION_BITS: u32 = 17;
const GENERATION_MASK: u64 = (1 << GENERATION_BITS) - 1;
const CELL_MASK: u64 = (1 << CELL_BITS) - 1;

const _: () = assert!(MAX_NEXT_HOPS <= 1 << CELL_BITS);
const _: () = assert!(32 + 1 + CELL_BITS + GENERATION_BITS == 64);

/// What a word is known by: a destination, the side that its packets come from, and a generation of the routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted(u64);

impl Wanted {
    /// The way that packets from `zone` take to `address` in this generation.
    #[inline(always)]
    pub const fn new(address: Ip4, zone: Zone, generation: u32) -> Self {
        Self(
            (address.wire() as u64) << 32
                | (zone as u64) << 31
                | (generation as u64 & GENERATION_MASK),
        )
    }

    /// Number of the line that it is in.
    #[inline(always)]
    pub const fn line(self) -> u32 {
        // An odd number without a pattern (of xxHash): addresses of one network spread over all lines.
        const ODD: u64 = 0x9e37_79b1_85eb_ca87;
        ((self.0 >> 32).wrapping_mul(ODD) >> (64 - LINE_BITS)) as u32
    }

    /// The word that says that it leads to a cell.
    #[inline(always)]
    pub const fn word(self, cell: u32) -> u64 {
        self.0 | (cell as u64 & CELL_MASK) << GENERATION_BITS
    }

    /// The cell that a word leads to, if it is about this; cell 0 is none.
    #[inline(always)]
    pub const fn cell(self, word: u64) -> Option<u32> {
        let cell = (word >> GENERATION_BITS & CELL_MASK) as u32;
        if word & !(CELL_MASK << GENERATION_BITS) == self.0 && cell != 0 {
            Some(cell)
        } else {
            None
        }
    }

    /// True for a word of another generation; one that was never written is of some generation, too, and is free.
    #[inline(always)]
    pub const fn outlives(self, word: u64) -> bool {
        (word ^ self.0) & GENERATION_MASK != 0 || word & (CELL_MASK << GENERATION_BITS) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Ip4 = Ip4::from_octets([198, 51, 100, 7]);

    #[test]
    fn a_word_is_about_one_destination_one_side_and_one_generation() {
        let wanted = Wanted::new(ADDRESS, Zone::Internal, 5);
        for cell in [1, MAX_NEXT_HOPS - 1] {
            let word = wanted.word(cell);
            assert_eq!(wanted.cell(word), Some(cell));
            assert!(!wanted.outlives(word));
            let other = Ip4::from_octets([198, 51, 100, 8]);
            assert_eq!(Wanted::new(other, Zone::Internal, 5).cell(word), None);
            assert_eq!(Wanted::new(ADDRESS, Zone::External, 5).cell(word), None);
            let next = Wanted::new(ADDRESS, Zone::Internal, 6);
            assert_eq!(next.cell(word), None);
            assert!(next.outlives(word));
        }
    }

    #[test]
    fn an_empty_word_leads_nowhere() {
        let nobody = Wanted::new(Ip4::UNSPECIFIED, Zone::External, 0);
        assert_eq!(nobody.cell(0), None);
        assert!(nobody.outlives(0));
    }

    /// What the low bits cannot tell apart, clearing does.
    #[test]
    fn a_generation_comes_round_only_after_two_clearings() {
        let wanted = Wanted::new(ADDRESS, Zone::Internal, 7);
        let round = 2 * GENERATIONS as u32;
        assert_eq!(wanted, Wanted::new(ADDRESS, Zone::Internal, 7 + round));
        for later in [1, GENERATIONS as u32, round - 1] {
            assert_ne!(wanted, Wanted::new(ADDRESS, Zone::Internal, 7 + later));
        }
    }
}
