//! How the rate grows from one processor to two.

use std::thread;

use anyhow::Result;
use lb_common::bench_wire::behaviour;

use super::{
    contender::Contender,
    frames::Kind,
    generator::{Amount, Lane},
    handshakes::{self, SIZE, templates},
    rates::{checked, time},
    setup::{Ends, Order, Wire},
};
use crate::{
    bench::{
        figures::{Section, Unit},
        options::Options,
    },
    lab::{folder::Folder, plan::Arrangement},
};

/// Measures with one generator and with two, each on a processor and a queue of its own.
pub fn measure(flows: u64, options: &Options, folder: &Folder) -> Result<Vec<Section>> {
    options.progress("wire: one processor and two");
    let mut section = Section::new(
        "wire, one processor and two",
        "Frames of 64 bytes, two arms: all by one processor, and by two at the same time, each with a queue and half \
         of the flows of its own.",
    );
    if thread::available_parallelism()?.get() < 2 {
        section.note("This machine has one processor.");
        return Ok(vec![section]);
    }
    let order = Order {
        arrangement: Arrangement::TwoArm,
        flows: flows * 2,
        templates: flows as u32,
        cpus: 2,
        ends: Ends::Instruments,
    };
    let mut wires = Vec::new();
    for contender in Contender::ALL {
        let mut wire = Wire::build(contender, order, folder)?;
        wire.instruments.behave(behaviour::SINK)?;
        handshakes::open(&mut wire, 0, flows)?;
        let data = templates(&wire, Kind::Data, 0, flows, SIZE);
        wire.instruments.set_templates(0, &data)?;
        wires.push(wire);
    }
    let lanes = [vec![Lane::one(flows as u32)], Lane::split(flows as u32, 2)];
    let mut samples = vec![[Vec::new(), Vec::new()]; wires.len()];
    for _ in 0..options.rounds_or(5) {
        for (wire, samples) in wires.iter_mut().zip(&mut samples) {
            for (lanes, samples) in lanes.iter().zip(samples) {
                samples.push(checked(wire, lanes, SIZE, Amount::For(time(options)))?.mpps());
            }
        }
    }
    for (wire, [one, two]) in wires.iter().zip(&samples) {
        let name = wire.contender;
        let growth: Vec<f64> = one.iter().zip(two).map(|(one, two)| two / one).collect();
        let unit = Unit::MegapacketsPerSecond;
        section.add(&format!("{name}, one processor"), Some(flows), unit, one);
        section.add(&format!("{name}, two processors"), Some(flows), unit, two);
        section.add(
            &format!("{name}, growth"),
            Some(flows),
            Unit::Times,
            &growth,
        );
    }
    Ok(vec![section])
}
