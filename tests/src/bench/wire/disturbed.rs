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
    generator::{Amount, Lane, Sent},
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
    let mut samples = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..options.rounds_or(5) {
        let [still, sweeping, listing] = &mut samples;
        still.push(while_still(&mut wire, flows, options)?.mpps());
        sweeping.push(send(&mut wire, flows, options)?.mpps());
        listing.push(while_listing(&mut wire, flows, options)?.mpps());
    }
    let [still, sweeping, listing] = &samples;
    let slower = |samples: &[f64]| -> Vec<f64> {
        let pairs = samples.iter().zip(still);
        pairs
            .map(|(rate, still)| 100.0 * (1.0 - rate / still))
            .collect()
    };
    let mut section = Section::new(
        SECTION,
        "edgelb with two arms, frames of 64 bytes of established flows in random order: while its daemon stands still, \
         while it sweeps for idle flows once a second, and while `edgelb flows` is called again and again.",
    );
    let (flows, unit) = (Some(flows), Unit::MegapacketsPerSecond);
    section.add("daemon stands still", flows, unit, still);
    section.add("sweeps", flows, unit, sweeping);
    section.add("all flows are listed", flows, unit, listing);
    section.compare_to("daemon stands still");
    section.add(SWEEPING, flows, Unit::Percent, &slower(sweeping));
    section.add(LISTING, flows, Unit::Percent, &slower(listing));
    Ok(vec![section])
}

/// Several sweeps long.
fn send(wire: &mut Wire, flows: u64, options: &Options) -> Result<Sent> {
    let time = Duration::from_millis(if options.quick { 100 } else { 3000 });
    checked(wire, &[Lane::one(flows as u32)], SIZE, Amount::For(time))
}

/// What was forwarded cannot be asked of a daemon that stands still.
fn while_still(wire: &mut Wire, flows: u64, options: &Options) -> Result<Sent> {
    let time = Duration::from_millis(if options.quick { 100 } else { 1000 });
    let paused = wire.pause()?;
    let lanes = [Lane::one(flows as u32)];
    let sent = super::generator::send(wire, &lanes, SIZE, Amount::For(time));
    drop(paused);
    sent
}

fn while_listing(wire: &mut Wire, flows: u64, options: &Options) -> Result<Sent> {
    let instance = wire.edgelb()?.instance.clone();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let lists = scope.spawn(|| list_until(&over, &instance));
        let sent = send(wire, flows, options);
        over.store(true, Ordering::Relaxed);
        let lists = lists
            .join()
            .map_err(|_| anyhow!("the lister has panicked"))??;
        ensure!(lists > 0, "the flows were not listed once");
        sent
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
