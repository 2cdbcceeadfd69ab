//! The index of the flow table: from a flow key to the cell that holds the flow.
//!
//! The index is an array of buckets of one cache line, of eight words. Seven are slots: the upper half of a
//! word is a tag of the key, the lower half the number of its cell and one, and a word of zero is empty. A key
//! has three buckets. It is put into the first while that is not crowded; the eighth word counts the keys that
//! had to go to one of the others. So a look-up mostly reads one cache line here and one cell, or one line alone where
//! there is no such key.
//!
//! A word is put in as a claim, with another tag, which look-ups pass over, and becomes the word itself when no
//! other claim has gone before it.

use crate::flow::FlowKey;

/// Words of a bucket.
pub const BUCKET_WORDS: usize = 8;
/// Words of a bucket that may lead to a cell: the first ones.
pub const SLOTS: usize = 7;
/// The word that counts the keys whose first bucket this is and that are elsewhere: [`IN_SECOND`] for each that is
/// in its second, [`IN_THIRD`] for each that is in its third.
pub const ELSEWHERE: usize = 7;
/// A key that is in its second bucket.
pub const IN_SECOND: u64 = 1;
/// A key that is in its third bucket.
pub const IN_THIRD: u64 = 1 << 32;

/// Slots of its first bucket beyond which a key goes to the less crowded of its first two. In a full table a ninth of
/// all keys are in their second and one in fifty thousand is in its third; three quarters full, one in thirty and
/// none.
pub const CROWDED: usize = 5;

/// A bucket: what the index is an array of.
pub type BucketWords = [u64; BUCKET_WORDS];

/// Buckets for a table of this many flows, which are two keys each: a power of two, in which at most 62 of 100
/// slots are ever taken.
pub const fn buckets(flows: u32) -> u32 {
    let keys = 2 * flows as u64;
    let buckets = (keys * 100).div_ceil(62 * SLOTS as u64);
    let buckets = (buckets as u32).next_power_of_two();
    if buckets < 2 { 2 } else { buckets }
}

/// What a key is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash {
    /// Any bits; those of the mask are the number of the first bucket.
    low: u32,
    /// What tells a key from others in its bucket; an odd number, so that that of a claim is even.
    tag: u32,
}

impl Hash {
    /// The hash of a key. `seed` is a secret of the table: who knows it could fill a bucket with flows, and
    /// keep others out of it.
    #[inline(always)]
    pub const fn of(key: &FlowKey, seed: u64) -> Self {
        // Odd numbers without a pattern (of MurmurHash3 and xxHash).
        const FIRST: u64 = 0xff51_afd7_ed55_8ccd;
        const SECOND: u64 = 0xc4ce_b9fe_1a85_ec53;
        const THIRD: u64 = 0x9e37_79b1_85eb_ca87;
        let [addresses, rest] = key.words();
        let mut hash = (addresses ^ seed).wrapping_mul(FIRST);
        hash ^= hash >> 32;
        hash = (hash ^ rest).wrapping_mul(SECOND);
        hash ^= hash >> 29;
        hash = hash.wrapping_mul(THIRD);
        hash ^= hash >> 32;
        Self {
            low: hash as u32,
            tag: (hash >> 32) as u32 | 1,
        }
    }

    /// Number of the first bucket; `mask` is the number of buckets less one.
    #[inline(always)]
    pub const fn first(self, mask: u32) -> u32 {
        self.low & mask
    }

    /// Number of the second bucket, never the first.
    #[inline(always)]
    pub const fn second(self, mask: u32) -> u32 {
        (self.low ^ (self.tag.wrapping_mul(0x5bd1_e995) | 1)) & mask
    }

    /// Number of the third bucket, for keys that find both of the others full.
    #[inline(always)]
    pub const fn third(self, mask: u32) -> u32 {
        (self.low ^ (self.tag.wrapping_mul(0x9e37_79b1) >> 7 | 2)) & mask
    }

    /// The word that leads to a cell.
    #[inline(always)]
    pub const fn word(self, cell: u32) -> u64 {
        (self.tag as u64) << 32 | (cell as u64 + 1)
    }

    /// The claim that becomes this word.
    #[inline(always)]
    pub const fn claim(self, cell: u32) -> u64 {
        self.word(cell) & !(1 << 32)
    }

