//! `[balancing]`: how a new flow finds its node.

use std::{fmt, time::Duration};

use lb_common::service::Choice;

use super::{
    Problem,
    check::unique,
    document::{Place, Section, Value},
    parse::Located,
};
use crate::plan::Plan;

/// `[balancing]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BalancingConfig {
    /// What holds for services that say nothing else; none for the default of each.
    choice: Option<Choice>,
    /// Likewise.
    slow_start: Duration,
    /// `[[balancing.services]]`, by name.
    services: Vec<(String, Said)>,
}

impl BalancingConfig {
    /// How the new flows of a service find their nodes; `default` is how where nothing is said.
    pub fn of(&self, service: &str, default: Choice) -> Balancing {
        let own = self.services.iter().find(|(name, _)| name == service);
        let said = own.map_or(Said::default(), |(_, said)| *said);
        Balancing {
            choice: said.choice.or(self.choice).unwrap_or(default),
            slow_start: said.slow_start.unwrap_or(self.slow_start),
        }
    }
}

/// How the new flows of one service find their nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balancing {
    /// By what the node is chosen.
    pub choice: Choice,
    /// How long a node that has come back takes to get its whole share.
    pub slow_start: Duration,
}

impl fmt::Display for Balancing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.choice.name())?;
        if !self.slow_start.is_zero() {
            let slow_start = humantime::format_duration(self.slow_start);
            write!(f, ", slow start {slow_start}")?;
        }
        Ok(())
    }
}

/// What one section says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Said {
    choice: Option<Choice>,
    slow_start: Option<Duration>,
}

const CHOICE: &str = "how a node is chosen; \"hash\" (consistent hashing of addresses and ports), \"source-ip\" (of the client's address) and \"least-connections\" (the less busy one of two) are";
const SLOW_START: &str =
    "a time in whole seconds from 0s to 1h, such as \"30s\" or a whole number of seconds";

/// Reads `[balancing]`; with it the places of the names of services. What is wrong goes to `problems`.
pub fn balancing(
    mut section: Section,
    problems: &mut Vec<Problem>,
) -> (BalancingConfig, Vec<Place>) {
    let general = said(&mut section, problems);
    let (mut services, mut places) = (Vec::new(), Vec::new());
    if let Some(value) = section.take("services") {
        let wanted = "a list of tables; [[balancing.services]] starts each";
        for value in value.list(wanted, problems).unwrap_or_default() {
            let Some(mut section) = value.section(problems) else {
                continue;
            };
            let own = said(&mut section, problems);
            let name = section.require("name", "the name of a service", problems);
            if let Some(value) = name
                && let Some(name) = value.parsed("the name of a service", problems, |text| {
                    Some(text.to_owned())
                })
            {
                services.push((name, own));
                places.push(value.place);
            }
            section.finish(problems);
        }
    }
    section.finish(problems);
    let balancing = BalancingConfig {
        choice: general.choice,
        slow_start: general.slow_start.unwrap_or_default(),
        services,
    };
    (balancing, places)
}

fn said(section: &mut Section, problems: &mut Vec<Problem>) -> Said {
    let choice = section.take("choice").and_then(|value| {
        value.parsed(CHOICE, problems, |text| {
            [Choice::Tuple, Choice::Source, Choice::LeastConnections]
                .into_iter()
                .find(|choice| choice.name() == text)
        })
    });
    let slow_start = section
        .take("slow_start")
        .and_then(|value| slow_start(&value, problems));
    Said { choice, slow_start }
}

fn slow_start(value: &Value, problems: &mut Vec<Problem>) -> Option<Duration> {
    let duration = value
        .integer()
        .map(Duration::from_secs)
        .or_else(|| humantime::parse_duration(value.text()?).ok())
        .filter(|time| time.subsec_nanos() == 0 && *time <= Duration::from_hours(1));
    if duration.is_none() {
        value.not(SLOW_START, problems);
    }
    duration
}

/// Notes every name that is no service's, or comes twice.
pub fn check(located: &Located, problems: &mut Vec<Problem>) {
    let services = Plan::of(&located.config).services;
    let names = || {
        let said = located.config.balancing.services.iter();
        said.map(|(name, _)| name.clone())
            .zip(located.balancing.iter().cloned())
    };
    unique(names(), problems, |name, first| {
        format!(
            "{name:?} is {} already; a service stands here once",
            first.key
        )
    });
    for (name, place) in names() {
        if services.iter().all(|service| service.name != name) {
            let known: Vec<&str> = services.iter().map(|service| &*service.name).collect();
            place.problem(
                problems,
                format!(
                    "there is no service {name:?}; there are {}",
                    known.join(", ")
                ),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// The plan's services with `lines` in a file of one A/V VIP and one service of its own.
    fn balanced(lines: &str) -> Result<Vec<String>, String> {
        let text = format!(
            "[pool]\nname = \"edge\"\none_side = true\n[interfaces]\nexternal = [\"ext0\"]\n{lines}\
             [vips]\nav = \"203.0.113.30\"\n[[nodes]]\nname = \"a\"\nav = \"203.0.113.31\"\n\
             [[services]]\nname = \"own\"\nlisten = \"203.0.113.40:80/tcp\"\ntreatment = \"snat\"\n\
             nodes = [{{ name = \"b\", address = \"203.0.113.41:80\" }}]\n"
        );
        let config = Config::parse(&text).map_err(|problems| {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            lines.join("\n")
        })?;
        let services = Plan::of(&config).services;
        Ok(services
            .iter()
            .map(|service| format!("{}: {}", service.name, service.balancing))
            .collect())
    }

    fn are(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn each_service_has_its_own_or_the_general_or_its_default() {
        assert_eq!(
            balanced(""),
            Ok(are(&[
                "av-3478: source-ip",
                "av-443: source-ip",
                "own: hash"
            ]))
        );
        let general = "[balancing]\nchoice = \"least-connections\"\nslow_start = \"30s\"\n";
        let own = "[[balancing.services]]\nname = \"own\"\nchoice = \"hash\"\nslow_start = 0\n";
        assert_eq!(
            balanced(&format!("{general}{own}")),
            Ok(are(&[
                "av-3478: least-connections, slow start 30s",
                "av-443: least-connections, slow start 30s",
                "own: hash",
            ]))
        );
    }

    #[test]
    fn wrong_values_are_told_with_what_would_be_right() {
        let own = "[[balancing.services]]\nname = \"own\"\n";
        for (lines, problem) in [
            (
                "[balancing]\nchoice = \"random\"\n".to_owned(),
                "7: balancing.choice: \"random\" is not how a node is chosen; \"hash\" (consistent hashing of addresses and ports), \"source-ip\" (of the client's address) and \"least-connections\" (the less busy one of two) are",
            ),
            (
                "[balancing]\nslow_start = \"2h\"\n".to_owned(),
                "7: balancing.slow_start: \"2h\" is not a time in whole seconds from 0s to 1h, such as \"30s\" or a whole number of seconds",
            ),
            (
                "[[balancing.services]]\nname = \"no\"\n".to_owned(),
                "7: balancing.services[0].name: there is no service \"no\"; there are av-3478, av-443, own",
            ),
            (
                own.repeat(2),
                "9: balancing.services[1].name: \"own\" is balancing.services[0].name already; a service stands here once",
            ),
        ] {
            assert_eq!(balanced(&lines), Err(problem.to_owned()), "{lines}");
        }
    }
}
