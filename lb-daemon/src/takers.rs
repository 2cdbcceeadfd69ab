//! Which nodes take new flows of which services (pure).

use std::collections::BTreeMap;

use crate::{
    health::target::on_all_down,
    node_state::{NodeState, Standing, takers},
    plan::{Plan, PlannedNode, PlannedService},
};

/// A node of a service, as it was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Decided {
    state: NodeState,
    takes: bool,
}

/// For every node of every service, by their names, its state and whether it takes new flows. What was
/// never decided does: an edgelb that has just started sends clients to every node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Takers(BTreeMap<String, BTreeMap<String, Decided>>);

impl Takers {
    /// Decides anew for a plan; `state` says how each node is, and `self` is how it was decided last.
    #[must_use]
    pub fn decide(
        &self,
        plan: &Plan,
        state: impl Fn(&PlannedService, &PlannedNode) -> NodeState,
    ) -> Self {
        let services = plan.services.iter().map(|service| {
            let standings: Vec<Standing> = service
                .nodes
                .iter()
                .map(|node| Standing {
                    state: state(service, node),
                    took: self
                        .decided(&service.name, &node.name)
                        .is_some_and(|decided| decided.takes),
                })
                .collect();
            let takes = takers(&standings, on_all_down(plan, service));
            let nodes = service.nodes.iter().zip(standings).zip(takes);
            let decided = nodes.map(|((node, Standing { state, .. }), takes)| {
                (node.name.clone(), Decided { state, takes })
            });
            (service.name.clone(), decided.collect())
        });
        Self(services.collect())
    }

    fn decided(&self, service: &str, node: &str) -> Option<&Decided> {
        self.0.get(service)?.get(node)
    }

    /// Whether a node takes new flows of a service.
    pub fn takes(&self, service: &str, node: &str) -> bool {
        let decided = self.decided(service, node);
        decided.is_none_or(|decided| decided.takes)
    }

    /// State of a node of a service.
    pub fn state(&self, service: &str, node: &str) -> NodeState {
        let decided = self.decided(service, node);
        decided.map_or(NodeState::Up, |decided| decided.state)
    }

    /// What is different from `before`, a line for each node whose state is another and for each service
    /// that has lost its last node or got one back.
    pub fn told(&self, before: &Self) -> Vec<String> {
        let mut told = Vec::new();
        for (service, nodes) in &self.0 {
            for (node, decided) in nodes {
                if before.state(service, node) != decided.state {
                    let state = decided.state.name();
                    told.push(format!("service {service}: node {node} is {state}"));
                }
            }
            match (before.is_served(service), self.is_served(service)) {
                (true, false) => told.push(format!(
                    "service {service}: no node is up; {}",
                    if nodes.values().any(|decided| decided.takes) {
                        "new flows go to the last that were"
                    } else {
                        "new flows are refused"
                    }
                )),
                (false, true) => told.push(format!("service {service} is served again")),
                _ => {}
            }
        }
        told
    }

    /// Whether a node of a service is up; of one that was never decided, every node is.
    fn is_served(&self, service: &str) -> bool {
        let nodes = self.0.get(service);
        nodes.is_none_or(|nodes| {
            let mut nodes = nodes.values();
            nodes.any(|decided| decided.state == NodeState::Up)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn plan(health: &str) -> Plan {
        let text = format!(
            "[pool]\nname = \"web\"\n[interfaces]\nexternal = [\"e\"]\n\
             [[services]]\nname = \"web\"\nlisten = \"10.0.0.1:80/tcp\"\ntreatment = \"snat\"\n\
             nodes = [{{ name = \"a\", address = \"10.0.0.2:80\" }}, {{ name = \"b\", address = \"10.0.0.3:80\" }}]\n{health}"
        );
        Plan::of(&Config::parse(&text).expect("the test's configuration is right"))
    }

    /// Decides with these nodes down.
    fn decide(before: &Takers, plan: &Plan, down: &[&str]) -> Takers {
        before.decide(plan, |_, node| {
            if down.contains(&&*node.name) {
                NodeState::Down
            } else {
                NodeState::Up
            }
        })
    }

    fn takes(takers: &Takers) -> [bool; 2] {
        ["a", "b"].map(|node| takers.takes("web", node))
    }

    #[test]
    fn before_anything_is_decided_every_node_takes_flows() {
        let takers = Takers::default();
        assert_eq!(takes(&takers), [true, true]);
        assert_eq!(takers.state("web", "a"), NodeState::Up);
    }

    #[test]
    fn a_node_that_is_down_takes_none_and_what_changes_is_told() {
        let plan = plan("");
        let up = decide(&Takers::default(), &plan, &[]);
        assert_eq!(up.told(&Takers::default()), [""; 0]);
        let one = decide(&up, &plan, &["a"]);
        assert_eq!(takes(&one), [false, true]);
        assert_eq!(one.told(&up), ["service web: node a is down"]);
        let none = decide(&one, &plan, &["a", "b"]);
        assert_eq!(takes(&none), [false, false]);
        assert_eq!(
            none.told(&one),
            [
                "service web: node b is down",
                "service web: no node is up; new flows are refused"
            ]
        );
        let again = decide(&none, &plan, &["b"]);
        assert_eq!(
            again.told(&none),
            ["service web: node a is up", "service web is served again"]
        );
    }

    #[test]
    fn with_on_all_down_last_the_last_that_was_up_stays_however_often_it_is_decided() {
        let plan = plan("[health]\non_all_down = \"last\"\n");
        let one = decide(&Takers::default(), &plan, &["a"]);
        let mut none = decide(&one, &plan, &["a", "b"]);
        assert_eq!(
            none.told(&one)[1],
            "service web: no node is up; new flows go to the last that were"
        );
        for _ in 0..3 {
            assert_eq!(takes(&none), [false, true]);
            none = decide(&none, &plan, &["a", "b"]);
        }
    }
}
