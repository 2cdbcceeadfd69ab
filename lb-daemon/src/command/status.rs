//! `edgelb status`.

use std::process::ExitCode;

use anyhow::Result;
use comfy_table::{Cell, CellAlignment, Table, presets};

use super::show;
use crate::{
    api::{Question, ask},
    cli,
    snapshot::{NodeStatus, PacketTotals, Status},
};

/// Prints the state of a running edgelb.
pub fn run(options: &cli::Query) -> Result<ExitCode> {
    let status: Status = ask(&options.control_socket, &Question::Status)?;
    if options.json {
        show(serde_json::to_string_pretty(&status)?)?;
    } else {
        show(page(&status))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn page(status: &Status) -> String {
    let table = &status.flow_table;
    let packets = &status.packets;
    let mut page = format!(
        "edgelb {}, pool {}, up {}s\n\
         flows    {} of {} established, {} of {} half-open\n\
         packets  {} forwarded, {} routed, {} to this machine, {} dropped ({} of them answered)\n\
         {}\n\
         {}\n\n{}\n\n{}",
        status.version,
        status.pool,
        status.uptime_seconds,
        table.used,
        table.capacity,
        table.half_open_used,
        table.half_open_capacity,
        packets.forwarded,
        packets.routed,
        packets.passed,
        packets.dropped,
        packets.answered,
        observed(packets),
        interfaces(status),
        vips(status),
        services(status),
    );
    if let Some(health) = health(status) {
        page += &format!("\n\n{health}");
    }
    if !status.drops.is_empty() {
        page += &format!("\n\n{}", drops(status));
    }
    page
}

/// What the policy would drop, where it is only observed.
fn observed(packets: &PacketTotals) -> String {
    match packets.observed {
        0 => String::new(),
        packets => format!(
            "observed {packets} of the routed that no rule names: the policy would drop them\n"
        ),
    }
}

fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

fn right(number: impl Into<u64>) -> Cell {
    Cell::new(number.into()).set_alignment(CellAlignment::Right)
}

fn interfaces(status: &Status) -> Table {
    let mut table = new_table(&["INTERFACE", "ZONE", "XDP"]);
    for interface in &status.interfaces {
        table.add_row([&interface.name, &interface.zone, &interface.mode]);
    }
    table
}

fn vips(status: &Status) -> Table {
    let mut table = new_table(&["VIP", "ADDRESS", "INTERFACE", "ASSIGNED BY"]);
    for vip in &status.vips {
        let by = if vip.managed {
            "edgelb"
        } else {
            "administrator"
        };
        table.add_row([
            vip.name.clone(),
            vip.address.to_string(),
            vip.interface.clone(),
            by.to_owned(),
        ]);
    }
    table
}

fn services(status: &Status) -> Table {
    let mut table = new_table(&[
        "SERVICE",
        "LISTEN",
        "TREATMENT",
        "NODE",
        "ADDRESS",
        "WEIGHT",
        "STATE",
        "FLOWS",
        "HALF-OPEN",
        "CLOSING",
        "OPENED",
        "PACKETS IN",
        "PACKETS OUT",
        "BYTES IN",
        "BYTES OUT",
    ]);
    for service in &status.services {
        for (number, node) in service.nodes.iter().enumerate() {
            let first = |text: String| if number == 0 { text } else { String::new() };
            table.add_row([
                Cell::new(first(service.name.clone())),
                Cell::new(first(format!("{}/{}", service.listen, service.protocol))),
                Cell::new(first(service.treatment.clone())),
                Cell::new(&node.name),
                Cell::new(node.address),
                right(node.weight),
                Cell::new(state(node)),
                right(node.flows.established),
                right(node.flows.half_open),
                right(node.flows.closing),
                right(node.opened),
                right(node.traffic.packets_in),
                right(node.traffic.packets_out),
                right(node.traffic.bytes_in),
                right(node.traffic.bytes_out),
            ]);
        }
    }
    table
}

/// The state of a node, with how long its clients stay while it drains.
fn state(node: &NodeStatus) -> String {
    node.clients_stay_seconds.map_or_else(
        || node.state.clone(),
        |seconds| format!("{}, clients stay {seconds}s", node.state),
    )
}

/// What the checks say, where there are any.
fn health(status: &Status) -> Option<Table> {
    let mut table = new_table(&[
        "CHECKED",
        "NODE",
        "CHECK",
        "ANSWERS",
        "FOR",
        "LATENCY",
        "GATE",
        "LAST ERROR",
    ]);
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    for service in &status.services {
        for node in &service.nodes {
            let Some(health) = &node.health else {
                continue;
            };
            let latency = health
                .latency_us
                .map_or_else(String::new, |us| format!("{:.1} ms", us as f64 / 1000.0));
            let error = match (&health.last_error, health.last_error_ago_seconds) {
                (Some(error), Some(seconds)) => format!("{error} ({seconds}s ago)"),
                _ => String::new(),
            };
            table.add_row([
                Cell::new(&service.name),
                Cell::new(&node.name),
                Cell::new(&health.check),
                Cell::new(if health.healthy { "yes" } else { "no" }),
                Cell::new(format!("{}s", health.for_seconds)).set_alignment(CellAlignment::Right),
                Cell::new(latency).set_alignment(CellAlignment::Right),
                Cell::new(text(&health.gate)),
                Cell::new(error),
            ]);
        }
    }
    (table.row_count() > 0).then_some(table)
}

fn drops(status: &Status) -> Table {
    let mut table = new_table(&["DROPPED", "REASON", "MEANING"]);
    for drop in &status.drops {
        table.add_row([
            right(drop.packets),
            Cell::new(&drop.reason),
            Cell::new(&drop.meaning),
        ]);
    }
    table
}
