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
    affinity: Option<Affinity>,
    /// Likewise.
    balance: Balance,
    /// Likewise.
    slow_start: Duration,
    /// `[[balancing.services]]`, by name.
    services: Vec<(String, Said)>,
}

impl BalancingConfig {
    /// How the new flows of a service find their nodes; `default` is its affinity where nothing is said.
    pub fn of(&self, service: &str, default: Affinity) -> Balancing {
        let own = self.services.iter().find(|(name, _)| name == service);
        let own = own.map_or(Said::default(), |(_, said)| *said);
        let affinity = own.affinity.or(self.affinity).unwrap_or(default);
        let balance = own.balance.unwrap_or(self.balance);
        Balancing {
            choice: match (affinity, balance) {
                (Affinity::SourceIp, _) => Choice::Source,
                (Affinity::None, Balance::Hash) => Choice::Tuple,
                (Affinity::None, Balance::LeastConnections) => Choice::LeastConnections,
            },
            slow_start: own.slow_start.unwrap_or(self.slow_start),
        }
    }
}

/// `affinity`: which flows reach the same node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affinity {
    /// Each flow finds its own.
    None,
    /// All flows of a client's address.
    SourceIp,
}

/// `balance`: how a flow without affinity finds its node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Balance {
    /// By consistent hashing of addresses and ports.
    #[default]
    Hash,
    /// The less busy one of two that the hash names.
    LeastConnections,
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
        f.write_str(match self.choice {
            Choice::Tuple => "balance hash",
            Choice::Source => "affinity source-ip",
            Choice::LeastConnections => "balance least-connections",
        })?;
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
    affinity: Option<Affinity>,
    balance: Option<Balance>,
    slow_start: Option<Duration>,
}

/// Where one of `[[balancing.services]]` stands.
pub struct Places {
    name: Place,
    /// `balance = "least-connections"` that nothing is said of affinity beside.
    least_connections: Option<Place>,
}

const AFFINITY: &str = "which flows reach the same node; \"none\" (each finds its own) and \"source-ip\" (all of a client's address) are";
const BALANCE: &str = "how a node is chosen; \"hash\" (consistent hashing of addresses and ports) and \"least-connections\" (the less busy one of two) are";
const SLOW_START: &str =
    "a time in whole seconds from 0s to 1h, such as \"30s\" or a whole number of seconds";

/// Reads `[balancing]`; with it the places of its list. What is wrong goes to `problems`.
pub fn balancing(
    mut section: Section,
    problems: &mut Vec<Problem>,
) -> (BalancingConfig, Vec<Places>) {
    let (general, _) = said(&mut section, problems);
    let (mut services, mut places) = (Vec::new(), Vec::new());
    if let Some(value) = section.take("services") {
        let wanted = "a list of tables; [[balancing.services]] starts each";
        for value in value.list(wanted, problems).unwrap_or_default() {
            let Some(mut section) = value.section(problems) else {
                continue;
            };
            let (own, least_connections) = said(&mut section, problems);
            let name = section.require("name", "the name of a service", problems);
            if let Some(value) = name
                && let Some(name) = value.parsed("the name of a service", problems, |text| {
                    Some(text.to_owned())
                })
            {
                services.push((name, own));
                places.push(Places {
                    name: value.place,
                    least_connections,
                });
            }
            section.finish(problems);
        }
    }
    section.finish(problems);
    let balancing = BalancingConfig {
        affinity: general.affinity,
        balance: general.balance.unwrap_or_default(),
        slow_start: general.slow_start.unwrap_or_default(),
        services,
    };
    (balancing, places)
}

