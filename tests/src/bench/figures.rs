//! The figures of a run of the bench: plain data, to be shown, saved and compared.

pub mod machine;
pub mod unit;

use serde::{Deserialize, Serialize};

use self::machine::Machine;
pub use self::unit::Unit;
use super::target::Target;

/// Everything that one run of the bench has found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Where it ran.
    pub machine: Machine,
    /// What was measured.
    pub sections: Vec<Section>,
    /// What it means.
    pub targets: Vec<Target>,
}

impl Run {
    /// A run on this machine that has measured nothing yet.
    pub fn here() -> Self {
        Self {
            machine: Machine::this(),
            ..Self::default()
        }
    }

    /// The section with this name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }
}

/// Figures that belong beside each other: taken in turns, in the same minutes, on the same machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// Name, such as `packet` or `wire, two arms, 64 bytes`; unique in a run.
    pub name: String,
    /// What was measured and how, in a sentence or two.
    pub about: String,
    /// The figures.
    pub rows: Vec<Row>,
    /// What else a reader must know, such as what could not be measured here and why.
    pub notes: Vec<String>,
}

impl Section {
    /// A section without figures yet.
    pub fn new(name: impl Into<String>, about: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            about: about.into(),
            ..Self::default()
        }
    }

    /// Adds a figure from its samples, one per round; nothing is added where there are none.
    pub fn add(&mut self, name: &str, flows: Option<u64>, unit: Unit, samples: &[f64]) {
        if let Some(value) = Spread::of(samples) {
            self.rows.push(Row {
                name: name.to_owned(),
                flows,
                unit,
                value,
                ratio: None,
            });
        }
    }

    /// Adds what else a reader must know.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// The figure with this name at this number of flows.
    pub fn row(&self, name: &str, flows: Option<u64>) -> Option<&Row> {
        self.rows
            .iter()
            .find(|row| row.name == name && row.flows == flows)
    }

    /// The figures with this name, at every number of flows.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Row> {
        self.rows.iter().filter(move |row| row.name == name)
    }

    /// How many times the figure `base` the figure `name` is, by their medians: at the same number of flows,
    /// or against a `base` that was taken without any.
    pub fn ratio(&self, name: &str, base: &str, flows: Option<u64>) -> Option<f64> {
        let base = self.row(base, flows).or_else(|| self.row(base, None))?;
        Some(self.row(name, flows)?.value.median / base.value.median)
    }

    /// Gives every figure of `base`'s unit its ratio to the figure `base`.
    pub fn compare_to(&mut self, base: &str) {
        let unit = self.named(base).next().map(|row| row.unit);
        let ratios: Vec<Option<f64>> = self
            .rows
            .iter()
            .map(|row| {
                (Some(row.unit) == unit)
                    .then(|| self.ratio(&row.name, base, row.flows))
                    .flatten()
            })
            .collect();
        for (row, ratio) in self.rows.iter_mut().zip(ratios) {
            row.ratio = ratio.map(|times| Ratio {
                to: base.to_owned(),
                times,
            });
        }
    }
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was measured. The same thing at other numbers of flows has the same name.
    pub name: String,
    /// How many flows there were, where that plays a part.
    pub flows: Option<u64>,
    /// Unit of the value.
    pub unit: Unit,
    /// What came out.
    pub value: Spread,
    /// The value beside another of the same section.
    pub ratio: Option<Ratio>,
}

/// What several rounds have given.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The smallest.
    pub min: f64,
    /// The one in the middle: what counts.
    pub median: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of samples, unless there are none.
    pub fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        };
        Some(Self { min, median, max })
    }
}

/// A figure beside another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// Name of the other.
    pub to: String,
    /// How many times the other's median.
    pub times: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_the_samples_counts() {
        for (samples, (min, median, max)) in [
            (&[3.0][..], (3.0, 3.0, 3.0)),
            (&[9.0, 1.0, 2.0], (1.0, 2.0, 9.0)),
            (&[4.0, 1.0, 2.0, 9.0], (1.0, 3.0, 9.0)),
        ] {
            assert_eq!(Spread::of(samples), Some(Spread { min, median, max }));
        }
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn a_ratio_is_taken_at_the_same_number_of_flows_and_unit() {
        let mut section = Section::new("packet", "");
        section.add("floor", Some(1), Unit::NanosecondsPerPacket, &[40.0]);
        section.add("floor", Some(1000), Unit::NanosecondsPerPacket, &[100.0]);
        section.add("hit", Some(1000), Unit::NanosecondsPerPacket, &[150.0]);
        section.add("hit", Some(1), Unit::NanosecondsPerPacket, &[44.0]);
        section.add("memory", Some(1), Unit::Mebibytes, &[7.0]);
        section.compare_to("floor");
        let times = |name, flows| {
            let row = section.row(name, Some(flows)).expect("a row");
            row.ratio.as_ref().map(|ratio| ratio.times)
        };
        assert_eq!(times("hit", 1000), Some(1.5));
        assert_eq!(times("hit", 1), Some(1.1));
        assert_eq!(times("floor", 1), Some(1.0));
        assert_eq!(times("memory", 1), None);
    }
}
