//! Units of figures.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Unit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// ns per packet.
    NanosecondsPerPacket,
    /// ns per flow that is opened.
    NanosecondsPerFlow,
    /// Events per packet, such as cache misses.
    PerPacket,
    /// Million packets per second.
    MegapacketsPerSecond,
    /// Events per second, such as new connections.
    PerSecond,
    /// µs.
    Microseconds,
    /// ms.
    Milliseconds,
    /// s.
    Seconds,
    /// MiB.
    Mebibytes,
    /// %.
    Percent,
    /// How many times something else.
    Times,
    /// A plain number of things.
    Count,
}

impl Unit {
    /// As people write it.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::NanosecondsPerPacket => "ns/packet",
            Self::NanosecondsPerFlow => "ns/flow",
            Self::PerPacket => "per packet",
            Self::MegapacketsPerSecond => "Mpps",
            Self::PerSecond => "1/s",
            Self::Microseconds => "µs",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::Mebibytes => "MiB",
            Self::Percent => "%",
            Self::Times => "x",
            Self::Count => "",
        }
    }

    /// A value of this unit, with as many digits as mean something.
    pub fn number(self, value: f64) -> String {
        match self {
            Self::Count | Self::PerSecond => grouped(value.round()),
            Self::MegapacketsPerSecond | Self::PerPacket | Self::Times => format!("{value:.2}"),
            _ if value.abs() >= 10_000.0 => grouped(value.round()),
            _ => format!("{value:.1}"),
        }
    }

    /// A value with its unit.
    pub fn show(self, value: f64) -> String {
        format!("{} {}", self.number(value), self.symbol())
            .trim_end()
            .to_owned()
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}

/// A whole number in groups of three digits.
pub fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 {
        format!("-{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_with_the_digits_that_mean_something() {
        for (unit, value, shown) in [
            (Unit::Count, 1_000_000.0, "1,000,000"),
            (Unit::Count, 999.0, "999"),
            (Unit::PerSecond, 65_536.4, "65,536 1/s"),
            (Unit::NanosecondsPerPacket, 47.25, "47.2 ns/packet"),
            (Unit::Times, 1.2449, "1.24 x"),
            (Unit::Percent, -1_234_567.0, "-1,234,567 %"),
            (Unit::MegapacketsPerSecond, 1.815, "1.81 Mpps"),
        ] {
            assert_eq!(unit.show(value), shown);
        }
    }
}
