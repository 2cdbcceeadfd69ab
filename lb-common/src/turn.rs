//! Turns: in whose place the next new flow is put.
//!
//! Flows that are not confirmed yet are few enough to be pushed out by their like, never by others and never
//! others: as many as `limits.max_half_open` have a turn each, and the next new flow takes the turn of the one
//! that was opened longest ago. A turn owns a pair of cells of the flow table, whether a flow is in them or not.
//! When the flow is confirmed it keeps the cells, and the turn is given others.
//!
//! A turn is a word: its lower half is the number of the pair's first cell and one, or zero for the pair that the turn
//! began with, its upper half the acknowledgment number that proves that the client has seen the node's
//! SYN-ACK. Until there is one it is the number of turns taken so far, so that a turn never looks as it did for
//! another flow. Whoever puts another pair in, a flow into the pair or takes one out of it holds the turn meanwhile;
//! everybody else leaves it alone then.

/// A turn as it is in its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn(pub u64);

impl Turn {
    /// No cell has such a number.
    const HELD: u64 = 1 << 31;
    const PAIR: u64 = Self::HELD - 1;

    /// A turn that owns a pair with no flow in it, by the number of its first cell.
    #[inline(always)]
    pub const fn of_pair(first: u32) -> Self {
        Self((first as u64 + 1) & Self::PAIR)
    }

    /// The first cell of the pair that the turn with this number owns.
    #[inline(always)]
    pub const fn pair(self, number: u32) -> u32 {
        match self.0 & Self::PAIR {
            0 => 2 * number,
            cell => cell as u32 - 1,
        }
    }

    /// The same turn, held.
    #[must_use]
    #[inline(always)]
    pub const fn held(self) -> Self {
        Self(self.0 | Self::HELD)
    }

    /// True while somebody holds it.
    #[inline(always)]
    pub const fn is_held(self) -> bool {
        self.0 & Self::HELD != 0
    }

    /// The same turn where the client is to acknowledge this.
    #[must_use]
    #[inline(always)]
    pub const fn expecting(self, acknowledgment: u32) -> Self {
        Self(self.0 & (Self::HELD | Self::PAIR) | (acknowledgment as u64) << 32)
    }

    /// The acknowledgment number that confirms the flow (TCP).
    #[inline(always)]
    pub const fn expected(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_owns_the_pair_it_began_with_until_it_is_given_another() {
        let turn = Turn(0);
        assert_eq!((turn.pair(0), turn.pair(7)), (0, 14));
        let turn = turn.expecting(u32::MAX).held();
        assert_eq!((turn.pair(7), turn.expected()), (14, u32::MAX));
        assert!(turn.is_held());
        for first in [0, 2, 1 << 24] {
            let turn = Turn::of_pair(first);
            assert_eq!(turn.pair(7), first);
            assert!(!turn.is_held() && turn.expected() == 0);
            assert_eq!(turn.held().expecting(5).pair(7), first);
        }
    }
}
