//! `edgelb check`.

use std::{collections::BTreeSet, path::Path, process::ExitCode};

use anyhow::Result;
use comfy_table::{Table, presets};

use super::show;
use crate::{config::Config, contents::Contents, health::target, plan::Plan};

/// Validates a configuration file.
pub fn run(path: &Path, print: bool) -> Result<ExitCode> {
    let (config, warnings) = Config::load_with_warnings(path)?;
    let plan = Plan::of(&config);
    Contents::of(&plan)?;
    for warning in warnings {
        eprintln!("{}:{warning}", path.display());
    }
    let nodes: BTreeSet<&str> = plan
        .services
        .iter()
        .flat_map(|service| &service.nodes)
        .map(|node| node.name.as_str())
        .collect();
    let mut text = format!(
        "{}: ok: {}, {}, {}\n",
        path.display(),
        counted(nodes.len(), "node"),
        counted(plan.services.len(), "service"),
        counted(plan.vips.len(), "VIP"),
    );
    if print {
        for table in [
            interfaces(&plan),
            vips(&plan),
            services(&plan),
            checks(&plan),
            limits(&plan),
        ] {
            text += "\n";
            text += &table.trim_fmt();
            text += "\n";
        }
    }
    show(text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

fn interfaces(plan: &Plan) -> Table {
    let mut table = new_table(&["INTERFACE", "ZONE"]);
    for interface in &plan.interfaces {
        table.add_row([&interface.name, interface.zone.name()]);
    }
    table
}

fn vips(plan: &Plan) -> Table {
    let mut table = new_table(&["VIP", "ADDRESS", "ZONE"]);
    for vip in &plan.vips {
        table.add_row([
            vip.name.clone(),
            vip.address.to_string(),
            vip.zone.name().to_owned(),
        ]);
    }
    table
}

fn services(plan: &Plan) -> Table {
    let mut table = new_table(&[
        "SERVICE",
        "ROW",
        "LISTEN",
        "ZONE",
        "TREATMENT",
        "BALANCING",
        "NODE",
        "ADDRESS",
        "WEIGHT",
    ]);
    for service in &plan.services {
        for (number, node) in service.nodes.iter().enumerate() {
            let first = |text: String| if number == 0 { text } else { String::new() };
            table.add_row([
                first(service.name.clone()),
                first(service.row.unwrap_or("-").to_owned()),
                first(format!("{}/{}", service.listen, service.protocol.name())),
                first(service.zone.name().to_owned()),
                first(service.treatment.name().to_owned()),
                first(service.balancing.to_string()),
                node.name.clone(),
                node.address.to_string(),
                node.weight.to_string(),
            ]);
        }
    }
    table
}

fn checks(plan: &Plan) -> Table {
    let mut table = new_table(&[
        "CHECKED",
        "CHECK",
        "INTERVAL",
        "TIMEOUT",
        "RISE",
        "FALL",
        "GATE",
        "NO NODE UP",
    ]);
    let duration = |duration| humantime::format_duration(duration).to_string();
    for service in plan.services.iter().filter(|_| plan.health.enabled) {
        let settings = target::settings(plan, service);
        let gate = target::gate_of(plan, service);
        table.add_row([
            service.name.clone(),
            target::check(plan, service).name().to_owned(),
            duration(settings.interval),
            duration(settings.timeout),
            settings.rise.to_string(),
            settings.fall.to_string(),
            gate.map_or_else(String::new, |gate| plan.services[gate].name.clone()),
            settings.on_all_down.name().to_owned(),
        ]);
    }
    table
}

fn limits(plan: &Plan) -> Table {
    let mut table = new_table(&["LIMIT", "VALUE"]);
    let (limits, timeouts) = (&plan.limits, &plan.timeouts);
    let duration = |duration| humantime::format_duration(duration).to_string();
    for (name, value) in [
        ("flows", limits.max_flows.to_string()),
        ("half-open flows", limits.max_half_open.to_string()),
        (
            "SNAT ports per VIP, node and port",
            format!("{}-{}", limits.snat_ports.start(), limits.snat_ports.end()),
        ),
        ("idle TCP, established", duration(timeouts.tcp_established)),
        ("idle TCP, half-open", duration(timeouts.tcp_half_open)),
        ("idle TCP, closing", duration(timeouts.tcp_closing)),
        ("idle UDP", duration(timeouts.udp)),
    ] {
        table.add_row([name.to_owned(), value]);
    }
    table
}
