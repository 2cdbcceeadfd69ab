//! The clocks, read from user space.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Second of the monotonic clock, to a tick, as the data path writes it into flow entries.
pub fn now() -> u32 {
    u32::try_from(second(ClockId::CLOCK_MONOTONIC_COARSE)).unwrap_or(u32::MAX)
}

/// A moment by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Second of the monotonic clock of the data path.
    pub monotonic: u32,
    /// Second of the wall clock since 1970: it goes on when the machine starts anew.
    pub wall: u64,
}

impl Moment {
    /// This moment.
    pub fn now() -> Self {
        Self {
            monotonic: now(),
            wall: second(ClockId::CLOCK_REALTIME),
        }
    }

    /// So much later, in whole seconds.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        let seconds = time.as_secs();
        let monotonic = u32::try_from(seconds).unwrap_or(u32::MAX);
        Self {
            monotonic: self.monotonic.saturating_add(monotonic),
            wall: self.wall.saturating_add(seconds),
        }
    }
}

/// The clocks cannot fail where the data path runs: all exist since Linux 2.6.32.
fn second(clock: ClockId) -> u64 {
    let time = clock_gettime(clock).map(|time| u64::try_from(time.tv_sec()));
    time.ok().and_then(Result::ok).unwrap_or(0)
}
