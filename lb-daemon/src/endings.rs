//! Whose flows end, and which of them (pure).

use std::collections::BTreeSet;

use lb_common::net::Protocol;

use crate::{
    health::target::on_node_down,
    indexes::Indexes,
    node_state::{NodeState, OnNodeDown},
    plan::Plan,
    takers::Takers,
};

/// The nodes whose flows end, by their cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endings {
    all: BTreeSet<u32>,
    /// Those whose UDP flows end, to be opened anew elsewhere.
    udp: BTreeSet<u32>,
}

impl Endings {
    /// What follows from the states of the nodes. Those that are in no plan any more, and those that are
    /// disabled, keep nothing; a node that is down keeps TCP flows where it is told to, and everything
    /// where it is the last that was up and still has to take new flows.
    pub fn of(plan: &Plan, indexes: &Indexes, takers: &Takers) -> Self {
        let mut endings = Self {
            all: indexes.leaving(),
            udp: BTreeSet::new(),
        };
        for service in &plan.services {
            for node in &service.nodes {
                let Some((cell, _)) = indexes.node(service.into(), node.address) else {
                    continue;
                };
                match takers.state(&service.name, &node.name) {
                    NodeState::Up | NodeState::Draining => {}
                    NodeState::Disabled => drop(endings.all.insert(cell)),
                    NodeState::Down if takers.takes(&service.name, &node.name) => {}
                    NodeState::Down => match on_node_down(plan, service) {
                        OnNodeDown::Reset => drop(endings.all.insert(cell)),
                        OnNodeDown::Keep => drop(endings.udp.insert(cell)),
                    },
                }
            }
        }
        endings
    }

    /// Whether no flow ends.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty() && self.udp.is_empty()
    }

    /// Whether a flow of the node in `cell` ends; `protocol` is its number.
    pub fn ends(&self, cell: u32, protocol: u8) -> bool {
        self.all.contains(&cell) || (protocol == Protocol::Udp as u8 && self.udp.contains(&cell))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const TCP: u8 = Protocol::Tcp as u8;
    const UDP: u8 = Protocol::Udp as u8;

    fn plan(nodes: &str, health: &str) -> Plan {
        let text = format!(
            "[pool]\nname = \"p\"\n[interfaces]\nexternal = [\"e\"]\n[[services]]\nname = \"s\"\n\
             listen = \"203.0.113.1:443/tcp\"\ntreatment = \"snat\"\nnodes = [{nodes}]\n{health}"
        );
        Plan::of(&Config::parse(&text).expect("the test's configuration is right"))
    }

    const A: &str = "{ name = \"a\", address = \"192.0.2.1:443\" }";
    const B: &str = "{ name = \"b\", address = \"192.0.2.2:443\" }";

    /// Which of TCP and UDP end on the first of two nodes when it is in `state`.
    fn ends(state: NodeState, other: NodeState, health: &str) -> (bool, bool) {
        let plan = plan(&format!("{A}, {B}"), health);
        let mut indexes = Indexes::default();
        indexes.assign(&plan).expect("it fits");
        let takers = Takers::default().decide(
            &plan,
            |_, node| {
                if node.name == "a" { state } else { other }
            },
        );
        let endings = Endings::of(&plan, &indexes, &takers);
        (endings.ends(0, TCP), endings.ends(0, UDP))
    }

    #[test]
    fn states_decide_which_flows_end() {
        use NodeState::{Disabled, Down, Draining, Up};
        const KEEP: &str = "[health]\non_node_down = \"keep\"\n";
        const LAST: &str = "[health]\non_all_down = \"last\"\n";
        for (state, other, health, wanted) in [
            (Up, Up, "", (false, false)),
            (Draining, Up, "", (false, false)),
            (Disabled, Up, "", (true, true)),
            (Disabled, Up, KEEP, (true, true)),
            (Down, Up, "", (true, true)),
            (Down, Up, KEEP, (false, true)),
            (Down, Down, "", (true, true)),
            (Down, Down, LAST, (false, false)),
            (Down, Up, LAST, (true, true)),
        ] {
            assert_eq!(
                ends(state, other, health),
                wanted,
                "{state:?} {other:?} {health}"
            );
        }
    }

    #[test]
    fn who_is_in_no_plan_keeps_nothing() {
        let mut indexes = Indexes::default();
        indexes
            .assign(&plan(&format!("{A}, {B}"), ""))
            .expect("it fits");
        let plan = plan(B, "[health]\non_node_down = \"keep\"\n");
        indexes.assign(&plan).expect("it fits");
        let endings = Endings::of(&plan, &indexes, &Takers::default());
        assert!(endings.ends(0, TCP) && endings.ends(0, UDP));
        assert!(!endings.ends(1, TCP) && !endings.ends(1, UDP));
    }
}
