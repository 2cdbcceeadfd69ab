//! `memory`: what the flows take of the kernel's memory and of the daemon's, and how long the daemon takes to
//! look at all of them.

mod cpu_time;
mod daemon;
mod maps;

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};

use self::daemon::Daemon;
use super::{
    figures::{Run, Section, Unit},
    options::Options,
    target::{Limit, Target},
};

/// Flows that the targets are about.
const FLOWS: u64 = 1_000_000;

const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// Measures everything and says what it means.
pub fn run(options: &Options, run: &mut Run) -> Result<()> {
    for flows in options.flows_or(&[FLOWS], &[1_000]) {
        let mut section = Section::new(
            format!("memory, {flows} flows"),
            "edgelb run with so many confirmed TCP flows behind source NAT: its maps in the kernel by the \
             kernel's own account, the memory of the daemon, and its time for all flows.",
        );
        let targets = measure(options, flows, &mut section)
            .with_context(|| format!("memory, {flows} flows"))?;
        run.sections.push(section);
        if flows == FLOWS {
            run.targets.extend(targets);
        }
    }
    Ok(())
}

fn measure(options: &Options, flows: u64, section: &mut Section) -> Result<Vec<Target>> {
    options.progress(&format!("memory, {flows} flows"));
    let mut daemon = Daemon::start(flows as u32)?;
    let empty = daemon.memory("VmRSS")?;
    daemon.fill(flows as usize)?;
    let count = Some(flows);
    let mut add = |name: &str, unit, samples: &[f64]| section.add(name, count, unit, samples);

    let kernel = kernel_memory(daemon.process(), &mut add)?;
    // At the pace that they have by themselves: the longer one takes, the longer is the pause after it.
    let (watch, sweeps) = if options.quick { (10, 2) } else { (240, 3) };
    let swept = cpu_time::bursts(daemon.process(), Duration::from_secs(watch), sweeps)?;
    add("CPU time of a sweep", Unit::Milliseconds, &swept);
    let resident = daemon.memory("VmRSS")?;
    add("daemon: RSS without flows", Unit::Mebibytes, &[empty]);
    add("daemon: RSS after sweeps", Unit::Mebibytes, &[resident]);
    daemon.forget_peak()?;
    let mut took = Vec::new();
    for _ in 0..options.rounds_or(3) {
        took.push(daemon.list_flows()?.as_secs_f64() * 1e3);
    }
    add("a full edgelb flows", Unit::Milliseconds, &took);
    let after = daemon.memory("VmRSS")?;
    let peak = daemon.memory("VmHWM")?;
    add("daemon: RSS after edgelb flows", Unit::Mebibytes, &[after]);
    add(
        "daemon: RSS at its peak, in edgelb flows",
        Unit::Mebibytes,
        &[peak],
    );
    daemon.end(flows)?;

    let targets = [
        ("kernel memory of the maps for 1 M flows", 200.0, kernel),
        (
            "RSS of the daemon with 1 M flows, after sweeps",
            24.0,
            resident,
        ),
        ("RSS of the daemon at its peak, in edgelb flows", 24.0, peak),
    ];
    Ok(targets
        .into_iter()
        .filter_map(|(name, limit, value)| {
            Target::of(name, Limit::AtMost(limit), Unit::Mebibytes, [value])
        })
        .collect())
}

/// Adds the memory of each map that is worth a line, and returns that of all (MiB).
fn kernel_memory(process: u32, add: &mut impl FnMut(&str, Unit, &[f64])) -> Result<f64> {
    /// A map that takes less is one of many.
    const LINE: u64 = 512 * 1024;
    let mut maps = maps::of_process(process)?;
    maps.sort_by_key(|map| std::cmp::Reverse(map.bytes));
    let (large, small): (Vec<_>, Vec<_>) = maps.iter().partition(|map| map.bytes >= LINE);
    let mebibytes = |maps: &[&maps::Map]| {
        let bytes: u64 = maps.iter().map(|map| map.bytes).sum();
        bytes as f64 / MEBIBYTE
    };
    for map in &large {
        let name = format!("kernel: {}", map.name);
        add(&name, Unit::Mebibytes, &[mebibytes(&[map])]);
    }
    let rest = format!("kernel: {} other maps", small.len());
    add(&rest, Unit::Mebibytes, &[mebibytes(&small)]);
    let all = mebibytes(&[large, small].concat());
    add("kernel: all maps", Unit::Mebibytes, &[all]);
    Ok(all)
}

/// A line of `/proc/PROCESS/status` that is about memory (MiB).
fn process_memory(process: u32, line: &str) -> Result<f64> {
    let path = format!("/proc/{process}/status");
    let text = fs::read_to_string(&path).context(path)?;
    let kibibytes = text
        .lines()
        .find_map(|found| found.strip_prefix(line)?.strip_prefix(':'))
        .and_then(|value| value.trim().strip_suffix(" kB"))
        .and_then(|value| value.parse::<f64>().ok());
    Ok(kibibytes.with_context(|| format!("there is no {line}"))? / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_memory() {
        let own = process_memory(std::process::id(), "VmRSS").expect("a number");
        assert!((0.5..10_000.0).contains(&own), "{own} MiB");
        assert!(process_memory(std::process::id(), "Name").is_err());
    }
}
