//! `[timeouts]` and `[limits]`, value by value.

use std::time::Duration;

use lb_common::service::FIRST_OWN_PORT;

use crate::config::{
    Limits, Problem, Timeouts,
    address::port_range,
    document::{Place, Section},
};

const DURATION: &str = "a time in whole seconds from 1s to 7d, such as \"30s\", \"2m\", \"60m\" or a whole number of seconds";

/// Reads `[timeouts]`; with it the place of `tcp_established`, where that is set.
pub fn timeouts(mut section: Section, problems: &mut Vec<Problem>) -> (Timeouts, Option<Place>) {
    let default = Timeouts::default();
    let mut tcp_established = None;
    let mut duration = |key, default| {
        section
            .take(key)
            .and_then(|value| {
                if key == "tcp_established" {
                    tcp_established = Some(value.place.clone());
                }
                let duration = value
                    .integer()
                    .map(Duration::from_secs)
                    .or_else(|| humantime::parse_duration(value.text()?).ok())
                    .filter(|duration| {
                        // The data path counts whole seconds.
                        duration.subsec_nanos() == 0
                            && (Duration::from_secs(1)..=Duration::from_hours(7 * 24))
                                .contains(duration)
                    });
                if duration.is_none() {
                    value.not(DURATION, problems);
                }
                duration
            })
            .unwrap_or(default)
    };
    let timeouts = Timeouts {
        tcp_established: duration("tcp_established", default.tcp_established),
        tcp_half_open: duration("tcp_half_open", default.tcp_half_open),
        tcp_closing: duration("tcp_closing", default.tcp_closing),
        udp: duration("udp", default.udp),
    };
    section.finish(problems);
    (timeouts, tcp_established)
}

/// Reads `[limits]`.
pub fn limits(mut section: Section, problems: &mut Vec<Problem>) -> Limits {
    let default = Limits::default();
    let mut flows = |key, default: u32, problems: &mut Vec<Problem>| {
        section
            .take(key)
            .and_then(|value| {
                value.number(
                    16..16_777_217,
                    "a number of flows; a whole number from 16 to 16777216 is",
                    problems,
                )
            })
            .and_then(|number| u32::try_from(number).ok())
            .unwrap_or(default)
    };
    let max_flows = flows("max_flows", default.max_flows, problems);
    let max_half_open = flows("max_half_open", default.max_half_open, problems);
    let snat_ports = section.take("snat_ports").and_then(|value| {
        let wanted = format!(
            "a range of ports within 1024-{}, such as \"1024-{}\" ({FIRST_OWN_PORT} and up are for health checks)",
            FIRST_OWN_PORT - 1,
            FIRST_OWN_PORT - 1
        );
        value.parsed(&wanted, problems, port_range)
    });
    let answers_per_second = section
        .take("answers_per_second")
        .and_then(|value| {
            value.number(
                0..1_000_001,
                "a number of answers in a second; a whole number from 0 to 1000000 is",
                problems,
            )
        })
        .and_then(|number| u32::try_from(number).ok());
    section.finish(problems);
    Limits {
        max_flows,
        max_half_open,
        snat_ports: snat_ports.unwrap_or(default.snat_ports),
        answers_per_second: answers_per_second.unwrap_or(default.answers_per_second),
    }
}
