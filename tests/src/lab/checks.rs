//! What the lab is for: questions to the pool, and what has to come of them.

mod balanced;
mod dns;
mod download;
mod links;
mod media;
mod nodes;
mod policy;
mod ports;
mod relay;
mod rules;
mod sip;
mod translated;

use std::{fmt, time::Duration};

use anyhow::Result;

use super::{Lab, plan::NODES, report::Finding};

pub use self::balanced::{ROWS, Row};

/// How much to ask.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Connections for each row.
    pub connections: usize,
    /// Least time from one connection to the next, for someone who watches.
    pub pace: Duration,
}

/// One check. It can run in any lab that is up, any number of times and in any order.
pub struct Check {
    /// Row or rule of the requirements.
    pub id: &'static str,
    /// What it is about: also the name of the test that runs it.
    pub name: &'static str,
    run: Box<Run>,
}

type Run = dyn Fn(&Lab, &Effort) -> Result<Vec<Finding>> + Send;

impl Check {
    fn new(
        id: &'static str,
        name: &'static str,
        run: impl Fn(&Lab, &Effort) -> Result<Vec<Finding>> + Send + 'static,
    ) -> Self {
        Self {
            id,
            name,
            run: Box::new(run),
        }
    }

    /// Asks, and says what came of it. A check that could not even ask has found that.
    pub fn run(&self, lab: &Lab, effort: &Effort) -> Vec<Finding> {
        (self.run)(lab, effort).unwrap_or_else(|error| {
            vec![Finding {
                id: self.id,
                asked: self.name.replace('_', " "),
                from: String::new(),
                answered: String::new(),
                seen: String::new(),
                problems: vec![format!("{error:#}")],
            }]
        })
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Every check, in the order in which people want to read of them.
pub fn all() -> Vec<Check> {
    let mut checks: Vec<Check> = ROWS
        .iter()
        .map(|row| {
            Check::new(row.id, row.name, |lab, effort| {
                balanced::check(row, lab, effort)
            })
        })
        .collect();
    checks.extend(sip::checks());
    checks.extend(media::checks());
    checks.extend(relay::checks());
    checks.extend(nodes::checks());
    checks.extend(dns::checks());
    checks.push(policy::check());
    checks.extend(rules::checks());
    checks.extend([
        Check::new("H6", "h6_node_sees_the_vip_as_client", translated::check),
        Check::new("H3", "h3_download_of_50_mb_through_each_vip", |lab, _| {
            download::check(lab)
        }),
        Check::new("links", "links_carry_only_sound_packets", links::check),
    ]);
    checks
}

/// Says of every node that has answered too little of what was asked. By chance alone, two nodes of equal
/// weight are never so far apart.
fn unfair(answered: &[&str], asked: usize) -> Vec<String> {
    NODES
        .iter()
        .filter_map(|node| {
            let share = answered.iter().filter(|name| **name == node.name).count();
            (share * NODES.len() * 3 < asked)
                .then(|| format!("{} has answered {share} of {asked}", node.name))
        })
        .collect()
}
