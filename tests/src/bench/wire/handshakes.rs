//! Opens flows: whole handshakes, made of frames alone.

use anyhow::{Result, ensure};
use lb_common::bench_wire::behaviour;

use super::{
    frames::{self, Kind, Template},
    generator::{Amount, Lane, Sent, send},
    setup::Wire,
};

/// Bytes of the frames of a handshake.
pub const SIZE: usize = 64;

/// How often the handshakes are begun before it is an error that some were not completed.
const ATTEMPTS: usize = 3;

/// The SYNs of flows `first` to `end - 1`, in this order: a table that was filled in the order in which it is asked
/// would be kind to caches.
pub fn syns(wire: &Wire, first: u64, end: u64) -> Vec<Template> {
    templates(wire, Kind::Syn, first, end, SIZE)
}

/// What the flows `first` to `end - 1` send, in a random order unless it is what opens them.
pub fn templates(wire: &Wire, kind: Kind, first: u64, end: u64, size: usize) -> Vec<Template> {
    let mut templates: Vec<_> = (first..end)
        .map(|flow| frames::template(kind, super::plan::client(flow), wire.server(flow), size))
        .collect();
    if kind != Kind::Syn {
        frames::shuffle(&mut templates);
    }
    templates
}

/// Begins handshakes by all `lanes` and lets the far ends complete them.
pub fn shake(wire: &mut Wire, lanes: &[Lane]) -> Result<Sent> {
    wire.instruments.behave(behaviour::SHAKE)?;
    let sent = send(wire, lanes, SIZE, Amount::Once);
    wire.instruments.behave(behaviour::SINK)?;
    let sent = sent?;
    ensure!(
        sent.arrived.stray == 0,
        "{}: {} answers reached another client than the one that had asked",
        wire.contender,
        sent.arrived.stray
    );
    Ok(sent)
}

/// Opens the flows `held` to `end - 1`, where those below are open already. The first attempt counts as what
/// was sent; packets that a queue has lost are sent again.
pub fn open(wire: &mut Wire, held: u64, end: u64) -> Result<Option<Sent>> {
    if !wire.contender.has_flows() || end <= held {
        return Ok(None);
    }
    let syns = syns(wire, held, end);
    wire.instruments.set_templates(0, &syns)?;
    let lanes = [Lane::one(syns.len() as u32)];
    let first = shake(wire, &lanes)?;
    let mut last = first;
    for _ in 1..ATTEMPTS {
        if last.arrived.data == last.offered {
            break;
        }
        last = shake(wire, &lanes)?;
    }
    wire.expect_flows(end)?;
    Ok(Some(first))
}
