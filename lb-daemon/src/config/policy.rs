//! `[policy]`: what may pass beyond the rows of the requirements, and what becomes of the rest.

use std::ops::RangeInclusive;

use lb_common::{net::Protocol, policy::RuleKind};

use super::{
    Problem, Role,
    document::{Section, Value},
};

/// `[policy]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What becomes of packets to and from the nodes' own addresses that no rule names.
    pub mode: PolicyMode,
    /// What becomes of TCP packets that belong to no flow.
    pub without_flow: WithoutFlow,
    /// `[[policy.allow]]`.
    pub allow: Vec<Allowed>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            mode: PolicyMode::Enforce,
            without_flow: WithoutFlow::Reset,
            allow: Vec::new(),
        }
    }
}

/// What becomes of packets to and from the nodes' own addresses that no rule names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyMode {
    /// They are dropped and counted.
    Enforce,
    /// They pass and are counted: to see, before a migration, what would be dropped.
    Observe,
}

/// What becomes of TCP packets that belong to no flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithoutFlow {
    /// The sender gets a RST, and connects anew at once.
    Reset,
    /// They are dropped in silence.
    Drop,
}

/// Ports that may pass besides those of the requirements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Which of the nodes' addresses.
    pub role: Role,
    /// Whose port, and who opens the connection.
    pub kind: RuleKind,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The ports.
    pub ports: RangeInclusive<u16>,
}

/// Rules that fit for one role, besides those of the requirements.
pub const MAX_ALLOWED: usize = 16;

/// Reads the section.
pub fn policy(section: &mut Section, problems: &mut Vec<Problem>) -> Option<Policy> {
    let default = Policy::default();
    let mode = match section.take("mode") {
        None => Some(default.mode),
        Some(value) => value.parsed(
            "a mode; \"enforce\" (drop what no rule names) and \"observe\" (forward and count it) are",
            problems,
            |text| match text {
                "enforce" => Some(PolicyMode::Enforce),
                "observe" => Some(PolicyMode::Observe),
                _ => None,
            },
        ),
    };
    let without_flow = match section.take("without_flow") {
        None => Some(default.without_flow),
        Some(value) => value.parsed(
            "an answer to TCP packets without a flow; \"reset\" and \"drop\" are",
            problems,
            |text| match text {
                "reset" => Some(WithoutFlow::Reset),
                "drop" => Some(WithoutFlow::Drop),
                _ => None,
            },
        ),
    };
    let allow = match section.take("allow") {
        None => Some(Vec::new()),
        Some(value) => allowed(value, problems),
    };
    Some(Policy {
        mode: mode?,
        without_flow: without_flow?,
        allow: allow?,
    })
}

fn allowed(value: Value, problems: &mut Vec<Problem>) -> Option<Vec<Allowed>> {
    let mut rules: Vec<Allowed> = Vec::new();
    let mut complete = true;
    for value in value.list("a list of tables; [[policy.allow]] starts each", problems)? {
        let place = value.place.clone();
        let rule = value.section(problems).and_then(|mut section| {
            let rule = rule(&mut section, problems);
            section.finish(problems);
            rule
        });
        complete &= rule.is_some();
        let Some(rule) = rule else { continue };
        let of_role = rules.iter().filter(|known| known.role == rule.role).count();
        if of_role == MAX_ALLOWED {
            place.problem(
                problems,
                format!(
                    "one rule too many for the role {}; {MAX_ALLOWED} fit, and a rule may be a range of ports",
                    rule.role.name()
                ),
            );
            return None;
        }
        rules.push(rule);
    }
    complete.then_some(rules)
}

fn rule(section: &mut Section, problems: &mut Vec<Problem>) -> Option<Allowed> {
    const ROLE: &str = "a role of the nodes; \"access\", \"webconf\", \"av\" and \"internal\" are";
    const DIRECTION: &str =
        "a direction; \"in\" (others connect to the nodes) and \"out\" (the nodes connect) are";
    const PORTS: &str =
        "a port or a range with its protocol, such as \"8443/tcp\" or \"5000-5100/udp\"";
    let role = section.require("role", ROLE, problems).and_then(|value| {
        value.parsed(ROLE, problems, |text| {
            Role::ALL.into_iter().find(|role| role.name() == text)
        })
    });
    let kind = section
        .require("direction", DIRECTION, problems)
        .and_then(|value| {
            value.parsed(DIRECTION, problems, |text| match text {
                "in" => Some(RuleKind::ToNodePort),
                "out" => Some(RuleKind::ToOtherPort),
                _ => None,
            })
        });
    let ports = section
        .require("ports", PORTS, problems)
        .and_then(|value| value.parsed(PORTS, problems, ports));
    let (ports, protocol) = ports?;
    Some(Allowed {
        role: role?,
        kind: kind?,
        protocol,
        ports,
    })
}

