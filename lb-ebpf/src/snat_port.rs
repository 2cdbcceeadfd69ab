//! SNAT ports: which port of the VIP a new flow leaves from.
//!
//! A pool is the port numbers of one (protocol, VIP, node, node port). What is in use is decided by
//! the flow table alone: a port is taken by entering the flow's answer key where there is none. The
//! bitmap says where it is worth trying. It may be wrong in both directions and costs a further try
//! then: a half-open flow that was pushed out leaves its bit behind until the daemon's next walk.
//!
//! Ports are handed out in turn, so that a port rests as long as the range allows before it is used
//! again: the node may still hold the old connection in TIME-WAIT.

use lb_common::service::full_word;

use crate::tables::Tables;

/// Ports that are tried for one flow before its pool counts as used up.
pub const TRIES: u16 = 8;

/// The range of ports that a pool hands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First port.
    pub first: u16,
    /// Last port.
    pub last: u16,
}

impl Range {
    /// How many ports; never 0, which the compiler cannot know.
    #[inline(always)]
    const fn count(self) -> u32 {
        let count = (self.last as u32).saturating_sub(self.first as u32) + 1;
        if count == 0 { 1 } else { count }
    }

    /// The port to try after `attempts` that failed, when `first` was the first. The tries are
    /// spread over the range: established flows stand side by side.
    #[inline(always)]
    pub const fn choice(self, first: u16, attempts: u16) -> u16 {
        let stride = (self.count() / TRIES as u32) as u16 + 1;
        self.after(first, attempts * stride)
    }

    /// The port `steps` after `port`, around the end of the range.
    #[inline(always)]
    const fn after(self, port: u16, steps: u16) -> u16 {
        let offset = (port as u32).wrapping_sub(self.first as u32) + steps as u32;
        self.first.wrapping_add((offset % self.count()) as u16)
    }
}

/// The port whose turn it is to be handed out.
#[inline(always)]
pub fn turn(tables: &impl Tables, pool: u16, range: Range) -> u16 {
    range.after(
        range.first,
        (tables.snat_cursor(pool) % range.count()) as u16,
    )
}

/// Marks a port as used.
#[inline(always)]
pub fn claim(tables: &impl Tables, pool: u16, port: u16) {
    let (word, bit) = (port / 64, 1 << (port % 64));
    if tables.snat_claim(pool, u32::from(word), bit) | bit == u64::MAX {
        mark_full(tables, pool, word);
    }
}

/// Gives a port back.
#[inline(always)]
pub fn release(tables: &impl Tables, pool: u16, port: u16) {
    let word = port / 64;
    tables.snat_release(pool, u32::from(word), 1 << (port % 64));
    tables.snat_release(pool, full_word(word), 1 << (word % 64));
}

#[inline(always)]
fn mark_full(tables: &impl Tables, pool: u16, word: u16) {
    tables.snat_claim(pool, full_word(word), 1 << (word % 64));
}

/// Rounds of the search: one for each of the 16 words that tell which words are full, and some for
/// words that were wrongly not among them.
const ROUNDS: u32 = 24;

/// The first port at or after `start`, around the end of the range, whose bit is clear; 0 when none is
/// found, a number that is no port of a pool.
#[inline(always)]
pub fn first_free(tables: &impl Tables, pool: u16, range: Range, start: u16) -> u16 {
    let (first_word, last_word) = (range.first / 64, range.last / 64);
    let mut from = start / 64;
    let mut before_start = below(start % 64);
    for _ in 0..ROUNDS {
        if from > last_word {
            from = first_word;
        }
        let not_full = !tables.snat_word(pool, full_word(from)) & !below(from % 64);
        if not_full == 0 {
            from = (from | 63) + 1;
            before_start = 0;
            continue;
        }
        let word = (from & !63) | not_full.trailing_zeros() as u16;
        if word != start / 64 {
            before_start = 0;
        }
        let used = tables.snat_word(pool, u32::from(word)) | outside(range, word);
        let free = !used & !before_start;
        if free != 0 {
            return word * 64 + free.trailing_zeros() as u16;
        }
        if used == u64::MAX {
            mark_full(tables, pool, word);
        }
        before_start = 0;
        from = word + 1;
    }
    0
}

/// The bits of `word` whose ports are not in `range`.
#[inline(always)]
const fn outside(range: Range, word: u16) -> u64 {
    let before = if word == range.first / 64 {
        below(range.first % 64)
    } else {
        0
    };
    let after = if word == range.last / 64 {
        !below(range.last % 64) << 1
    } else if word > range.last / 64 {
        u64::MAX
    } else {
        0
    };
    before | after
}

/// The lowest `bits` bits, fewer than 64.
#[inline(always)]
const fn below(bits: u16) -> u64 {
    (1 << (bits % 64)) - 1
}