    /// True for a word that may lead to the cell of this key, and for a claim to become one.
    #[inline(always)]
    pub const fn has_tag_or_claim(self, word: u64) -> bool {
        (word >> 33) as u32 == self.tag >> 1 && word != 0
    }

    /// True for a word that may lead to the cell of this key.
    #[inline(always)]
    pub const fn has_tag(self, word: u64) -> bool {
        (word >> 32) as u32 == self.tag
    }

    /// The cell that a word leads to; none for an empty one.
    #[inline(always)]
    pub const fn cell(self, word: u64) -> Option<u32> {
        (word as u32).checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::{vec, vec::Vec};

    use super::*;
    use crate::net::{Ip4, Port, Protocol, Zone};

    fn key(number: u32) -> FlowKey {
        let [a, b, c, d] = number.to_be_bytes();
        FlowKey::new(
            Zone::External,
            Protocol::Tcp,
            (
                Ip4::from_octets([10, a, b, c]),
                Port::new(1024 + u16::from(d)),
            ),
            (Ip4::from_octets([203, 0, 113, 10]), Port::new(443)),
        )
    }

    #[test]
    fn the_buckets_of_a_key_differ() {
        for number in 0..10_000 {
            for mask in [1, 0xff, 0x7_ffff] {
                let hash = Hash::of(&key(number), 7);
                assert_ne!(hash.first(mask), hash.second(mask));
                assert!(mask == 1 || hash.first(mask) != hash.third(mask));
            }
        }
    }

    #[test]
    fn a_word_leads_to_its_cell_and_an_empty_one_nowhere() {
        let hash = Hash::of(&key(1), 7);
        for cell in [0, 1, 2_000_000] {
            assert_eq!(hash.cell(hash.word(cell)), Some(cell));
        }
        assert_eq!(hash.cell(0), None);
        let other = Hash::of(&key(2), 7);
        assert!(hash.has_tag(hash.word(5)) && !hash.has_tag(other.word(5)));
        // No key has the tag of an empty word or of a claim.
        for number in 0..10_000 {
            let hash = Hash::of(&key(number), 7);
            assert!(!hash.has_tag(0) && !hash.has_tag_or_claim(0));
            let (word, claim) = (hash.word(number), hash.claim(number));
            assert!(hash.has_tag_or_claim(word) && hash.has_tag_or_claim(claim));
            assert!(hash.has_tag(word) && !hash.has_tag(claim) && claim != 0);
            assert_eq!(hash.cell(claim), Some(number));
        }
    }

    /// Keys that differ in a few bits, as those of clients behind one address do, fill the buckets evenly: a full
    /// table has had room for every one.
    #[test]
    fn a_full_table_has_had_room_for_every_key() {
        // As many as fit into so many buckets.
        const BUCKETS: u32 = 1 << 16;
        const FLOWS: u32 = 142_213;
        const KEYS: u32 = 2 * FLOWS;
        for seed in [0, 1, 0x0123_4567_89ab_cdef] {
            let buckets = buckets(FLOWS);
            assert_eq!((buckets, super::buckets(FLOWS + 1)), (BUCKETS, 2 * BUCKETS));
            let mut used: Vec<usize> = vec![0; buckets as usize];
            let mut in_second = 0;
            let mut in_third = 0;
            for number in 0..KEYS {
                let hash = Hash::of(&key(number), seed);
                let first = hash.first(buckets - 1) as usize;
                let second = hash.second(buckets - 1) as usize;
                let third = hash.third(buckets - 1) as usize;
                let place = (CROWDED..=SLOTS)
                    .flat_map(|slots| [(first, slots), (second, slots)])
                    .chain([(third, SLOTS)])
                    .find(|(bucket, slots)| used[*bucket] < *slots);
                let Some((place, _)) = place else {
                    panic!("seed {seed}: no room for key {number}");
                };
                in_second += u32::from(place == second);
                in_third += u32::from(place == third);
                used[place] += 1;
            }
            assert!(in_third < 20, "{in_third} keys in their third bucket");
            assert!(
                in_second < KEYS / 8,
                "{in_second} keys in their second bucket"
            );
        }
    }
}
