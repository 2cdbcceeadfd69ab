//! What the configuration says of the data path as a whole.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The one cell of the settings array.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Settings {
    /// 1: a TCP packet that has no flow is answered by a RST; 0: it is dropped in silence.
    pub reset_without_flow: u8,
    /// 1: what no rule names is forwarded to and from the nodes' own addresses, and counted; 0: dropped.
    pub observe: u8,
    /// Keeps the layout free of padding.
    pub reserved: [u8; 2],
    /// RSTs and ICMP errors that each CPU sends in a second.
    pub answers_per_second: u32,
}

/// Counts the answers of one CPU.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct AnswerBudget {
    /// Second of the monotonic clock that `sent` is about.
    pub second: u32,
    /// Answers in that second.
    pub sent: u32,
}

impl AnswerBudget {
    /// Takes one answer out of the budget of this second; false when it is used up.
    #[inline(always)]
    pub const fn take(&mut self, now: u32, per_second: u32) -> bool {
        if self.second != now {
            self.second = now;
            self.sent = 0;
        }
        if self.sent >= per_second {
            return false;
        }
        self.sent += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_for_one_second() {
        let mut budget = AnswerBudget::default();
        assert!(budget.take(7, 2) && budget.take(7, 2));
        assert!(!budget.take(7, 2));
        assert!(budget.take(8, 2));
        assert!(!budget.take(8, 0));
    }
}
