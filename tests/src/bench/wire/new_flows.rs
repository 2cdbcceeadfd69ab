//! New flows per second: a flood of SYNs, and whole handshakes.

use anyhow::{Result, ensure};
use lb_common::bench_wire::behaviour;

use super::{
    contender::Contender,
    generator::{Amount, Lane, send},
    handshakes::{self, SIZE, shake, syns},
    setup::{Ends, Order, Wire},
};
use crate::{
    bench::{
        figures::{Section, Unit},
        options::Options,
    },
    lab::{folder::Folder, plan::Arrangement},
};

/// Name of the section.
pub const SECTION: &str = "wire, new flows";
/// What the names of the rows of SYNs alone begin with.
pub const SYNS: &str = "SYNs";
/// What the names of the rows of whole handshakes begin with.
pub const HANDSHAKES: &str = "handshakes";

/// Flows that are opened in each sample.
fn flows(options: &Options) -> u64 {
    if options.quick { 2000 } else { 100_000 }
}

/// Name of a row.
pub fn row(what: &str, contender: Contender) -> String {
    format!("{what}, {contender}")
}

/// Measures edgelb and nftables in turns; no flow is opened twice.
pub fn measure(options: &Options, folder: &Folder) -> Result<Vec<Section>> {
    options.progress("wire: new flows");
    let flows = flows(options);
    let rounds = options.rounds_or(5);
    let order = Order {
        arrangement: Arrangement::TwoArm,
        flows: flows * (rounds as u64 + 1),
        templates: flows as u32,
        cpus: 1,
        ends: Ends::Instruments,
    };
    let mut section = Section::new(
        SECTION,
        format!(
            "{flows} new connections a sample: by a SYN alone, and by SYN, SYN-ACK and ACK. Each from a client that was \
             never seen before; one processor does all the work."
        ),
    );
    let mut contenders = [Contender::Edgelb, Contender::Nftables]
        .map(|contender| (contender, Vec::new(), Vec::new()));
    let mut wires = Vec::new();
    for (contender, ..) in &contenders {
        wires.push(Wire::build(*contender, order, folder)?);
    }
    for round in 0..rounds as u64 {
        for (wire, (_, alone, whole)) in wires.iter_mut().zip(&mut contenders) {
            let first = round * 2 * flows;
            alone.push(flood(wire, first, first + flows)?);
            whole.push(open(wire, first + flows, first + 2 * flows)?);
        }
    }
    for (contender, alone, whole) in &contenders {
        section.add(&row(SYNS, *contender), None, Unit::PerSecond, alone);
        section.add(&row(HANDSHAKES, *contender), None, Unit::PerSecond, whole);
    }
    let mut nft = section.clone();
    section.compare_to(&row(SYNS, Contender::Nftables));
    nft.compare_to(&row(HANDSHAKES, Contender::Nftables));
    for (row, other) in section.rows.iter_mut().zip(nft.rows) {
        if row.name.starts_with(HANDSHAKES) {
            row.ratio = other.ratio;
        }
    }
    Ok(vec![section])
}

/// SYNs that are not answered: how many of them reached a node in a second.
fn flood(wire: &mut Wire, first: u64, end: u64) -> Result<f64> {
    let syns = syns(wire, first, end);
    wire.instruments.set_templates(0, &syns)?;
    wire.instruments.behave(behaviour::SINK)?;
    let sent = send(wire, &[Lane::one(syns.len() as u32)], SIZE, Amount::Once)?;
    ensure!(
        sent.arrived.syn > 0,
        "{}: not one SYN has arrived",
        wire.contender
    );
    Ok(sent.rate(sent.arrived.syn))
}

/// Whole handshakes: how many were completed in a second.
pub fn open(wire: &mut Wire, first: u64, end: u64) -> Result<f64> {
    let syns = handshakes::syns(wire, first, end);
    wire.instruments.set_templates(0, &syns)?;
    let sent = shake(wire, &[Lane::one(syns.len() as u32)])?;
    ensure!(
        sent.arrived.data > 0,
        "{}: not one handshake was completed",
        wire.contender
    );
    Ok(sent.rate(sent.arrived.data))
}
