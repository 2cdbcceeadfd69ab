//! From what the controller holds to what it shows: [`crate::snapshot`] (read-only).

mod flows;

use std::net::SocketAddrV4;

use anyhow::Result;
use lb_common::{
    drop_reason::{ANSWERED_CELL, DropReason, GONE_CELL, OBSERVED_CELL, ROUTED_CELL},
    net::Protocol,
};

pub use self::flows::flows;
use crate::{
    clock,
    controller::Controller,
    health::target::{Key, gate_of},
    indexes::ServiceId,
    snapshot::{
        DropStatus, FlowCounts, FlowTableStatus, HealthStatus, IdleTimeouts, InterfaceStatus,
        NodeStatus, PacketTotals, ServiceStatus, Status, Traffic, VipStatus,
    },
};

/// Answer to `edgelb status`.
pub fn status(controller: &Controller) -> Result<Status> {
    let services = services(controller)?;
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
            .sum::<u64>()
            + packets_of_gone(controller, &verdicts)?,
        routed: verdicts[ROUTED_CELL as usize],
        passed: verdicts[DropReason::Passed as usize],
        dropped: drops.iter().map(|status| status.packets).sum(),
        answered: verdicts[ANSWERED_CELL as usize],
        observed: verdicts[OBSERVED_CELL as usize],
    };
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pool: controller.plan.pool.clone(),
        uptime_seconds: controller.started.elapsed().as_secs(),
        interfaces: interfaces(controller),
        vips: vips(controller),
        services,
        flow_table: flow_table(controller),
        packets,
        drops,
    })
}

/// What was forwarded for nodes that are in no service any more.
fn packets_of_gone(controller: &Controller, verdicts: &[u64]) -> Result<u64> {
    let mut packets = verdicts[GONE_CELL as usize];
    for cell in controller.indexes.leaving() {
        let counters = controller.datapath.node_counters(cell)?;
        packets += counters.packets.iter().sum::<u64>();
    }
    Ok(packets)
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

fn services(controller: &Controller) -> Result<Vec<ServiceStatus>> {
    let plan = &controller.plan;
    let mut services = Vec::new();
    for planned in &plan.services {
        let nodes = planned.nodes.iter();
        let nodes = nodes.map(|node| (node.name.as_str(), node.address, u32::from(node.weight)));
        let frame = ServiceStatus {
            name: planned.name.clone(),
            listen: planned.listen,
            protocol: planned.protocol.name().to_owned(),
            treatment: planned.treatment.name().to_owned(),
            traffic: Traffic::default(),
            flows: FlowCounts::default(),
            nodes: Vec::new(),
        };
        services.push(fill(controller, planned.into(), frame, nodes)?);
    }
    for planned in &plan.outbound {
        let nodes = planned.nodes.iter();
        // Any port of the node: it is the one who opens.
        let nodes = nodes.map(|(name, address)| (name.as_str(), SocketAddrV4::new(*address, 0), 0));
        let frame = ServiceStatus {
            name: planned.name.clone(),
            listen: SocketAddrV4::new(planned.vip, planned.port),
            protocol: Protocol::Tcp.name().to_owned(),
            treatment: VIP_OUT.to_owned(),
            traffic: Traffic::default(),
            flows: FlowCounts::default(),
            nodes: Vec::new(),
        };
        services.push(fill(controller, planned.into(), frame, nodes)?);
    }
    Ok(services)
}

/// In place of a treatment: a node's connections that leave from a VIP.
const VIP_OUT: &str = "vip-out";

/// Adds the nodes, and the sums over them.
fn fill<'a>(
    controller: &Controller,
    id: ServiceId,
    mut service: ServiceStatus,
    nodes: impl Iterator<Item = (&'a str, SocketAddrV4, u32)>,
) -> Result<ServiceStatus> {
    for (name, address, weight) in nodes {
        let Some((cell, _)) = controller.indexes.node(id, address) else {
            continue;
        };
        let counters = controller.datapath.node_counters(cell)?;
        let traffic = Traffic {
            packets_in: counters.packets[0],
            bytes_in: counters.bytes[0],
            packets_out: counters.packets[1],
            bytes_out: counters.bytes[1],
        };
        let flows = controller.census.of_node(cell);
        service.traffic.packets_in += traffic.packets_in;
        service.traffic.bytes_in += traffic.bytes_in;
        service.traffic.packets_out += traffic.packets_out;
        service.traffic.bytes_out += traffic.bytes_out;
        service.flows.half_open += flows.half_open;
        service.flows.established += flows.established;
        service.flows.closing += flows.closing;
        service.nodes.push(NodeStatus {
            name: name.to_owned(),
            address,
            weight,
            state: controller
                .takers
                .state(&service.name, name)
                .name()
                .to_owned(),
            clients_stay_seconds: controller
                .drains
                .until(&service.name, name)
                .map(|until| u64::from(until.saturating_sub(clock::now()))),
            health: health(controller, &service.name, name),
            traffic,
            flows,
            opened: counters.opened,
        });
    }
    Ok(service)
}

/// What the checks say of a node.
fn health(controller: &Controller, service: &str, node: &str) -> Option<HealthStatus> {
    let key = Key {
        service: service.to_owned(),
        node: node.to_owned(),
    };
    let (target, report) = controller.checks.report(&key)?;
    let plan = &controller.plan;
    let planned = plan.services.iter().find(|planned| planned.name == service);
    let gate = planned.and_then(|planned| gate_of(plan, planned));
    let (last_error, failed) = report.failure.unzip();
    Some(HealthStatus {
        check: target.check.name().to_owned(),
        healthy: report.verdict.is_healthy(),
        for_seconds: report.verdict.since().elapsed().as_secs(),
        checked_ago_ms: report.checked.map(|at| at.elapsed().as_millis() as u64),
        latency_us: report.latency.map(|took| took.as_micros() as u64),
        last_error,
        last_error_ago_seconds: failed.map(|at| at.elapsed().as_secs()),
        gate: gate.map(|gate| plan.services[gate].name.clone()),
    })
}

fn flow_table(controller: &Controller) -> FlowTableStatus {
    let Controller { plan, census, .. } = controller;
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
