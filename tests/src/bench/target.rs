//! What the figures should be.

use serde::{Deserialize, Serialize};

use super::figures::Unit;

/// Something that was promised, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// What is promised, in words.
    pub name: String,
    /// The promise.
    pub limit: Limit,
    /// Unit of promise and value.
    pub unit: Unit,
    /// What was measured; the worst, where there are several values.
    pub value: f64,
}

/// A bound.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The smaller the better.
    AtMost(f64),
    /// The larger the better.
    AtLeast(f64),
}

impl Target {
    /// A target and the worst of the values that were measured for it, unless there are none: what was not
    /// measured is not in the table.
    pub fn of(
        name: impl Into<String>,
        limit: Limit,
        unit: Unit,
        values: impl IntoIterator<Item = f64>,
    ) -> Option<Self> {
        let worst = match limit {
            Limit::AtMost(_) => values.into_iter().reduce(f64::max),
            Limit::AtLeast(_) => values.into_iter().reduce(f64::min),
        };
        Some(Self {
            name: name.into(),
            limit,
            unit,
            value: worst?,
        })
    }

    /// Whether the promise holds.
    pub fn met(&self) -> bool {
        match self.limit {
            Limit::AtMost(limit) => self.value <= limit,
            Limit::AtLeast(limit) => self.value >= limit,
        }
    }

    /// The promise, for people.
    pub fn wanted(&self) -> String {
        match self.limit {
            Limit::AtMost(limit) => format!("at most {}", self.unit.show(limit)),
            Limit::AtLeast(limit) => format!("at least {}", self.unit.show(limit)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_value_decides() {
        for (limit, values, met) in [
            (Limit::AtMost(1.25), &[1.0, 1.25][..], true),
            (Limit::AtMost(1.25), &[1.3, 1.0], false),
            (Limit::AtLeast(5.5), &[6.0, 5.5], true),
            (Limit::AtLeast(5.5), &[6.0, 5.4], false),
        ] {
            let target = Target::of("", limit, Unit::Times, values.iter().copied());
            assert_eq!(
                target.map(|target| target.met()),
                Some(met),
                "{limit:?} {values:?}"
            );
        }
    }

    #[test]
    fn nothing_measured_is_no_target() {
        assert_eq!(
            Target::of("", Limit::AtMost(1.0), Unit::Times, [0.0; 0]),
            None
        );
    }
}
