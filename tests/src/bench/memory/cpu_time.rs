//! When a process is at work, and for how long.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

/// How often is looked.
const SAMPLE: Duration = Duration::from_millis(10);
/// Work after a longer pause is another burst.
const PAUSE: Duration = Duration::from_millis(400);
/// Less than this part of the longest burst is something else.
const SMALL: f64 = 0.2;

/// Watches a process that works in bursts, until it has seen so many or the time is over: the CPU time of
/// each (ms).
pub fn bursts(process: u32, at_most: Duration, wanted: usize) -> Result<Vec<f64>> {
    let begun = Instant::now();
    let mut samples = vec![(begun, cpu_time(process)?)];
    loop {
        thread::sleep(SAMPLE);
        samples.push((Instant::now(), cpu_time(process)?));
        let found = large(&among(&samples));
        if found.len() >= wanted {
            return Ok(found);
        }
        if begun.elapsed() > at_most {
            ensure!(
                !found.is_empty(),
                "the process was not at work within {at_most:?}"
            );
            return Ok(found);
        }
    }
}

/// The CPU time of each burst that is seen as a whole (ms): what went on when the samples begin or end is
/// not.
fn among(samples: &[(Instant, Duration)]) -> Vec<f64> {
    let mut bursts = Vec::new();
    let mut current: Option<f64> = None;
    let mut idle_since: Option<Instant> = None;
    let mut seen_idle = false;
    for pair in samples.windows(2) {
        let [(from, before), (to, after)] = [pair[0], pair[1]];
        let worked = after.saturating_sub(before);
        if worked.is_zero() {
            let since = *idle_since.get_or_insert(from);
            if to.duration_since(since) >= PAUSE {
                bursts.extend(current.take());
                seen_idle = true;
            }
        } else {
            idle_since = None;
            if seen_idle {
                *current.get_or_insert(0.0) += worked.as_secs_f64() * 1e3;
            }
        }
    }
    bursts
}

/// Those that are no trifle.
fn large(bursts: &[f64]) -> Vec<f64> {
    let longest = bursts.iter().copied().fold(0.0, f64::max);
    let bursts = bursts.iter().copied();
    bursts.filter(|burst| *burst > longest * SMALL).collect()
}

/// What all threads of a process have had of the CPUs.
fn cpu_time(process: u32) -> Result<Duration> {
    let mut sum = Duration::ZERO;
    let folder = format!("/proc/{process}/task");
    for task in fs::read_dir(&folder).with_context(|| folder.clone())? {
        // A thread that has ended meanwhile is gone.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else {
            continue;
        };
        let nanoseconds = text.split(' ').next().and_then(|time| time.parse().ok());
        sum += Duration::from_nanos(nanoseconds.context("the kernel has no schedstat")?);
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_are_told_apart_by_the_pauses_between_them() {
        let start = Instant::now();
        // Idle and busy stretches (ms), as they are seen in steps of 10 ms.
        let stretches = [
            (100, true),
            (500, false),
            (10, true),
            (100, false),
            (15, true),
            (500, false),
            (1, true),
            (500, false),
            (50, true),
        ];
        let (mut now, mut worked) = (0, 0);
        let mut samples = vec![(start, Duration::ZERO)];
        for (length, busy) in stretches {
            let end = now + length;
            while now < end {
                let step = 10.min(end - now);
                now += step;
                worked += if busy { step } else { 0 };
                samples.push((
                    start + Duration::from_millis(now),
                    Duration::from_millis(worked),
                ));
            }
        }
        let found = among(&samples);
        assert_eq!(found.len(), 2, "{found:?}");
        for (found, wanted) in found.iter().zip([25.0, 1.0]) {
            assert!((found - wanted).abs() < 1e-6, "{found} {wanted}");
        }
        assert_eq!(large(&found).len(), 1);
    }

    #[test]
    fn a_process_has_had_some_time() {
        let own = std::process::id();
        let before = cpu_time(own).expect("a time");
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(20) {}
        assert!(cpu_time(own).expect("a time") > before);
    }
}
