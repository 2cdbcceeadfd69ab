//! `edgelb flows`.

use std::process::ExitCode;

use anyhow::Result;
use comfy_table::{Cell, CellAlignment, Table, presets};

use super::show;
use crate::{
    api::{Question, ask},
    cli,
    snapshot::FlowStatus,
};

/// Prints the live flows.
pub fn run(options: &cli::Query) -> Result<ExitCode> {
    let flows: Vec<FlowStatus> = ask(&options.control_socket, &Question::Flows)?;
    if options.json {
        show(serde_json::to_string_pretty(&flows)?)?;
    } else {
        show(table(&flows))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn table(flows: &[FlowStatus]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "PROTO",
        "TREATMENT",
        "SERVICE",
        "NODE",
        "CLIENT",
        "VIP",
        "SOURCE AT NODE",
        "NODE ADDRESS",
        "STATE",
        "AGE",
        "IDLE",
        "PACKETS IN",
        "PACKETS OUT",
    ]);
    let right = |number: String| Cell::new(number).set_alignment(CellAlignment::Right);
    for flow in flows {
        table.add_row([
            Cell::new(&flow.protocol),
            Cell::new(&flow.treatment),
            Cell::new(&flow.service),
            Cell::new(&flow.node),
            Cell::new(flow.client),
            Cell::new(flow.vip),
            Cell::new(flow.source),
            Cell::new(flow.node_address),
            Cell::new(&flow.state),
            right(format!("{}s", flow.age_seconds)),
            right(format!("{}s", flow.idle_seconds)),
            right(flow.packets_in.to_string()),
            right(flow.packets_out.to_string()),
        ]);
    }
    table
}
