//! The answer to `edgelb flows`, a batch at a time: a large table has more flows than the daemon should have in
//! memory, or be busy with while something else waits.

use std::{
    collections::HashMap,
    net::SocketAddrV4,
    time::{Duration, Instant},
};

use anyhow::Result;
use lb_common::{
    flow::{Direction, FlowEntry, FlowKey, FlowState},
    net::{Protocol, socket_address},
};

use super::VIP_OUT;
use crate::{
    api::{FlowLine, FlowLines},
    clock,
    controller::{Controller, WALK_SHARE},
    datapath::{FlowBatch, FlowTable, Progress},
    expiry,
    snapshot::FlowStatus,
};

/// The next flows, each a line.
pub fn flows(controller: &Controller, from: Progress) -> Result<FlowLines> {
    let (begun, now) = (Instant::now(), clock::now());
    let labels = labels(controller);
    let label = |entry: &FlowEntry| {
        let label = labels.get(&u32::from(entry.node_cell));
        label.copied().unwrap_or_default()
    };
    let datapath = &controller.datapath;
    let (batch, next) = datapath.read_flows(from)?;
    let mut lines = FlowLines {
        text: Vec::new(),
        flows: 0,
        next,
        pause: Duration::ZERO,
    };
    match batch {
        FlowBatch::HalfOpen(entries) => {
            let questions = entries
                .iter()
                .filter(|(_, entry)| entry.role.direction() == Direction::TO_NODE);
            for (key, entry) in questions {
                let answers = datapath.half_open(&key.answer_to(&entry.rewrite))?;
                let (table, answers) = (FlowTable::HalfOpen, answers.as_ref());
                add(
                    &mut lines,
                    &flow(table, key, entry, answers, label(entry), now),
                )?;
            }
        }
        FlowBatch::Established(pairs) => {
            for [question, answer] in &pairs {
                let (key, entry) = (&question.key, &question.entry);
                let (table, answers) = (FlowTable::Established, Some(&answer.entry));
                add(
                    &mut lines,
                    &flow(table, key, entry, answers, label(entry), now),
                )?;
            }
        }
    }
    lines.pause = begun.elapsed() * WALK_SHARE;
    Ok(lines)
}

fn add(lines: &mut FlowLines, flow: &FlowStatus) -> Result<()> {
    FlowLine::Flow(flow).write(&mut lines.text)?;
    lines.flows += 1;
    Ok(())
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

fn flow(
    table: FlowTable,
    key: &FlowKey,
    entry: &FlowEntry,
    answers: Option<&FlowEntry>,
    (service, node, treatment): Label<'_>,
    now: u32,
) -> FlowStatus {
    let idle = answers.map_or(u32::MAX, |answers| expiry::idle(answers, now));
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
        state: state(table, entry.state, answers.map(|answers| answers.state)).to_owned(),
        age_seconds: u64::from(now.saturating_sub(entry.opened)),
        idle_seconds: u64::from(idle.min(expiry::idle(entry, now))),
        packets_in: u64::from(entry.packets),
        packets_out: answers.map_or(0, |answers| u64::from(answers.packets)),
        bytes_in: entry.bytes,
        bytes_out: answers.map_or(0, |answers| answers.bytes),
    }
}

fn state(table: FlowTable, own: FlowState, other: Option<FlowState>) -> &'static str {
    if own.is_closing() || other.is_some_and(FlowState::is_closing) {
        return "closing";
    }
    match table {
        FlowTable::Established => "established",
        FlowTable::HalfOpen => "half-open",
    }
}