/// What a section says; with it the place of `balance = "least-connections"` where it says nothing of affinity.
fn said(section: &mut Section, problems: &mut Vec<Problem>) -> (Said, Option<Place>) {
    let affinity = section.take("affinity").and_then(|value| {
        value.parsed(AFFINITY, problems, |text| match text {
            "none" => Some(Affinity::None),
            "source-ip" => Some(Affinity::SourceIp),
            _ => None,
        })
    });
    let value = section.take("balance");
    let balance = value.as_ref().and_then(|value| {
        value.parsed(BALANCE, problems, |text| match text {
            "hash" => Some(Balance::Hash),
            "least-connections" => Some(Balance::LeastConnections),
            _ => None,
        })
    });
    let least_connections = value
        .map(|value| value.place)
        .filter(|_| balance == Some(Balance::LeastConnections));
    if let Some(place) = &least_connections
        && affinity == Some(Affinity::SourceIp)
    {
        place.problem(
            problems,
            "\"least-connections\" does not go with affinity = \"source-ip\" beside it, where the client's address alone names the node; leave out the one or the other",
        );
    }
    let slow_start = section
        .take("slow_start")
        .and_then(|value| slow_start(&value, problems));
    let said = Said {
        affinity,
        balance,
        slow_start,
    };
    (said, least_connections.filter(|_| affinity.is_none()))
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

/// Notes every name that is no service's, or comes twice, and every `balance` that affinity from elsewhere
/// leaves without effect.
pub fn check(located: &Located, problems: &mut Vec<Problem>) {
    let services = Plan::of(&located.config).services;
    let said = || {
        let said = located.config.balancing.services.iter();
        said.map(|(name, _)| name).zip(&located.balancing)
    };
    let names = said().map(|(name, places)| (name.clone(), places.name.clone()));
    unique(names, problems, |name, first| {
        format!(
            "{name:?} is {} already; a service stands here once",
            first.key
        )
    });
    for (name, places) in said() {
        let Some(service) = services.iter().find(|service| service.name == *name) else {
            let known: Vec<&str> = services.iter().map(|service| &*service.name).collect();
            places.name.problem(
                problems,
                format!(
                    "there is no service {name:?}; there are {}",
                    known.join(", ")
                ),
            );
            continue;
        };
        if let Some(place) = &places.least_connections
            && service.balancing.choice == Choice::Source
        {
            let whose = match located.config.balancing.affinity {
                Some(_) => "[balancing] gives",
                None => "is the default of",
            };
            place.problem(
                problems,
                format!(
                    "\"least-connections\" does not go with affinity = \"source-ip\", which {whose} {name}; affinity = \"none\" beside it takes that away"
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

    #[test]
    fn each_service_has_its_own_or_the_general_or_its_default() {
        let least = "[balancing]\nbalance = \"least-connections\"\nslow_start = \"30s\"\n";
        let own = "[[balancing.services]]\nname = \"own\"\nbalance = \"hash\"\nslow_start = 0\n";
        let none = "[balancing]\naffinity = \"none\"\n";
        let source = "[balancing]\naffinity = \"source-ip\"\n";
        let own_none = "[[balancing.services]]\nname = \"own\"\naffinity = \"none\"\n";
        let av_least = "[[balancing.services]]\nname = \"av-443\"\naffinity = \"none\"\n\
                        balance = \"least-connections\"\n";
        for (lines, shown) in [
            (
                String::new(),
                ["affinity source-ip", "affinity source-ip", "balance hash"],
            ),
            // How to balance is no word on who has affinity.
            (
                format!("{least}{own}"),
                [
                    "affinity source-ip, slow start 30s",
                    "affinity source-ip, slow start 30s",
                    "balance hash",
                ],
            ),
            (
                none.to_owned(),
                ["balance hash", "balance hash", "balance hash"],
            ),
            (
                format!("{none}balance = \"least-connections\"\n"),
                ["balance least-connections"; 3],
            ),
            (source.to_owned(), ["affinity source-ip"; 3]),
            (
                format!("{source}{own_none}"),
                ["affinity source-ip", "affinity source-ip", "balance hash"],
            ),
            (
                format!("{source}{av_least}"),
                [
                    "affinity source-ip",
                    "balance least-connections",
                    "affinity source-ip",
                ],
            ),
            (
                format!("{least}{own_none}"),
                [
                    "affinity source-ip, slow start 30s",
                    "affinity source-ip, slow start 30s",
                    "balance least-connections, slow start 30s",
                ],
            ),
        ] {
            let names = ["av-3478", "av-443", "own"];
            let wanted: Vec<String> = names
                .iter()
                .zip(shown)
                .map(|(name, shown)| format!("{name}: {shown}"))
                .collect();
            assert_eq!(balanced(&lines), Ok(wanted), "{lines}");
        }
    }

    #[test]
    fn wrong_values_are_told_with_what_would_be_right() {
        let own = "[[balancing.services]]\nname = \"own\"\n";
        let least = "balance = \"least-connections\"\n";
        for (lines, problem) in [
            (
                "[balancing]\nbalance = \"random\"\n".to_owned(),
                "7: balancing.balance: \"random\" is not how a node is chosen; \"hash\" (consistent hashing of addresses and ports) and \"least-connections\" (the less busy one of two) are",
            ),
            (
                "[balancing]\naffinity = \"cookie\"\n".to_owned(),
                "7: balancing.affinity: \"cookie\" is not which flows reach the same node; \"none\" (each finds its own) and \"source-ip\" (all of a client's address) are",
            ),
            (
                format!("[balancing]\naffinity = \"source-ip\"\n{least}"),
                "8: balancing.balance: \"least-connections\" does not go with affinity = \"source-ip\" beside it, where the client's address alone names the node; leave out the one or the other",
            ),
            (
                format!("{own}{least}affinity = \"source-ip\"\n"),
                "8: balancing.services[0].balance: \"least-connections\" does not go with affinity = \"source-ip\" beside it, where the client's address alone names the node; leave out the one or the other",
            ),
            (
                format!("[[balancing.services]]\nname = \"av-443\"\n{least}"),
                "8: balancing.services[0].balance: \"least-connections\" does not go with affinity = \"source-ip\", which is the default of av-443; affinity = \"none\" beside it takes that away",
            ),
            (
                format!("[balancing]\naffinity = \"source-ip\"\n{own}{least}"),
                "10: balancing.services[0].balance: \"least-connections\" does not go with affinity = \"source-ip\", which [balancing] gives own; affinity = \"none\" beside it takes that away",
            ),
            (
                "[balancing]\nslow_start = \"2h\"\n".to_owned(),
                "7: balancing.slow_start: \"2h\" is not a time in whole seconds from 0s to 1h, such as \"30s\" or a whole number of seconds",
            ),
            (
                "[balancing]\nchoice = \"hash\"\n".to_owned(),
                "7: balancing.choice: unknown key \"choice\"; known here are affinity, balance, slow_start, services",
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
