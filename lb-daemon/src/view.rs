//! From what the controller holds to what it shows: [`crate::snapshot`] (read-only).

use std::collections::HashMap;

use anyhow::Result;
use lb_common::{
    drop_reason::{DropReason, ROUTED_CELL},
    flow::{Direction, FlowEntry, FlowKey, FlowState},
    net::{Protocol, socket_address},
    service::{Treatment, node_cell},
};

use crate::{
    clock,
    controller::Controller,
    datapath::FlowTable,
    expiry,
    snapshot::{
        DropStatus, FlowCounts, FlowStatus, FlowTableStatus, IdleTimeouts, InterfaceStatus,
        NodeStatus, PacketTotals, ServiceStatus, Status, Traffic, VipStatus,
    },
};

/// Answer to `edgelb status`.
pub fn status(controller: &Controller) -> Result<Status> {
    let census = Census::take(controller)?;
    let services = services(controller, &census)?;
    let verdicts = controller.datapath.verdicts()?;
    let drops: Vec<DropStatus> = DropReason::ALL
        .iter()
        .map(|reason| DropStatus {
            reason: reason.name().to_owned(),
            meaning: reason.meaning().to_owned(),
            packets: verdicts[*reason as usize],
        })
        .filter(|status| status.packets > 0)
        .collect();
    let packets = PacketTotals {
        forwarded: services
            .iter()
            .map(|service| service.traffic.packets_in + service.traffic.packets_out)
            .sum(),
        routed: verdicts[ROUTED_CELL as usize],
        passed: verdicts[DropReason::Passed as usize],
        dropped: drops.iter().map(|status| status.packets).sum(),
    };
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pool: controller.plan.pool.clone(),
        uptime_seconds: controller.started.elapsed().as_secs(),
        interfaces: interfaces(controller),
        vips: vips(controller),
        services,
        flow_table: flow_table(controller, &census),
        packets,
        drops,
    })
}

fn interfaces(controller: &Controller) -> Vec<InterfaceStatus> {
    controller
        .interfaces
        .iter()
        .map(|interface| InterfaceStatus {
            name: interface.link.name.clone(),
            index: interface.link.index,
            zone: interface.zone.name().to_owned(),
            mode: interface.attached.mode.name().to_owned(),
        })
        .collect()
}

fn vips(controller: &Controller) -> Vec<VipStatus> {
    controller
        .vips
        .iter()
        .map(|vip| VipStatus {
            name: controller
                .plan
                .vips
                .iter()
                .find(|planned| planned.address == vip.address)
                .map_or_else(String::new, |planned| planned.name.clone()),
            address: vip.address,
            interface: vip.interface.clone(),
            managed: vip.managed,
        })
        .collect()
}

fn services(controller: &Controller, census: &Census) -> Result<Vec<ServiceStatus>> {
    let mut services = Vec::new();
    for (index, planned) in (0_u16..).zip(&controller.plan.services) {
        let mut service = ServiceStatus {
            name: planned.name.clone(),
            listen: planned.listen,
            protocol: planned.protocol.name().to_owned(),
            treatment: planned.treatment.name().to_owned(),
            traffic: Traffic::default(),
            flows: FlowCounts::default(),
            nodes: Vec::new(),
        };
        for (number, node) in (0_u16..).zip(&planned.nodes) {
            let cell = node_cell(index, number);
            let counters = controller.datapath.node_counters(cell)?;
            let traffic = Traffic {
                packets_in: counters.packets[0],
                bytes_in: counters.bytes[0],
                packets_out: counters.packets[1],
                bytes_out: counters.bytes[1],
            };
            let flows = census.by_node.get(&cell).copied().unwrap_or_default();
            service.traffic.packets_in += traffic.packets_in;
            service.traffic.bytes_in += traffic.bytes_in;
            service.traffic.packets_out += traffic.packets_out;
            service.traffic.bytes_out += traffic.bytes_out;
            service.flows.half_open += flows.half_open;
            service.flows.established += flows.established;
            service.flows.closing += flows.closing;
            service.nodes.push(NodeStatus {
                name: node.name.clone(),
                address: node.address,
                weight: u32::from(node.weight),
                state: "up".to_owned(),
                traffic,
                flows,
                opened: counters.opened,
            });
        }
        services.push(service);
    }
    Ok(services)
}

