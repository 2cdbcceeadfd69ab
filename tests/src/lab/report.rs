//! What the checks found.

use std::collections::BTreeMap;

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};

use super::{plan::Arrangement, requirements};

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

/// What came of one requirement in one arrangement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was looked at, and all was as it had to be.
    Pass,
    /// It was not.
    Fail,
    /// Nobody has looked: that is no better.
    NoCheck,
}

impl Verdict {
    /// Of a row or rule, by all findings.
    fn of(id: &str, arrangement: Arrangement, findings: &[(Arrangement, Finding)]) -> Self {
        let mut verdict = Self::NoCheck;
        for (at, finding) in findings {
            if *at == arrangement && finding.id == id {
                if !finding.passed() {
                    return Self::Fail;
                }
                verdict = Self::Pass;
            }
        }
        verdict
    }

    fn cell(self) -> Cell {
        let (text, color) = match self {
            Self::Pass => ("pass", Color::Green),
            Self::Fail => ("FAIL", Color::Red),
            Self::NoCheck => ("FAIL: no check", Color::Red),
        };
        Cell::new(text).fg(color).add_attribute(Attribute::Bold)
    }
}

/// Every row and rule of the requirements, with a column for each arrangement; how many of them pass in
/// all of these, and how many do not.
pub fn requirements(
    arrangements: &[Arrangement],
    findings: &[(Arrangement, Finding)],
) -> (Table, usize, usize) {
    let mut table = Table::new();
    let mut header = vec!["ID".to_owned(), "WHAT".to_owned()];
    header.extend(
        arrangements
            .iter()
            .map(|arrangement| arrangement.to_string().to_uppercase()),
    );
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    let (mut passed, mut failed) = (0, 0);
    for (id, about) in requirements::all() {
        let verdicts: Vec<Verdict> = arrangements
            .iter()
            .map(|arrangement| Verdict::of(id, *arrangement, findings))
            .collect();
        if verdicts.iter().all(|verdict| *verdict == Verdict::Pass) {
            passed += 1;
        } else {
            failed += 1;
        }
        let mut row = vec![Cell::new(id), Cell::new(about)];
        row.extend(verdicts.into_iter().map(Verdict::cell));
        table.add_row(row);
    }
    (table, passed, failed)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(id: &'static str, problem: Option<&str>) -> Finding {
        Finding {
            id,
            problems: problem.into_iter().map(str::to_owned).collect(),
            ..Finding::default()
        }
    }

    #[test]
    fn a_requirement_passes_where_it_was_looked_at_and_nothing_was_wrong() {
        use Arrangement::{OneArm, TwoArm};
        let findings = [
            (TwoArm, finding("EV1", None)),
            (TwoArm, finding("EV1", None)),
            (OneArm, finding("EV1", None)),
            (OneArm, finding("EV1", Some("late"))),
        ];
        assert_eq!(Verdict::of("EV1", TwoArm, &findings), Verdict::Pass);
        assert_eq!(Verdict::of("EV1", OneArm, &findings), Verdict::Fail);
        assert_eq!(Verdict::of("EV2", TwoArm, &findings), Verdict::NoCheck);
    }

    #[test]
    fn what_nobody_has_looked_at_does_not_count_as_passed() {
        let findings = [(Arrangement::TwoArm, finding("H1", None))];
        let count = requirements::all().len();
        let (_, passed, failed) = requirements(&[Arrangement::TwoArm], &findings);
        assert_eq!((passed, failed), (1, count - 1));
        let (_, passed, failed) = requirements(&Arrangement::ALL, &findings);
        assert_eq!((passed, failed), (0, count));
    }
}