fn ports(text: &str) -> Option<(RangeInclusive<u16>, Protocol)> {
    let (ports, protocol) = text.split_once('/')?;
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    (1 <= first && first <= last).then_some((first..=last, protocol))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// The `[policy]` that `lines` make, or what is wrong with them.
    fn policy_of(lines: &str) -> Result<Policy, String> {
        let text = format!(
            "[pool]\nname = \"edge\"\none_side = true\n[interfaces]\nexternal = [\"ext0\"]\n{lines}\
             [vips]\nav = \"203.0.113.30\"\n[[nodes]]\nname = \"a\"\nav = \"203.0.113.31\"\n"
        );
        match Config::parse(&text) {
            Ok(config) => Ok(config.policy),
            Err(problems) => Err(problems
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("\n")),
        }
    }

    fn allow(role: &str, direction: &str, ports: &str) -> String {
        format!(
            "[[policy.allow]]\nrole = \"{role}\"\ndirection = \"{direction}\"\nports = \"{ports}\"\n"
        )
    }

    #[test]
    fn nothing_said_is_enforced_and_reset() {
        assert_eq!(policy_of(""), Ok(Policy::default()));
        assert_eq!(policy_of("[policy]\n"), Ok(Policy::default()));
    }

    #[test]
    fn rules_are_read() {
        let text = "[policy]\nmode = \"observe\"\nwithout_flow = \"drop\"\n".to_owned()
            + &allow("av", "in", "8443/tcp")
            + &allow("internal", "out", "5000-5100/udp");
        assert_eq!(
            policy_of(&text),
            Ok(Policy {
                mode: PolicyMode::Observe,
                without_flow: WithoutFlow::Drop,
                allow: vec![
                    Allowed {
                        role: Role::Av,
                        kind: RuleKind::ToNodePort,
                        protocol: Protocol::Tcp,
                        ports: 8443..=8443,
                    },
                    Allowed {
                        role: Role::Internal,
                        kind: RuleKind::ToOtherPort,
                        protocol: Protocol::Udp,
                        ports: 5000..=5100,
                    },
                ],
            })
        );
    }

    #[test]
    fn wrong_values_are_told_with_what_would_be_right() {
        for (lines, problem) in [
            (
                "[policy]\nmode = \"off\"\n".to_owned(),
                "7: policy.mode: \"off\" is not a mode; \"enforce\" (drop what no rule names) and \"observe\" (forward and count it) are",
            ),
            (
                "[policy]\nwithout_flow = true\n".to_owned(),
                "7: policy.without_flow: true is not an answer to TCP packets without a flow; \"reset\" and \"drop\" are",
            ),
            (
                allow("edge", "in", "1/tcp"),
                "7: policy.allow[0].role: \"edge\" is not a role of the nodes; \"access\", \"webconf\", \"av\" and \"internal\" are",
            ),
            (
                allow("av", "both", "1/tcp"),
                "8: policy.allow[0].direction: \"both\" is not a direction; \"in\" (others connect to the nodes) and \"out\" (the nodes connect) are",
            ),
            (
                allow("av", "in", "9-1/tcp"),
                "9: policy.allow[0].ports: \"9-1/tcp\" is not a port or a range with its protocol, such as \"8443/tcp\" or \"5000-5100/udp\"",
            ),
            (
                allow("av", "in", "1/tcp").repeat(MAX_ALLOWED + 1),
                "70: policy.allow[16]: one rule too many for the role av; 16 fit, and a rule may be a range of ports",
            ),
        ] {
            assert_eq!(policy_of(&lines), Err(problem.to_owned()), "{lines}");
        }
    }
}