fn flow_table(controller: &Controller, census: &Census) -> FlowTableStatus {
    let Controller { plan, .. } = controller;
    FlowTableStatus {
        capacity: u64::from(plan.limits.max_flows),
        used: census.established,
        half_open_capacity: u64::from(plan.limits.max_half_open),
        half_open_used: census.half_open,
        idle: IdleTimeouts {
            tcp_established: plan.timeouts.tcp_established.as_secs(),
            tcp_half_open: plan.timeouts.tcp_half_open.as_secs(),
            tcp_closing: plan.timeouts.tcp_closing.as_secs(),
            udp: plan.timeouts.udp.as_secs(),
        },
    }
}

/// The flows, counted.
#[derive(Default)]
struct Census {
    by_node: HashMap<u32, FlowCounts>,
    established: u64,
    half_open: u64,
}

impl Census {
    /// Counts every flow once, by the entry of its client's packets. A flow that only the node is
    /// closing is told by the other entry and counts as established here.
    fn take(controller: &Controller) -> Result<Self> {
        let mut census = Self::default();
        for table in [FlowTable::Established, FlowTable::HalfOpen] {
            controller.datapath.walk_flows(table, |_, entry| {
                if entry.direction != Direction::TO_NODE {
                    return;
                }
                let counts = census
                    .by_node
                    .entry(node_cell(entry.service, entry.node))
                    .or_default();
                if entry.state.is_closing() {
                    counts.closing += 1;
                } else if table == FlowTable::HalfOpen {
                    counts.half_open += 1;
                } else {
                    counts.established += 1;
                }
                match table {
                    FlowTable::Established => census.established += 1,
                    FlowTable::HalfOpen => census.half_open += 1,
                }
            })?;
        }
        Ok(census)
    }
}

/// Answer to `edgelb flows`.
pub fn flows(controller: &Controller) -> Result<Vec<FlowStatus>> {
    let now = clock::now();
    let mut flows = Vec::new();
    for table in [FlowTable::Established, FlowTable::HalfOpen] {
        let mut questions = Vec::new();
        controller.datapath.walk_flows(table, |key, entry| {
            if entry.direction == Direction::TO_NODE {
                questions.push((*key, *entry));
            }
        })?;
        for (key, entry) in questions {
            let answers = controller
                .datapath
                .flow(table, &key.answer_to(&entry.rewrite))?;
            flows.push(flow(controller, table, &key, &entry, answers.as_ref(), now));
        }
    }
    Ok(flows)
}

fn flow(
    controller: &Controller,
    table: FlowTable,
    key: &FlowKey,
    entry: &FlowEntry,
    answers: Option<&FlowEntry>,
    now: u32,
) -> FlowStatus {
    let service = controller.plan.services.get(usize::from(entry.service));
    let node = service.and_then(|service| service.nodes.get(usize::from(entry.node)));
    let idle = answers.map_or(u32::MAX, |answers| expiry::idle(answers, now));
    FlowStatus {
        protocol: if key.protocol == Protocol::Udp as u8 {
            Protocol::Udp.name().to_owned()
        } else {
            Protocol::Tcp.name().to_owned()
        },
        treatment: if entry.treatment == Treatment::Dnat as u8 {
            Treatment::Dnat.name().to_owned()
        } else {
            Treatment::Snat.name().to_owned()
        },
        service: service.map_or_else(String::new, |service| service.name.clone()),
        node: node.map_or_else(String::new, |node| node.name.clone()),
        client: socket_address(key.source, key.source_port),
        vip: socket_address(key.destination, key.destination_port),
        source: socket_address(entry.rewrite.source, entry.rewrite.source_port),
        node_address: socket_address(entry.rewrite.destination, entry.rewrite.destination_port),
        state: state(table, entry.state, answers.map(|answers| answers.state)).to_owned(),
        age_seconds: u64::from(now.saturating_sub(entry.opened)),
        idle_seconds: u64::from(idle.min(expiry::idle(entry, now))),
        packets_in: entry.packets,
        packets_out: answers.map_or(0, |answers| answers.packets),
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
