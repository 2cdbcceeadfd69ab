//! Figures and targets as tables.

use comfy_table::{Attribute, Cell, CellAlignment, Color, Table, presets};

use crate::bench::{
    figures::{Row, Section, unit::grouped},
    target::Target,
};

/// The figures of a section.
pub fn section(section: &Section) -> Table {
    let mut table = new(["WHAT", "FLOWS", "MEDIAN", "MIN - MAX", "RATIO"]);
    for row in &section.rows {
        table.add_row(cells(row));
    }
    table
}

fn cells(row: &Row) -> [Cell; 5] {
    let flows = row
        .flows
        .map_or(String::new(), |flows| grouped(flows as f64));
    let (value, unit) = (row.value, row.unit);
    let spread = format!("{} - {}", unit.number(value.min), unit.number(value.max));
    let ratio = row.ratio.as_ref();
    let ratio = ratio.map_or(String::new(), |ratio| {
        format!("{:.2} x {}", ratio.times, ratio.to)
    });
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    [
        Cell::new(&row.name),
        right(flows),
        right(unit.show(value.median)),
        right(spread),
        Cell::new(ratio),
    ]
}

/// The targets and what came of them.
pub fn targets(targets: &[Target]) -> Table {
    let mut table = new(["TARGET", "WANTED", "GOT", "MET"]);
    for target in targets {
        let (met, color) = if target.met() {
            ("yes", Color::Green)
        } else {
            ("no", Color::Red)
        };
        table.add_row([
            Cell::new(&target.name),
            Cell::new(target.wanted()),
            Cell::new(target.unit.show(target.value)),
            Cell::new(met).fg(color).add_attribute(Attribute::Bold),
        ]);
    }
    table
}

fn new<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_header(header);
    table
}

/// A table in Markdown.
pub fn markdown(mut table: Table) -> String {
    for row in table.row_iter_mut() {
        let cells: Vec<_> = row
            .cell_iter()
            .map(|cell| Cell::new(cell.content().replace('|', "\\|")))
            .collect();
        *row = cells.into();
    }
    table.load_style(presets::ASCII_MARKDOWN).to_string()
}
