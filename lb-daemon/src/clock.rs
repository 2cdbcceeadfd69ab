//! The clock of the data path, read from user space.

use nix::time::{ClockId, clock_gettime};

/// Second of the monotonic clock, to a tick, as the data path writes it into flow entries.
pub fn now() -> u32 {
    // The clock cannot fail where the data path runs: both exist since Linux 2.6.32.
    clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE)
        .map_or(0, |time| u32::try_from(time.tv_sec()).unwrap_or(u32::MAX))
}
