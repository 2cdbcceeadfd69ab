//! `edgelb ports`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use comfy_table::{Table as TextTable, presets};
use serde::Serialize;

use super::show;
use crate::{
    cli::{Ports, PortsFormat},
    config::{Config, Role},
    plan::Plan,
    port_table::{
        Line, Table, address_text, lines, nft, ports_text,
        routes::{Route, routes},
    },
};

/// Prints the port tables of a pool.
pub fn run(options: &Ports) -> Result<ExitCode> {
    let config = Config::load(&options.config)?;
    let plan = Plan::of(&config);
    let lines = lines(&plan);
    if lines.is_empty() {
        bail!(
            "{}: no [vips], so there is no Edge pool to show the ports of",
            options.config.display()
        );
    }
    let text = match options.format {
        PortsFormat::Table => table(&config, &plan, &lines),
        PortsFormat::Tsv => tsv(&lines),
        PortsFormat::Json => json(&config, &lines)?,
        PortsFormat::Nft => nft::ruleset(&plan.pool, &lines),
    };
    show(text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// A line as it is printed.
#[derive(Serialize)]
struct Shown {
    id: &'static str,
    table: &'static str,
    role: &'static str,
    node: String,
    protocol: &'static str,
    source: String,
    source_port: String,
    destination: String,
    destination_port: String,
    nat: String,
    purpose: &'static str,
}

impl Shown {
    const HEADER: [&str; 11] = [
        "id",
        "table",
        "role",
        "node",
        "protocol",
        "source",
        "source_port",
        "destination",
        "destination_port",
        "nat",
        "purpose",
    ];

    fn of(line: &Line) -> Self {
        Self {
            id: line.row.id,
            table: line.row.table.name(),
            role: line.row.role,
            node: line.node.clone().unwrap_or_else(|| "-".to_owned()),
            protocol: line.protocol.name(),
            source: address_text(line.source),
            source_port: ports_text(line.source_ports.as_ref()),
            destination: address_text(line.destination),
            destination_port: ports_text(line.destination_ports.as_ref()),
            nat: line.nat.to_string(),
            purpose: line.row.purpose,
        }
    }

    fn cells(&self) -> [&str; 11] {
        [
            self.id,
            self.table,
            self.role,
            &self.node,
            self.protocol,
            &self.source,
            &self.source_port,
            &self.destination,
            &self.destination_port,
            &self.nat,
            self.purpose,
        ]
    }
}

fn tsv(lines: &[Line]) -> String {
    let mut text = Shown::HEADER.join("\t");
    for line in lines {
        text += "\n";
        text += &Shown::of(line).cells().join("\t");
    }
    text
}

/// Everything, for programs.
#[derive(Serialize)]
struct Document<'a> {
    pool: &'a str,
    ports: Vec<Shown>,
    routes: Vec<ShownRoute>,
}

/// A route as it is printed.
#[derive(Serialize)]
struct ShownRoute {
    node: String,
    network: String,
    gateway: String,
    new_net_route: String,
    route_add: String,
}

fn json(config: &Config, lines: &[Line]) -> Result<String> {
    let document = Document {
        pool: &config.pool.name,
        ports: lines.iter().map(Shown::of).collect(),
        routes: routes(config)
            .into_iter()
            .map(|route| ShownRoute {
                network: route.network.to_string(),
                gateway: route.gateway.to_string(),
                new_net_route: route.new_net_route(),
                route_add: route.route_add(),
                node: route.node,
            })
            .collect(),
    };
    Ok(serde_json::to_string_pretty(&document)?)
}

fn table(config: &Config, plan: &Plan, lines: &[Line]) -> String {
    let mut text = String::new();
    for of in Table::ALL {
        let shown: Vec<Shown> = lines
            .iter()
            .filter(|line| line.row.table == of)
            .map(Shown::of)
            .collect();
        if shown.is_empty() {
            continue;
        }
        let mut table = TextTable::new();
        table.load_style(presets::NOTHING).set_header([
            "ID",
            "ROLE",
            "NODE",
            "PROTO",
            "SOURCE",
            "PORT",
            "DESTINATION",
            "PORT",
            "NAT",
            "PURPOSE",
        ]);
        for line in &shown {
            let [id, _, rest @ ..] = line.cells();
            table.add_row([id].into_iter().chain(rest));
        }
        text += &format!("{}\n{}\n\n", of.title(), table.trim_fmt());
    }
    text += &routes_text(config);
    let others: Vec<&str> = plan
        .services
        .iter()
        .filter(|service| service.row.is_none())
        .map(|service| service.name.as_str())
        .collect();
    if !others.is_empty() {
        text += &format!(
            "No part of the Edge pool and not shown here: [[services]] {}\n",
            others.join(", ")
        );
    }
    text
}

fn routes_text(config: &Config) -> String {
    let routes = routes(config);
    let mut text = String::new();
    for node in &config.nodes {
        let of_node = |default: bool| {
            routes.iter().filter(move |route| {
                route.node == node.name && (route.network.prefix_len() == 0) == default
            })
        };
        text += &format!("Routes of {}\n", node.name);
        for route in of_node(true) {
            let external: Vec<String> = Role::ALL
                .into_iter()
                .filter(|role| role.zone() == lb_common::net::Zone::External)
                .filter_map(|role| Some(node.addresses.get(role)?.to_string()))
                .collect();
            text += &format!(
                "  Default gateway of the external interface ({}): {}, the Access VIP (H11)\n",
                external.join(", "),
                route.gateway
            );
        }
        text += &commands("PowerShell", of_node(true), Route::new_net_route);
        text += &commands("or cmd", of_node(true), Route::route_add);
        if let Some(route) = of_node(false).next() {
            text += &format!(
                "  Internal networks through {}, the internal VIP (H10); no default gateway on the internal interface\n",
                route.gateway
            );
        }
        text += &commands("PowerShell", of_node(false), Route::new_net_route);
        text += &commands("or cmd", of_node(false), Route::route_add);
        text += "\n";
    }
    text
}

fn commands<'a>(
    what: &str,
    routes: impl Iterator<Item = &'a Route>,
    command: impl Fn(&Route) -> String,
) -> String {
    let mut text = String::new();
    for route in routes {
        if text.is_empty() {
            text = format!("    {what}:\n");
        }
        text += &format!("      {}\n", command(route));
    }
    text
}
