//! The answer to `edgelb flows`, a batch at a time: a large table has more flows than the daemon should have in
//! memory, or be busy with while something else waits.

use std::{
    collections::HashMap,
    net::SocketAddrV4,
    time::{Duration, Instant},
};

use anyhow::Result;
use lb_common::{
    flow::FlowCell,
    net::{Protocol, socket_address},
};

use super::VIP_OUT;
use crate::{
    api::{FlowLine, FlowLines},
    clock,
    controller::Controller,
    datapath::{Pair, Progress, Stage},
    expiry,
    snapshot::FlowStatus,
};

/// After each batch there is a pause of this many times its length, in which the data path has the machine for
/// itself.
const PAUSE: u32 = 20;

/// The next flows, each a line.
pub fn flows(controller: &Controller, from: Progress) -> Result<FlowLines> {
    let (begun, now) = (Instant::now(), clock::now());
    let labels = labels(controller);
    let (pairs, next) = controller.datapath.read_flows(from)?;
    let mut lines = FlowLines {
        text: Vec::new(),
        flows: 0,
        next,
        pause: Duration::ZERO,
    };
    for pair in &pairs {
        let label = labels.get(&u32::from(pair[0].entry.node_cell));
        let flow = flow(pair, label.copied().unwrap_or_default(), now);
        FlowLine::Flow(&flow).write(&mut lines.text)?;
        lines.flows += 1;
    }
    lines.pause = begun.elapsed() * PAUSE;
    Ok(lines)
}

/// What a flow is shown as: service, node, treatment. Empty for what is in no plan any more.
type Label<'a> = (&'a str, &'a str, &'static str);

fn labels(controller: &Controller) -> HashMap<u32, Label<'_>> {
    let Controller { plan, indexes, .. } = controller;
    let mut labels = HashMap::new();
    for service in &plan.services {
        for node in &service.nodes {
            if let Some((cell, _)) = indexes.node(service.into(), node.address) {
                let treatment = service.treatment.name();
                labels.insert(cell, (service.name.as_str(), node.name.as_str(), treatment));
            }
        }
    }
    for outbound in &plan.outbound {
        for (node, address) in &outbound.nodes {
            let address = SocketAddrV4::new(*address, 0);
            if let Some((cell, _)) = indexes.node(outbound.into(), address) {
                labels.insert(cell, (outbound.name.as_str(), node.as_str(), VIP_OUT));
            }
        }
    }
    labels
}

fn flow(pair: &Pair, (service, node, treatment): Label<'_>, now: u32) -> FlowStatus {
    let [FlowCell { key, entry }, answer] = pair;
    let idle = expiry::idle(entry, now).min(expiry::idle(&answer.entry, now));
    FlowStatus {
        protocol: if key.protocol == Protocol::Udp as u8 {
            Protocol::Udp.name().to_owned()
        } else {
            Protocol::Tcp.name().to_owned()
        },
        treatment: treatment.to_owned(),
        service: service.to_owned(),
        node: node.to_owned(),
        client: socket_address(key.source, key.source_port),
        vip: socket_address(key.destination, key.destination_port),
        source: socket_address(entry.rewrite.source, entry.rewrite.source_port),
        node_address: socket_address(entry.rewrite.destination, entry.rewrite.destination_port),
        state: state(pair).to_owned(),
        age_seconds: u64::from(now.saturating_sub(entry.opened.second())),
        idle_seconds: u64::from(idle),
        packets_in: u64::from(entry.packets),
        packets_out: u64::from(answer.entry.packets),
        bytes_in: entry.bytes,
        bytes_out: answer.entry.bytes,
    }
}

fn state(pair: &Pair) -> &'static str {
    if pair.iter().any(|cell| cell.entry.state.is_closing()) {
        return "closing";
    }
    match Stage::of(pair) {
        Stage::Confirmed => "established",
        Stage::HalfOpen => "half-open",
    }
}
