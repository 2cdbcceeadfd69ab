//! The clock of the data path.

use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_ktime_get_coarse_ns};

/// Second of the monotonic clock, as of the latest timer tick: exact enough for idle times, and no
/// hardware clock is read for it.
#[inline(always)]
pub fn now() -> u32 {
    // SAFETY: the helper takes nothing and only reads the kernel's clock.
    let nanoseconds = unsafe { bpf_ktime_get_coarse_ns() };
    (nanoseconds / 1_000_000_000) as u32
}

/// What the clock showed at the latest tick in which this CPU looked: the kernel loads the number of the tick where
/// it would have to be called for the clock.
pub struct Ticked {
    tick: u64,
    now: u32,
}

impl Ticked {
    /// The same as [`now`], to a tick.
    #[inline(always)]
    pub fn now(&mut self) -> u32 {
        // SAFETY: the helper takes nothing and only reads a counter.
        let tick = unsafe { bpf_jiffies64() };
        if self.tick != tick {
            self.tick = tick;
            self.now = now();
        }
        self.now
    }
}
