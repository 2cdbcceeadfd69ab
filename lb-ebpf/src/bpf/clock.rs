//! The clock of the data path.

use aya_ebpf::helpers::generated::bpf_ktime_get_coarse_ns;

/// Second of the monotonic clock, as of the latest timer tick: exact enough for idle times, and no
/// hardware clock is read for it.
#[inline(always)]
pub fn now() -> u32 {
    // SAFETY: the helper takes nothing and only reads the kernel's clock.
    let nanoseconds = unsafe { bpf_ktime_get_coarse_ns() };
    (nanoseconds / 1_000_000_000) as u32
}
