//! Two processors at work on the same tables at the same time: no port is given out twice, every answer finds
//! its client, and no count is lost.

use std::{collections::HashSet, thread};

use anyhow::{Result, ensure};
use lb_common::bench_wire::behaviour;
use lb_daemon::snapshot::{FlowStatus, Status};
use lb_tests::{
    bench::wire::{
        contender::Contender,
        frames::Kind,
        generator::{Amount, Lane, Sent, send},
        handshakes::{SIZE, shake, syns, templates},
        setup::{Ends, Order, Wire},
    },
    lab::{folder::Folder, plan::Arrangement},
};

const FLOWS: u32 = 20_000;

/// Packets can be lost on the way to edgelb and behind it, where a queue is full: then nobody knows how many
/// it should have counted. As many attempts as this must contain one without.
const ATTEMPTS: usize = 5;

/// Both generators begin other flows, or both begin the same ones.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Which {
    Own,
    Same,
}

impl Which {
    fn lanes(self) -> Vec<Lane> {
        match self {
            Self::Own => Lane::split(FLOWS, 2),
            Self::Same => (0..2)
                .map(|cpu| Lane {
                    cpu,
                    ..Lane::one(FLOWS)
                })
                .collect(),
        }
    }
}

#[test]
fn two_generators_open_flows_of_their_own() -> Result<()> {
    opened_by_two(Which::Own)
}

#[test]
fn two_generators_open_the_same_flows() -> Result<()> {
    opened_by_two(Which::Same)
}

fn opened_by_two(which: Which) -> Result<()> {
    let processors = thread::available_parallelism()?.get();
    ensure!(
        processors >= 2,
        "this is about two processors, and there is {processors}"
    );
    let folder = Folder::create()?;
    let order = Order {
        arrangement: Arrangement::TwoArm,
        flows: u64::from(FLOWS) * 2,
        templates: FLOWS,
        cpus: 2,
        ends: Ends::Instruments,
    };
    let mut wire = Wire::build(Contender::Edgelb, order, &folder)?;
    let lanes = which.lanes();

    let first = syns(&wire, 0, FLOWS.into());
    wire.instruments.set_templates(0, &first)?;
    let opened = counted(&mut wire, which, |wire| shake(wire, &lanes))?;
    ensure!(opened.arrived.rst == 0, "{opened:?}");
    wire.expect_flows(FLOWS.into())?;
    undropped(&wire, which)?;
    let flows = wire.edgelb()?.instance.flows()?;
    sound(&flows, which)?;

    let data = templates(&wire, Kind::Data, 0, FLOWS.into(), SIZE);
    wire.instruments.set_templates(0, &data)?;
    wire.instruments.behave(behaviour::SINK)?;
    let before = in_of_flows(&flows);
    let sent = counted(&mut wire, which, |wire| {
        send(wire, &lanes, SIZE, Amount::Once)
    })?;
    if which == Which::Own {
        // A direction of a flow has one queue, and so one processor, as a NIC would have it.
        let after = in_of_flows(&wire.edgelb()?.instance.flows()?);
        ensure!(
            after - before >= sent.arrived.data,
            "the flows have counted {} packets of {sent:?}",
            after - before
        );
    }
    undropped(&wire, which)
}

/// Nothing was refused for want of a flow, a port or room.
fn undropped(wire: &Wire, which: Which) -> Result<()> {
    let status = wire.edgelb()?.instance.status()?;
    let drops: Vec<_> = status
        .drops
        .iter()
        .map(|drop| format!("{} {}", drop.packets, drop.reason))
        .collect();
    ensure!(drops.is_empty(), "{which:?}: edgelb has dropped {drops:?}");
    Ok(())
}

/// Sends until nothing was lost on the way: then edgelb must have counted every packet, as one of a service.
fn counted(
    wire: &mut Wire,
    which: Which,
    mut sending: impl FnMut(&mut Wire) -> Result<Sent>,
) -> Result<Sent> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let before = totals(&wire.edgelb()?.instance.status()?);
        let sent = sending(wire)?;
        let after = totals(&wire.edgelb()?.instance.status()?);
        let (forwarded, of_services) = (after.0 - before.0, after.1 - before.1);
        let arrived = sent.arrived.syn + sent.arrived.syn_ack + sent.arrived.data;
        ensure!(
            forwarded == of_services,
            "{which:?}: {forwarded} packets forwarded, and {of_services} of services"
        );
        ensure!(
            forwarded >= arrived,
            "{which:?}: edgelb has counted {forwarded} packets of {arrived} that have arrived"
        );
        let is_complete = if sent.arrived.syn == 0 {
            sent.arrived.data == sent.offered
        } else {
            sent.arrived.data == sent.offered && sent.arrived.syn == sent.offered
        };
        if is_complete {
            ensure!(
                forwarded == arrived,
                "{which:?}: edgelb has counted {forwarded} packets, and {arrived} have arrived"
            );
            return Ok(sent);
        }
        last = Some(sent);
    }
    anyhow::bail!("{which:?}: packets were lost each time, at last {last:?}")
}

/// Packets that were forwarded, and those that are counted with a service.
fn totals(status: &Status) -> (u64, u64) {
    let services = status.services.iter();
    let of_services =
        services.map(|service| service.traffic.packets_in + service.traffic.packets_out);
    (status.packets.forwarded, of_services.sum())
}

fn in_of_flows(flows: &[FlowStatus]) -> u64 {
    flows.iter().map(|flow| flow.packets_in).sum()
}

/// Every flow is there once, and a node can tell it from all others.
fn sound(flows: &[FlowStatus], which: Which) -> Result<()> {
    let established = flows.iter().filter(|flow| flow.state == "established");
    let clients: HashSet<_> = established.clone().map(|flow| flow.client).collect();
    let established = established.count();
    ensure!(
        established == FLOWS as usize && clients.len() == established,
        "{which:?}: {established} established flows of {} clients",
        clients.len()
    );
    // A SYN that comes in again at the very moment at which its flow is confirmed opens another, which is
    // never confirmed and goes with its idle time.
    ensure!(
        which == Which::Same || flows.len() == established,
        "{} flows",
        flows.len()
    );
    let seen: HashSet<_> = flows
        .iter()
        .map(|flow| (flow.source, flow.node_address))
        .collect();
    ensure!(
        seen.len() == flows.len(),
        "{which:?}: the nodes see {} different flows of {}",
        seen.len(),
        flows.len()
    );
    Ok(())
}
