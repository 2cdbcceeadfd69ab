//! The samples of all paths at one number of flows.

use std::collections::BTreeMap;

use super::{bed::Measured, floor};
use crate::bench::figures::{Section, Unit};

/// Samples by path, one per round.
#[derive(Debug, Default)]
pub struct Samples {
    paths: Vec<(&'static str, Kind, Vec<f64>)>,
    /// By path and event.
    events: BTreeMap<(&'static str, &'static str), Vec<f64>>,
}

/// What a sample is the time of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One packet (ns).
    Packet,
    /// All of a flow's first packets, so many of them (ns).
    Opening(u32),
}

impl Samples {
    /// Adds a sample to a path.
    pub fn add(&mut self, path: &'static str, kind: Kind, nanoseconds: f64) {
        let known = self.paths.iter_mut().find(|(name, ..)| *name == path);
        match known {
            Some((.., samples)) => samples.push(nanoseconds),
            None => self.paths.push((path, kind, vec![nanoseconds])),
        }
    }

    /// Adds what one packet of a path came to.
    pub fn add_packet(&mut self, path: &'static str, measured: &Measured) {
        self.add(path, Kind::Packet, measured.nanoseconds);
        for (event, count) in &measured.events {
            self.events.entry((path, event)).or_default().push(*count);
        }
    }

    /// Adds what the processor has counted to a section.
    pub fn add_events_to(&self, section: &mut Section, flows: u64) {
        for ((path, event), samples) in &self.events {
            let name = format!("{path}: {event}");
            section.add(&name, Some(flows), Unit::PerPacket, samples);
        }
    }

    /// Adds figures to a section as they are, and to another without what the driver takes.
    pub fn add_to(&self, raw: &mut Section, net: &mut Section, flows: u64) {
        let driver = self.paths.iter().find(|(name, ..)| *name == floor::RETURN);
        let driver = driver.map_or(&[][..], |(.., samples)| samples);
        for (name, kind, samples) in &self.paths {
            let (unit, packets) = match kind {
                Kind::Packet => (Unit::NanosecondsPerPacket, 1),
                Kind::Opening(packets) => (Unit::NanosecondsPerFlow, *packets),
            };
            raw.add(name, Some(flows), unit, samples);
            if *name != floor::RETURN {
                let without: Vec<f64> = samples
                    .iter()
                    .zip(driver)
                    .map(|(sample, driver)| sample - driver * f64::from(packets))
                    .collect();
                net.add(name, Some(flows), unit, &without);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_processor_counts_is_shown_by_path_and_event() {
        let mut samples = Samples::default();
        for cycles in [300.0, 320.0] {
            samples.add_packet(
                "hit",
                &Measured {
                    nanoseconds: 100.0,
                    events: vec![("cycles", cycles)],
                },
            );
        }
        let mut section = Section::default();
        samples.add_events_to(&mut section, 7);
        let row = section.row("hit: cycles", Some(7)).expect("a row");
        assert_eq!((row.value.median, row.unit), (310.0, Unit::PerPacket));
    }

    #[test]
    fn the_driver_is_taken_off_once_per_packet_and_round_by_round() {
        let mut samples = Samples::default();
        for (driver, hit, opening) in [(30.0, 100.0, 400.0), (40.0, 105.0, 410.0)] {
            samples.add(floor::RETURN, Kind::Packet, driver);
            samples.add("hit", Kind::Packet, hit);
            samples.add("opening", Kind::Opening(3), opening);
        }
        let (mut raw, mut net) = (Section::default(), Section::default());
        samples.add_to(&mut raw, &mut net, 7);
        let median = |section: &Section, name| {
            let row = section.row(name, Some(7));
            row.map(|row| row.value.median)
        };
        assert_eq!(median(&raw, "hit"), Some(102.5));
        assert_eq!(median(&net, "hit"), Some(67.5));
        assert_eq!(median(&net, "opening"), Some(300.0));
        assert_eq!(median(&raw, floor::RETURN), Some(35.0));
        assert_eq!(median(&net, floor::RETURN), None);
    }
}
