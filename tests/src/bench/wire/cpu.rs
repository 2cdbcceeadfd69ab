//! What the processors of the machine have done.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};
use nix::{
    errno::Errno,
    libc,
    sched::{CpuSet, sched_setaffinity},
    unistd::{Pid, SysconfVar, sysconf},
};

/// Time that all processors together were busy since the machine started, to a hundredth of a second.
pub fn busy() -> Result<Duration> {
    let per_second = sysconf(SysconfVar::CLK_TCK)?.context("the kernel has no clock ticks")?;
    let stat = fs::read_to_string("/proc/stat")?;
    let ticks = busy_ticks(&stat).context("/proc/stat has no line of all processors")?;
    Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}

/// Time that they were busy since they had been busy for so long.
pub fn busy_since(earlier: Duration) -> Result<Duration> {
    Ok(busy()?.saturating_sub(earlier))
}

/// User, nice, system, idle, iowait, irq, softirq, and more that is not of this machine or counted twice.
fn busy_ticks(stat: &str) -> Option<u64> {
    let line = stat.lines().find(|line| line.starts_with("cpu "))?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .map_while(|word| word.parse().ok())
        .collect();
    let working = [0, 1, 2, 5, 6];
    working.iter().map(|place| ticks.get(*place).copied()).sum()
}

/// Keeps the calling thread on one processor.
pub fn pin(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("processor {cpu}"))
}

/// Has the calling thread come before everything else that wants its processor: what others do on the machine is
/// not what is measured.
pub fn prefer_this_thread() -> Result<()> {
    // SAFETY: plain numbers. Zero is the calling thread: on Linux, priorities are of threads.
    let outcome = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) };
    Errno::result(outcome).map(drop).context("priority")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_is_what_is_neither_idle_nor_stolen() {
        let stat = "cpu  100 20 30 4000 500 6 7 80 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        assert_eq!(busy_ticks(stat), Some(163));
        assert_eq!(busy_ticks("cpu 1 2\n"), None);
        assert_eq!(busy_ticks("intr 1\n"), None);
    }
}
