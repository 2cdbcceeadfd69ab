//! The rate while the daemon is at work: sweeps, and `edgelb flows`.

use std::{
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Result, anyhow, ensure};
use lb_common::bench_wire::behaviour;

use super::{
    contender::Contender,
    frames::Kind,
    generator::{Amount, Lane, send},
    handshakes::{self, SIZE, templates},
    rates::checked,
    setup::{Ends, Order, Wire},
};
use crate::{
    bench::{
        figures::{Section, Unit},
        options::Options,
    },
    lab::{edgelb::Instance, folder::Folder, plan::Arrangement},
};

/// Name of the section.
pub const SECTION: &str = "wire, daemon at work";
/// Row of how much sweeps cost.
pub const SWEEPING: &str = "slower by sweeps";
/// Row of how much `edgelb flows` costs.
pub const LISTING: &str = "slower while all flows are listed";

/// Measures the rate with a daemon that stands still, that sweeps, and that lists all flows.
pub fn measure(flows: u64, options: &Options, folder: &Folder) -> Result<Vec<Section>> {
    options.progress(&format!(
        "wire: {flows} flows while edgelb's daemon is at work"
    ));
    let order = Order {
        arrangement: Arrangement::TwoArm,
        flows: flows + flows / 4,
        templates: flows as u32,
        cpus: 1,
        ends: Ends::Instruments,
    };
    let mut wire = Wire::build(Contender::Edgelb, order, folder)?;
    wire.instruments.behave(behaviour::SINK)?;
    handshakes::open(&mut wire, 0, flows)?;
    let data = templates(&wire, Kind::Data, 0, flows, SIZE);
    wire.instruments.set_templates(0, &data)?;
    let (mut sweeping, mut listing) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds_or(5) {
        sweeping.push(in_turns(&mut wire, flows, options)?);
        listing.push(while_listing(&mut wire, flows, options)?);
    }
    let all = |rates: &[Rates], figure: fn(&Rates) -> f64| -> Vec<f64> {
        rates.iter().map(figure).collect()
    };
    let still = [&sweeping, &listing].map(|rates| all(rates, |rates| rates.still));
    let mut section = Section::new(
        SECTION,
        "edgelb with two arms, frames of 64 bytes of established flows in random order: while its daemon stands still, \
         while it sweeps for idle flows once a second, and while `edgelb flows` is called again and again. A round is \
         short runs with the daemon at work and standing still, in turns.",
    );
    let (flows, unit) = (Some(flows), Unit::MegapacketsPerSecond);
    section.add("daemon stands still", flows, unit, &still.concat());
    for (row, rates) in [("sweeps", &sweeping), ("all flows are listed", &listing)] {
        section.add(row, flows, unit, &all(rates, |rates| rates.at_work));
    }
    section.compare_to("daemon stands still");
    for (row, rates) in [(SWEEPING, &sweeping), (LISTING, &listing)] {
        section.add(row, flows, Unit::Percent, &all(rates, Rates::slower));
    }
    Ok(vec![section])
}

/// Two rates in Mpps that were taken in turns.
struct Rates {
    still: f64,
    at_work: f64,
}

impl Rates {
    /// How much slower packets are while the daemon is at work, in percent.
    fn slower(&self) -> f64 {
        100.0 * (1.0 - self.at_work / self.still)
    }
}

/// The rates with a daemon that stands still and with one at work. The machine is faster and slower for seconds at a
/// time, so neither is measured for as long.
fn in_turns(wire: &mut Wire, flows: u64, options: &Options) -> Result<Rates> {
    let (turns, time) = if options.quick {
        (1, Duration::from_millis(100))
    } else {
        (6, Duration::from_millis(400))
    };
    let lanes = [Lane::one(flows as u32)];
    let mut rates = Rates {
        still: 0.0,
        at_work: 0.0,
    };
    for _ in 0..turns {
        // What was forwarded cannot be asked of a daemon that stands still.
        let paused = wire.pause()?;
        let still = send(wire, &lanes, SIZE, Amount::For(time))?;
        drop(paused);
        let at_work = checked(wire, &lanes, SIZE, Amount::For(time))?;
        rates.still += still.mpps() / f64::from(turns);
        rates.at_work += at_work.mpps() / f64::from(turns);
    }
    Ok(rates)
}

/// The same where the daemon at work lists all flows: it goes on where it stood still.
fn while_listing(wire: &mut Wire, flows: u64, options: &Options) -> Result<Rates> {
    let instance = wire.edgelb()?.instance.clone();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let lists = scope.spawn(|| list_until(&over, &instance));
        let rates = in_turns(wire, flows, options);
        over.store(true, Ordering::Relaxed);
        let lists = lists
            .join()
            .map_err(|_| anyhow!("the lister has panicked"))??;
        ensure!(lists > 0, "the flows were not listed once");
        rates
    })
}

/// Lists all flows until it is over: how often.
fn list_until(over: &AtomicBool, instance: &Instance) -> Result<u32> {
    let mut lists = 0;
    while !over.load(Ordering::Relaxed) {
        let status = Command::new(instance.program())
            .args(["flows", "--json", "--control-socket"])
            .arg(instance.control_socket())
            .stdout(Stdio::null())
            .status()?;
        ensure!(status.success(), "edgelb flows: {status}");
        lists += 1;
    }
    Ok(lists)
}
