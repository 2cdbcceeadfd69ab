//! What the checks found.

use std::collections::BTreeMap;

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};

use super::plan::Arrangement;

/// What one check found about one thing that was asked.
#[derive(Clone, Debug, Default)]
pub struct Finding {
    /// Row or rule of the requirements.
    pub id: &'static str,
    /// What was asked.
    pub asked: String,
    /// From where.
    pub from: String,
    /// Who answered.
    pub answered: String,
    /// The source that the node saw.
    pub seen: String,
    /// What is wrong; nothing where it passes.
    pub problems: Vec<String>,
}

impl Finding {
    /// Whether all was as it has to be.
    pub fn passed(&self) -> bool {
        self.problems.is_empty()
    }
}

/// The table of all findings.
pub fn table(findings: &[(Arrangement, Finding)]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header([
            "ARRANGEMENT",
            "ID",
            "ASKED",
            "FROM",
            "ANSWERED BY",
            "SOURCE SEEN BY THE NODE",
            "RESULT",
        ]);
    for (arrangement, finding) in findings {
        let (result, color) = if finding.passed() {
            ("pass", Color::Green)
        } else {
            ("FAIL", Color::Red)
        };
        table.add_row([
            Cell::new(arrangement),
            Cell::new(finding.id),
            Cell::new(&finding.asked),
            Cell::new(&finding.from),
            Cell::new(&finding.answered),
            Cell::new(&finding.seen),
            Cell::new(result).fg(color).add_attribute(Attribute::Bold),
        ]);
    }
    table
}

/// Occurrences of each name: `edge1 103, edge2 97`.
pub fn tally<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut counts = BTreeMap::<&str, usize>::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The first few of many problems, and how many there are.
pub fn first_of(problems: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = problems
        .iter()
        .take(SHOWN)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join("\n");
    if problems.len() > SHOWN {
        text += &format!("\nand {} more", problems.len() - SHOWN);
    }
    text
}
