//! `[health]`, value by value.

use std::{ops::RangeInclusive, time::Duration};

use super::{Health, ServiceHealth, Settings, default_timeout, method::check};
use crate::{
    config::{
        Problem,
        document::{Place, Section, Value},
    },
    node_state::{OnAllDown, OnNodeDown},
};

/// Where the parts of `[[health.services]]` stand that must fit with others.
pub struct Places {
    pub name: Place,
    pub check: Place,
    pub gate: Place,
}

const INTERVAL: &str =
    "a time from 100ms to 1h, such as \"500ms\", \"2s\" or a whole number of seconds";
const TIMEOUT: &str =
    "a time from 10ms to 1h, such as \"500ms\", \"1s\" or a whole number of seconds";
const CALM: &str = "a time from 0s to 1d, such as \"1m\" or a whole number of seconds";
const DRAIN_TIMEOUT: &str =
    "a time in whole seconds from 0s to 1d, such as \"5m\" or a whole number of seconds";
const DAY: Duration = Duration::from_hours(24);
const HOUR: Duration = Duration::from_hours(1);

/// Reads `[health]`. What is wrong goes to `problems`.
pub fn health(mut section: Section, problems: &mut Vec<Problem>) -> (Health, Vec<Places>) {
    let enabled = section
        .take("enabled")
        .and_then(|value| value.flag(problems))
        .unwrap_or(true);
    let (general, has_timeout) = settings(&mut section, &Settings::default(), false, problems);
    let mut services = Vec::new();
    let mut places = Vec::new();
    if let Some(value) = section.take("services") {
        let wanted = "a list of tables; [[health.services]] starts each";
        for value in value.list(wanted, problems).unwrap_or_default() {
            let Some(mut section) = value.section(problems) else {
                continue;
            };
            if let Some((one, place)) = service(&mut section, &general, has_timeout, problems) {
                services.push(one);
                places.push(place);
            }
            section.finish(problems);
        }
    }
    section.finish(problems);
    let health = Health {
        enabled,
        general,
        services,
    };
    (health, places)
}

fn service(
    section: &mut Section,
    general: &Settings,
    has_timeout: bool,
    problems: &mut Vec<Problem>,
) -> Option<(ServiceHealth, Places)> {
    let name = section.require("name", "the name of a service", problems);
    let name = name.and_then(|value| {
        let name = value.parsed("the name of a service", problems, |text| {
            Some(text.to_owned())
        })?;
        Some((name, value.place))
    });
    let (check, check_place) = check(section, problems);
    let mut gate_place = section.place().clone();
    let gate = section.take("gate").and_then(|value| {
        gate_place = value.place.clone();
        value.parsed(
            "another service by its name or port, such as \"access-5061\" or \"5061\"",
            problems,
            |text| Some(text.to_owned()),
        )
    });
    let (settings, _) = settings(section, general, has_timeout, problems);
    let (name, name_place) = name?;
    let places = Places {
        name: name_place,
        check: check_place,
        gate: gate_place,
    };
    let service = ServiceHealth {
        name,
        check,
        gate,
        settings,
    };
    Some((service, places))
}

/// Reads the keys that `[health]` and `[[health.services]]` share. `has_timeout` says whether the
/// timeout of `general` is one that somebody has set, and so does the answer.
fn settings(
    section: &mut Section,
    general: &Settings,
    has_timeout: bool,
    problems: &mut Vec<Problem>,
) -> (Settings, bool) {
    let interval = section
        .take("interval")
        .and_then(|value| {
            duration(
                &value,
                Duration::from_millis(100)..=HOUR,
                INTERVAL,
                problems,
            )
        })
        .unwrap_or(general.interval);
    let mut place = section.place().clone();
    let timeout = section.take("timeout").and_then(|value| {
        place = value.place.clone();
        duration(&value, Duration::from_millis(10)..=HOUR, TIMEOUT, problems)
    });
    let has_timeout = has_timeout || timeout.is_some();
    let timeout = match timeout {
        Some(timeout) => timeout,
        None if has_timeout => general.timeout,
        None => default_timeout(interval),
    };
    if timeout > interval {
        place.problem(
            problems,
            format!(
                "a timeout of {} is longer than the interval of {}; a check ends before the next begins",
                humantime::format_duration(timeout),
                humantime::format_duration(interval)
            ),
        );
    }
    let mut count = |key, default| {
        section
            .take(key)
            .and_then(|value| {
                value.number(
                    1..101,
                    "a number of checks; a whole number from 1 to 100 is",
                    problems,
                )
            })
            .and_then(|number| u32::try_from(number).ok())
            .unwrap_or(default)
    };
    let (rise, fall) = (count("rise", general.rise), count("fall", general.fall));
    let calm = section
        .take("calm")
        .and_then(|value| duration(&value, Duration::ZERO..=DAY, CALM, problems))
        .unwrap_or(general.calm);
    let on_all_down = section.take("on_all_down").and_then(|value| {
        let wanted = "what happens to new flows when no node is up; \"refuse\" (they are refused at once) and \"last\" (they go to the nodes that were the last to be up) are";
        value.parsed(wanted, problems, |text| match text {
            "refuse" => Some(OnAllDown::Refuse),
            "last" => Some(OnAllDown::Last),
            _ => None,
        })
    });
    let on_node_down = section.take("on_node_down").and_then(|value| {
        let wanted = "what happens to the TCP flows of a node that goes down; \"reset\" (they are cut, so that clients connect anew) and \"keep\" (they are left as they are) are";
        value.parsed(wanted, problems, |text| match text {
            "reset" => Some(OnNodeDown::Reset),
            "keep" => Some(OnNodeDown::Keep),
            _ => None,
        })
    });
    let drain_timeout = section
        .take("drain_timeout")
        .and_then(|value| whole_seconds(&value, problems))
        .unwrap_or(general.drain_timeout);
    let settings = Settings {
        interval,
        timeout,
        rise,
        fall,
        calm,
        on_all_down: on_all_down.unwrap_or(general.on_all_down),
        on_node_down: on_node_down.unwrap_or(general.on_node_down),
        drain_timeout,
    };
    (settings, has_timeout)
}

/// A time that the data path knows: its clock has seconds.
fn whole_seconds(value: &Value, problems: &mut Vec<Problem>) -> Option<Duration> {
    let time = time(value).filter(|time| time.subsec_nanos() == 0 && *time <= DAY);
    if time.is_none() {
        value.not(DRAIN_TIMEOUT, problems);
    }
    time
}

fn duration(
    value: &Value,
    range: RangeInclusive<Duration>,
    wanted: &str,
    problems: &mut Vec<Problem>,
) -> Option<Duration> {
    let time = time(value).filter(|time| range.contains(time));
    if time.is_none() {
        value.not(wanted, problems);
    }
    time
}

fn time(value: &Value) -> Option<Duration> {
    value
        .integer()
        .map(Duration::from_secs)
        .or_else(|| humantime::parse_duration(value.text()?).ok())
}
