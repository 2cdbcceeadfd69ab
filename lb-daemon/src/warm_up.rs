//! Nodes that have come back get their share of new flows little by little (pure).

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    plan::{Plan, PlannedNode, PlannedService},
    takers::Takers,
};

/// Steps of a node's way to its whole share. A weight of at most 1000 times this fits into 16 bits.
const WHOLE: u16 = 50;
/// Where it begins: a tenth.
const BEGINNING: u16 = WHOLE / 10;

/// Since when nodes that have come back take flows again, by the names of service and node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WarmUp(BTreeMap<(String, String), Instant>);

impl WarmUp {
    /// Notes who has come back between two decisions, and lets go of who has gone or got its share.
    pub fn note(&mut self, plan: &Plan, before: &Takers, after: &Takers, now: Instant) {
        let mut held = std::mem::take(&mut self.0);
        for service in &plan.services {
            for node in &service.nodes {
                let (name, whom) = (&service.name, &node.name);
                if !after.takes(name, whom) {
                    continue;
                }
                let key = (name.clone(), whom.clone());
                let since = if before.takes(name, whom) {
                    held.remove(&key)
                } else {
                    Some(now)
                };
                if let Some(since) = since
                    && now.duration_since(since) < service.balancing.slow_start
                {
                    self.0.insert(key, since);
                }
            }
        }
    }

    /// True while some node has not got its share yet.
    pub fn is_going_on(&self) -> bool {
        !self.0.is_empty()
    }

    /// What everybody has of its share at a time.
    pub fn shares(&self, plan: &Plan, now: Instant) -> Shares {
        let mut shares = BTreeMap::new();
        for service in &plan.services {
            for node in &service.nodes {
                let key = (service.name.clone(), node.name.clone());
                if let Some(since) = self.0.get(&key) {
                    let passed = now.duration_since(*since);
                    shares.insert(key, share(passed, service.balancing.slow_start));
                }
            }
        }
        Shares(shares)
    }
}

/// What nodes that have come back have of their share, by the names of service and node; all others have
/// the whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shares(BTreeMap<(String, String), u16>);

impl Shares {
    /// The weight of a node on the ring of its service.
    pub fn weight(&self, service: &PlannedService, node: &PlannedNode) -> u16 {
        let share = self.0.get(&(service.name.clone(), node.name.clone()));
        node.weight * share.copied().unwrap_or(WHOLE)
    }
}

/// From the beginning to the whole in equal steps.
fn share(passed: Duration, slow_start: Duration) -> u16 {
    if passed >= slow_start {
        return WHOLE;
    }
    let way = u128::from(WHOLE - BEGINNING) * passed.as_millis() / slow_start.as_millis().max(1);
    // Less than the whole way, and so in range.
    BEGINNING + way as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Config, node_state::NodeState};

    fn plan(slow_start: &str) -> Plan {
        let text = format!(
            "[pool]\nname = \"p\"\n[interfaces]\nexternal = [\"ext0\"]\n\
             [balancing]\nslow_start = \"{slow_start}\"\n\
             [[services]]\nname = \"s\"\nlisten = \"203.0.113.40:80/tcp\"\ntreatment = \"snat\"\n\
             nodes = [{{ name = \"a\", address = \"203.0.113.41:80\" }}, {{ name = \"b\", address = \"203.0.113.42:80\", weight = 1000 }}]\n"
        );
        Plan::of(&Config::parse(&text).unwrap_or_else(|problems| panic!("{problems:?}")))
    }

    /// Who takes flows when the node `a` is in this state.
    fn takers(plan: &Plan, before: &Takers, a: NodeState) -> Takers {
        before.decide(
            plan,
            |_, node| {
                if node.name == "a" { a } else { NodeState::Up }
            },
        )
    }

    #[test]
    fn a_node_that_comes_back_warms_up_and_the_others_do_not() {
        let plan = plan("40s");
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let weights = |warm_up: &WarmUp, now| {
            let service = &plan.services[0];
            let nodes = service.nodes.iter();
            let shares = warm_up.shares(&plan, now);
            nodes
                .map(|node| shares.weight(service, node))
                .collect::<Vec<u16>>()
        };
        let mut warm_up = WarmUp::default();
        let up = takers(&plan, &Takers::default(), NodeState::Up);
        // At the start there is nobody who could have come back.
        warm_up.note(&plan, &Takers::default(), &up, at(0));
        assert!(!warm_up.is_going_on());
        let down = takers(&plan, &up, NodeState::Down);
        warm_up.note(&plan, &up, &down, at(5));
        assert!(!warm_up.is_going_on());

        let back = takers(&plan, &down, NodeState::Up);
        warm_up.note(&plan, &down, &back, at(10));
        assert!(warm_up.is_going_on());
        for (now, weight) in [(10, 500), (11, 600), (30, 2700), (49, 4800), (50, 5000)] {
            assert_eq!(weights(&warm_up, at(now)), [weight, 50_000], "{now}");
        }
        // Decisions meanwhile do not begin it anew; it ends by itself.
        warm_up.note(&plan, &back, &back, at(30));
        assert_eq!(weights(&warm_up, at(30))[0], 2700);
        warm_up.note(&plan, &back, &back, at(50));
        assert!(!warm_up.is_going_on());
    }

    #[test]
    fn a_node_that_falls_again_begins_anew() {
        let plan = plan("40s");
        let now = Instant::now();
        let mut warm_up = WarmUp::default();
        let down = takers(&plan, &Takers::default(), NodeState::Down);
        let up = takers(&plan, &down, NodeState::Up);
        warm_up.note(&plan, &down, &up, now);
        warm_up.note(&plan, &up, &down, now + Duration::from_secs(1));
        assert!(!warm_up.is_going_on());
    }

    #[test]
    fn without_slow_start_a_node_has_its_share_at_once() {
        let plan = plan("0s");
        let mut warm_up = WarmUp::default();
        let down = takers(&plan, &Takers::default(), NodeState::Down);
        let up = takers(&plan, &down, NodeState::Up);
        warm_up.note(&plan, &down, &up, Instant::now());
        assert!(!warm_up.is_going_on());
    }
}
