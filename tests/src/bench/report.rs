//! What people and programs get to see of a run.

mod plot;
pub mod table;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::figures::{Run, Section};

/// The name of the report in its folder.
const REPORT: &str = "report.md";

/// Writes `report.md` and its plots into a folder, which is made where it is not there; the paths of all
/// of them.
pub fn write(run: &Run, folder: &Path) -> Result<Vec<PathBuf>> {
    let place = || folder.display().to_string();
    fs::create_dir_all(folder).with_context(place)?;
    let mut text = format!(
        "# What edgelb costs\n\n\
         Written by `cargo xtask bench --report`. All figures are medians of several rounds in which the \
         rows of a table took turns.\n\n{}\n",
        run.machine.line()
    );
    let mut written = vec![folder.join(REPORT)];
    if !run.targets.is_empty() {
        let _ = write!(
            text,
            "\n## Targets\n\n{}\n",
            table::markdown(table::targets(&run.targets))
        );
    }
    for section in &run.sections {
        let _ = write!(text, "\n## {}\n\n{}\n", section.name, section.about);
        for (unit, plot) in plot::all(section)? {
            let name = format!(
                "{}-{}.svg",
                file_name(&section.name),
                file_name(unit.symbol())
            );
            fs::write(folder.join(&name), plot).with_context(place)?;
            let _ = write!(text, "\n![{} in {unit}]({name})\n", section.name);
            written.push(folder.join(name));
        }
        let _ = write!(text, "\n{}\n", table::markdown(table::section(section)));
        text += &notes(section, "\n");
    }
    fs::write(folder.join(REPORT), text).with_context(place)?;
    Ok(written)
}

/// The whole run for a terminal.
pub fn show(run: &Run) -> String {
    let mut text = format!("\n{}\n", run.machine.line());
    for section in &run.sections {
        let _ = write!(
            text,
            "\n{}: {}\n{}\n{}",
            section.name,
            section.about,
            table::section(section),
            notes(section, "")
        );
    }
    if !run.targets.is_empty() {
        let met = run.targets.iter().filter(|target| target.met()).count();
        let _ = write!(
            text,
            "\n{}\n{met} of {} targets met\n",
            table::targets(&run.targets),
            run.targets.len()
        );
    }
    text
}

fn notes(section: &Section, before: &str) -> String {
    let notes = section.notes.iter();
    notes.fold(String::new(), |text, note| {
        format!("{text}{before}- {note}\n")
    })
}

/// A name of letters, digits and hyphens.
fn file_name(name: &str) -> String {
    let words = name.split(|letter: char| !letter.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join("-").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{
        figures::Unit,
        target::{Limit, Target},
    };

    fn run() -> Run {
        let mut section = Section::new("wire, two arms", "Frames & more.");
        for (flows, cost) in [(1, 40.0), (1_000_000, 300.0)] {
            let unit = Unit::NanosecondsPerPacket;
            section.add("floor", Some(flows), unit, &[cost]);
            section.add("hit | out", Some(flows), unit, &[cost * 1.5]);
        }
        section.add("memory", None, Unit::Mebibytes, &[180.0]);
        section.compare_to("floor");
        section.note("no perf here");
        Run {
            targets: Target::of("a hit", Limit::AtMost(1.25), Unit::Times, [1.5])
                .into_iter()
                .collect(),
            sections: vec![section],
            ..Run::default()
        }
    }

    #[test]
    fn the_report_has_every_figure_every_plot_and_every_target() {
        let folder = tempfile::tempdir().expect("a folder");
        let written = write(&run(), folder.path()).expect("a report");
        let names: Vec<_> = written
            .iter()
            .map(|path| path.file_name().unwrap_or_default())
            .collect();
        // One value for all numbers of flows is no plot.
        assert_eq!(names, ["report.md", "wire-two-arms-ns-packet.svg"]);
        let text = fs::read_to_string(&written[0]).expect("the report");
        for part in [
            "## wire, two arms",
            "![wire, two arms in ns/packet](wire-two-arms-ns-packet.svg)",
            "| hit \\| out | 1,000,000 | 450.0 ns/packet | 450.0 - 450.0 | 1.50 x floor |",
            "| memory |  | 180.0 MiB | 180.0 - 180.0 |  |",
            "| a hit | at most 1.25 x | 1.50 x | no |",
            "- no perf here",
        ] {
            // However wide the columns are.
            let squeezed = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let part = part.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(squeezed.contains(&part), "{part}\n{text}");
        }
        let plot = fs::read_to_string(&written[1]).expect("a plot");
        for part in ["<svg", "hit | out", "floor", "ns/packet", "flows"] {
            assert!(plot.contains(part), "{part}\n{plot}");
        }
    }

    #[test]
    fn a_saved_run_is_read_as_it_was() {
        let saved = serde_json::to_string(&run()).expect("JSON");
        let read: Run = serde_json::from_str(&saved).expect("a run");
        assert_eq!(read, run());
    }
}
