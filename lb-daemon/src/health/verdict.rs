//! From the results of checks to a verdict (pure): rise, fall, and the damping of nodes that flap.

use std::time::{Duration, Instant};

/// How many results it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Good results in a row after which a node that was down is up.
    pub rise: u32,
    /// Bad results in a row after which a node that was up is down.
    pub fall: u32,
    /// A node that falls again within this time after it came up is taken for one that flaps; zero
    /// takes none for one.
    pub calm: Duration,
}

/// A node that flaps needs at most this many times as many good results.
const MAX_DAMPING: u32 = 16;

/// Bad results that decide at the start. One lost packet is not yet an outage.
const FIRST_FALL: u32 = 2;

/// What the results so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    healthy: bool,
    /// False until the first results have decided.
    decided: bool,
    /// Results in a row that say the opposite.
    against: u32,
    /// Since when it is as it is.
    since: Instant,
    /// Whether it has been down before, so that it came up then.
    risen: bool,
    /// Times as many good results as `rise`: doubled each time that the node falls too soon.
    damping: u32,
}

impl Verdict {
    /// Before the first result: a node is taken to be healthy, so that a restart is no outage.
    pub const fn unknown(now: Instant) -> Self {
        Self {
            healthy: true,
            decided: false,
            against: 0,
            since: now,
            risen: false,
            damping: 1,
        }
    }

    /// Whether the node takes flows.
    pub const fn is_healthy(&self) -> bool {
        self.healthy
    }

    /// Since when it is as it is.
    pub const fn since(&self) -> Instant {
        self.since
    }

    /// Whether the next result is wanted at once: at the start, when the first one was bad.
    pub const fn is_urgent(&self) -> bool {
        !self.decided && self.against > 0
    }

    /// Good results in a row that are still missing until a node that is down is up.
    pub const fn missing(&self, thresholds: &Thresholds) -> u32 {
        if self.healthy {
            0
        } else {
            (thresholds.rise * self.damping).saturating_sub(self.against)
        }
    }

    /// Takes in the result of a check; true where it changes whether the node is healthy.
    pub fn hear(&mut self, good: bool, thresholds: &Thresholds, now: Instant) -> bool {
        if good == self.healthy {
            self.against = 0;
            self.decided = true;
            return false;
        }
        self.against += 1;
        let needed = match (self.healthy, self.decided) {
            (true, false) => thresholds.fall.min(FIRST_FALL),
            (true, true) => thresholds.fall,
            (false, _) => thresholds.rise * self.damping,
        };
        if self.against < needed {
            return false;
        }
        if self.healthy {
            // What was up from the start has not come up in vain.
            let too_soon = self.risen && now.duration_since(self.since) < thresholds.calm;
            self.damping = if too_soon {
                (self.damping * 2).min(MAX_DAMPING)
            } else {
                1
            };
        }
        self.healthy = good;
        self.risen = good;
        self.decided = true;
        self.against = 0;
        self.since = now;
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const THRESHOLDS: Thresholds = Thresholds {
        rise: 2,
        fall: 3,
        calm: Duration::from_mins(1),
    };

    /// Hears one result a second (`+` good, `-` bad) from `second` on; answers whether the node is
    /// healthy after each (`u` or `d`).
    fn hear(verdict: &mut Verdict, start: Instant, second: &mut u64, results: &str) -> String {
        results
            .chars()
            .map(|result| {
                *second += 1;
                let now = start + Duration::from_secs(*second);
                let before = verdict.is_healthy();
                let changed = verdict.hear(result == '+', &THRESHOLDS, now);
                assert_eq!(changed, before != verdict.is_healthy());
                if changed {
                    assert_eq!(verdict.since(), now);
                }
                if verdict.is_healthy() { 'u' } else { 'd' }
            })
            .collect()
    }

    fn after(results: &str) -> String {
        let start = Instant::now();
        hear(&mut Verdict::unknown(start), start, &mut 0, results)
    }

    #[test]
    fn a_node_falls_after_fall_bad_results_in_a_row_and_rises_after_rise_good_ones() {
        assert_eq!(after("+--+---"), "uuuuuud");
        assert_eq!(after("+----+-++"), "uuudddddu");
    }

    #[test]
    fn at_the_start_a_node_is_up_and_two_bad_results_decide() {
        assert_eq!(after("--"), "ud");
        assert_eq!(after("-+--"), "uuuu");
        let start = Instant::now();
        let mut verdict = Verdict::unknown(start);
        assert!(verdict.is_healthy() && !verdict.is_urgent());
        hear(&mut verdict, start, &mut 0, "-");
        assert!(verdict.is_urgent());
        hear(&mut verdict, start, &mut 0, "-");
        assert!(!verdict.is_urgent());
    }

    #[test]
    fn fall_1_decides_at_the_start_too() {
        let start = Instant::now();
        let mut verdict = Verdict::unknown(start);
        let thresholds = Thresholds {
            fall: 1,
            ..THRESHOLDS
        };
        assert!(verdict.hear(false, &thresholds, start));
    }

    #[test]
    fn a_node_that_flaps_needs_more_and_more_good_results_until_it_has_been_calm() {
        let start = Instant::now();
        let (mut verdict, mut second) = (Verdict::unknown(start), 0);
        hear(&mut verdict, start, &mut second, "---");
        for needed in [2, 4, 8, 16, 32, 32] {
            assert_eq!(verdict.missing(&THRESHOLDS), needed);
            let almost = "+".repeat(needed as usize - 1);
            let heard = hear(&mut verdict, start, &mut second, &almost);
            assert!(!heard.contains('u'), "{needed}: {heard}");
            // It comes up, and falls at once.
            assert_eq!(hear(&mut verdict, start, &mut second, "+---"), "uuud");
        }
        let good = "+".repeat(32 + 60);
        hear(&mut verdict, start, &mut second, &good);
        assert_eq!(hear(&mut verdict, start, &mut second, "---++"), "uuddu");
    }

    #[test]
    fn the_first_fall_is_not_flapping() {
        let start = Instant::now();
        let (mut verdict, mut second) = (Verdict::unknown(start), 0);
        // Up from the start, as before a restart: how long it has been up is not known.
        assert_eq!(hear(&mut verdict, start, &mut second, "+---++"), "uuuddu");
    }

    proptest! {
        /// As few bad results in a row as `fall` are needed, and never fewer, whatever came before.
        #[test]
        fn a_change_takes_as_many_results_in_a_row_as_the_thresholds_say(
            results in prop::collection::vec(any::<bool>(), 1..200),
            rise in 1_u32..5,
            fall in 1_u32..5,
        ) {
            let thresholds = Thresholds { rise, fall, calm: Duration::from_secs(5) };
            let start = Instant::now();
            let mut verdict = Verdict::unknown(start);
            let mut streak = (true, 0);
            for (second, good) in results.iter().enumerate() {
                streak = if streak.0 == *good { (*good, streak.1 + 1) } else { (*good, 1) };
                let first = second < FIRST_FALL as usize;
                let now = start + Duration::from_secs(second as u64);
                if verdict.hear(*good, &thresholds, now) {
                    let least = match (good, first) {
                        (true, _) => rise,
                        (false, true) => fall.min(FIRST_FALL),
                        (false, false) => fall,
                    };
                    prop_assert!(streak.1 >= least);
                }
                prop_assert!(streak != (false, fall.max(FIRST_FALL)) || !verdict.is_healthy());
                prop_assert!(streak != (true, rise * MAX_DAMPING) || verdict.is_healthy());
            }
        }
    }
}
