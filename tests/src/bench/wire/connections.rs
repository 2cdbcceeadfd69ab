//! Real TCP connections: how many in a second, and how long a request takes.

pub mod client;
pub mod server;

use std::{thread, time::Duration};

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use lb_common::bench_wire::behaviour;

use self::{
    client::{Load, Outcome},
    server::Server,
};
use super::{
    contender::Contender,
    cpu,
    setup::{Ends, Order, Wire},
};
use crate::{
    bench::{
        figures::{Section, Unit},
        options::Options,
    },
    lab::{folder::Folder, plan::Arrangement},
};

/// Name of the section of rates.
pub const RATES: &str = "wire, new connections";
/// Name of the section of latencies.
pub const LATENCIES: &str = "wire, request latency";
/// What the names of the rows of the 99th percentile end with.
pub const P99: &str = "p99";
/// Row of how much longer edgelb takes than no balancer at all.
pub const ADDED_P99: &str = "edgelb: added p99";

/// Whoever can take a client's connection to a node.
const CONTENDERS: [Contender; 5] = [
    Contender::Routing,
    Contender::Edgelb,
    Contender::Nftables,
    Contender::Haproxy,
    Contender::Nginx,
];

/// Connections at a time when the rate is measured.
const CONCURRENT: usize = 64;

/// Connections in a second when latency is measured: a small part of what everyone can do.
const MODERATE: u32 = 1000;

/// A contender, and what came of its turns.
struct Turns {
    wire: Wire,
    server: Server,
    rates: Vec<f64>,
    costs: Vec<f64>,
    latencies: Vec<Histogram<u64>>,
}

/// Measures everyone in turns.
pub fn measure(options: &Options, folder: &Folder) -> Result<Vec<Section>> {
    options.progress("wire: real TCP connections");
    let order = Order {
        arrangement: Arrangement::TwoArm,
        flows: 1_000_000,
        templates: 1,
        cpus: 1,
        ends: Ends::Hosts,
    };
    let mut all = Vec::new();
    for contender in CONTENDERS {
        let mut wire = Wire::build(contender, order, folder)?;
        wire.instruments.behave(behaviour::PASS)?;
        let server = Server::start(wire.topology.nodes())?;
        all.push(Turns {
            wire,
            server,
            rates: Vec::new(),
            costs: Vec::new(),
            latencies: Vec::new(),
        });
    }
    let (fast, paced) = if options.quick {
        (Duration::from_millis(200), Duration::from_millis(300))
    } else {
        (Duration::from_secs(2), Duration::from_secs(4))
    };
    let mut next_client = 0;
    for _ in 0..options.rounds_or(5) {
        for number in 0..all.len() {
            let paused = match all.iter().find(|turns| turns.wire.edgelb.is_some()) {
                Some(edgelb) if all[number].wire.edgelb.is_none() => Some(edgelb.wire.pause()?),
                _ => None,
            };
            let turns = &mut all[number];
            turns.take(Load::Closed(CONCURRENT), fast, &mut next_client)?;
            // What was cut short is out of the way.
            thread::sleep(Duration::from_millis(50));
            turns.take(Load::Paced(MODERATE), paced, &mut next_client)?;
            drop(paused);
        }
    }
    Ok(vec![rates(&all), latencies(&all)])
}

impl Turns {
    fn take(&mut self, load: Load, time: Duration, next_client: &mut u64) -> Result<()> {
        let busy = cpu::busy()?;
        let served = self.server.served();
        let outcome = client::run(&self.wire, load, time, next_client)?;
        let busy = cpu::busy_since(busy)?;
        self.check(&outcome, self.server.served() - served)?;
        match load {
            Load::Closed(_) => {
                let connections = outcome.latencies.len() as f64;
                self.rates.push(connections / outcome.elapsed.as_secs_f64());
                self.costs.push(busy.as_secs_f64() * 1e6 / connections);
            }
            Load::Paced(_) => self.latencies.push(outcome.latencies),
        }
        Ok(())
    }

    /// A connection in a thousand may fail where a port is not free; more would not be the same load.
    fn check(&self, outcome: &Outcome, served: u64) -> Result<()> {
        let answered = outcome.latencies.len();
        ensure!(
            answered > 0 && outcome.failed * 1000 <= answered,
            "{}: {} connections have failed and {answered} have not; the first said: {}",
            self.wire.contender,
            outcome.failed,
            outcome.first_error.as_deref().unwrap_or("nothing")
        );
        ensure!(
            served >= answered,
            "{}: the nodes have answered {served} requests of {answered}",
            self.wire.contender
        );
        Ok(())
    }
}

fn name(contender: Contender) -> &'static str {
    match contender {
        Contender::Routing => "direct routing",
        other => other.name(),
    }
}

fn rates(all: &[Turns]) -> Section {
    let mut section = Section::new(
        RATES,
        format!(
            "A connection, a small request, a small answer, and a RST; {CONCURRENT} at a time. Client and server are \
             programs of the bench on the same processors, and take their part of them."
        ),
    );
    for turns in all {
        let name = name(turns.wire.contender);
        section.add(name, None, Unit::PerSecond, &turns.rates);
    }
    section.compare_to(Contender::Haproxy.name());
    let direct = median(&all[0].costs);
    for turns in all {
        let name = name(turns.wire.contender);
        let unit = Unit::Microseconds;
        section.add(&format!("{name}: processor time"), None, unit, &turns.costs);
        let added: Vec<f64> = turns.costs.iter().map(|cost| cost - direct).collect();
        if turns.wire.contender != Contender::Routing {
            section.add(&format!("{name}: added"), None, unit, &added);
        }
    }
    section.note(
        "Processor time is that of the whole machine for a connection, client, server and kernels included; \
         \"added\" is what the balancer adds to it.",
    );
    section
}

fn latencies(all: &[Turns]) -> Section {
    let mut section = Section::new(
        LATENCIES,
        format!(
            "From connect to the last byte of the answer, with {MODERATE} new connections in a second, whether or not \
             the ones before are over."
        ),
    );
    for turns in all {
        for (percentile, word) in [(50.0, "p50"), (99.0, P99), (99.9, "p99.9")] {
            let name = format!("{}: {word}", name(turns.wire.contender));
            section.add(
                &name,
                None,
                Unit::Microseconds,
                &at(percentile, &turns.latencies),
            );
        }
    }
    let (direct, edgelb) = (&all[0], &all[1]);
    let added: Vec<f64> = at(99.0, &edgelb.latencies)
        .iter()
        .zip(at(99.0, &direct.latencies))
        .map(|(edgelb, direct)| 100.0 * (edgelb / direct - 1.0))
        .collect();
    section.add(ADDED_P99, None, Unit::Percent, &added);
    section
}

/// A percentile of each round (µs).
fn at(percentile: f64, rounds: &[Histogram<u64>]) -> Vec<f64> {
    rounds
        .iter()
        .map(|round| round.value_at_percentile(percentile) as f64 / 1000.0)
        .collect()
}

fn median(samples: &[f64]) -> f64 {
    crate::bench::figures::Spread::of(samples).map_or(0.0, |spread| spread.median)
}
