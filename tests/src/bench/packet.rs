//! `packet`: what one packet costs, by the way that it takes through edgelb and by the number of flows,
//! beside the floors (`BPF_PROG_TEST_RUN`).

pub mod bed;
mod counters;
mod floor;
pub mod opening;
pub mod pool;
pub mod programs;
mod samples;
mod tcp;
pub mod traffic;
mod udp;

use std::thread;

use anyhow::{Context as _, Result, anyhow};

use self::samples::Samples;
use super::{
    figures::{Run, Section, Unit},
    options::Options,
    target::{Limit, Target},
};

/// Numbers of flows that are measured at.
const FLOWS: [u64; 5] = [1, 1_000, 65_536, 262_144, 1_000_000];

const TCP: &str = "packet, TCP";
const UDP: &str = "packet, UDP";

/// How long and how often each path is measured.
#[derive(Clone, Copy, Debug)]
struct Effort {
    /// How often.
    rounds: usize,
    /// Packets in a round, at least.
    packets: usize,
    /// Flows that are opened at a time.
    batch: usize,
}

/// Flows of one kind.
struct Kind {
    /// Name of the sections.
    name: &'static str,
    /// What is measured.
    about: &'static str,
    /// Measures it at a number of flows.
    measure: fn(u64, &Effort) -> Result<Samples>,
}

const KINDS: [Kind; 2] = [
    Kind {
        name: TCP,
        about: "CPU time of a 64-byte frame, in random order of the flows: the driver writes the frame and calls \
                the program. Flows are TCP behind source NAT.",
        measure: tcp::measure,
    },
    Kind {
        name: UDP,
        about: "The same with flows of UDP without source NAT, beside floors of their own.",
        measure: udp::measure,
    },
];

/// Measures everything and says what it means.
pub fn run(options: &Options, run: &mut Run) -> Result<()> {
    for kind in &KINDS {
        run.sections.extend(sections(options, kind)?);
    }
    run.targets.extend(targets(run));
    Ok(())
}

/// Measures all paths at all numbers of flows.
fn sections(options: &Options, kind: &Kind) -> Result<Vec<Section>> {
    let effort = Effort {
        rounds: options.rounds_or(7),
        packets: if options.quick { 5_000 } else { 200_000 },
        batch: if options.quick { 512 } else { 16_384 },
    };
    let mut raw = Section::new(kind.name, kind.about);
    let mut net = Section::new(
        format!("{}, net", kind.name),
        "The same less what the driver itself takes at this number of flows, round by round.",
    );
    let mut events = Section::new(
        format!("{}, counters", kind.name),
        "What the processor counts per packet in the same runs, the driver included.",
    );
    for flows in options.flows_or(&FLOWS, &[1, 1_000]) {
        let what = format!("{}, {flows} flows", kind.name);
        options.progress(&what);
        let samples = apart(|| (kind.measure)(flows, &effort)).context(what)?;
        samples.add_to(&mut raw, &mut net, flows);
        samples.add_events_to(&mut events, flows);
    }
    raw.compare_to(floor::CLASSIC);
    net.compare_to(floor::CLASSIC);
    if events.rows.is_empty() {
        raw.note(
            "This machine gives no access to its performance counters: no cycles, instructions and cache misses.",
        );
        return Ok(vec![raw, net]);
    }
    Ok(vec![raw, net, events])
}

/// Runs `work` on a thread of its own: it moves into a network namespace that goes with the thread.
fn apart<R: Send>(work: impl FnOnce() -> Result<R> + Send) -> Result<R> {
    thread::scope(|scope| {
        let worker = scope.spawn(work);
        // It has said why on standard error.
        worker.join().map_err(|_| anyhow!("the test bed failed"))?
    })
}

fn targets(run: &Run) -> Vec<Target> {
    let ratios = |section: &str, name: &str, base: &str| -> Vec<f64> {
        let section = run.section(section);
        let rows = section.into_iter().flat_map(|section| {
            let rows = section.named(name);
            rows.filter_map(|row| section.ratio(name, base, row.flows))
        });
        rows.collect()
    };
    let hits = |section: &str| {
        let hits = [tcp::TO_NODE, tcp::TO_CLIENT];
        hits.map(|hit| ratios(section, hit, floor::CLASSIC))
            .concat()
    };
    let net = format!("{TCP}, net");
    [
        Target::of(
            "established snat hit, beside parse + look-up + rewrite",
            Limit::AtMost(1.25),
            Unit::Times,
            hits(TCP),
        ),
        Target::of(
            "established snat hit, net of the driver",
            Limit::AtMost(1.25),
            Unit::Times,
            hits(&net),
        ),
        Target::of(
            "new TCP flow, beside a hit",
            Limit::AtMost(6.0),
            Unit::Times,
            ratios(TCP, tcp::SYN, tcp::TO_NODE),
        ),
        Target::of(
            "new TCP flow, net of the driver",
            Limit::AtMost(6.0),
            Unit::Times,
            ratios(&net, tcp::SYN, tcp::TO_NODE),
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}
