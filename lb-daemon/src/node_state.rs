//! Whether a node of a service takes new flows (pure): the one place that says so.
//!
//! The health checks say whether it answers, the administrator says whether it is wanted, and
//! `on_all_down` says what happens when nobody is left.

use serde::{Deserialize, Serialize};

/// What the administrator wants of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    /// It takes new flows.
    #[default]
    Enabled,
    /// It takes no new flows and keeps those that it has.
    Draining,
    /// It takes no new flows and keeps none.
    Disabled,
}

/// State of a node of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeState {
    /// It takes new flows.
    Up,
    /// Its health checks fail.
    Down,
    /// It takes no new flows and keeps those that it has, by an administrator's word.
    Draining,
    /// It has no flows at all, by an administrator's word.
    Disabled,
}

impl NodeState {
    /// The state that follows from what the administrator wants and what the checks say. Who is not
    /// wanted is not wanted, in good health or not.
    pub const fn of(wanted: Wanted, healthy: bool) -> Self {
        match (wanted, healthy) {
            (Wanted::Enabled, true) => Self::Up,
            (Wanted::Enabled, false) => Self::Down,
            (Wanted::Draining, _) => Self::Draining,
            (Wanted::Disabled, _) => Self::Disabled,
        }
    }

    /// `up`, `down`, `draining` or `disabled`, as in `edgelb status`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Draining => "draining",
            Self::Disabled => "disabled",
        }
    }
}

/// What happens to new flows when no node of a service is up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnAllDown {
    /// They are refused at once, by a RST or by ICMP "port unreachable": the client tries its next pool
    /// sooner.
    #[default]
    Refuse,
    /// They go to the nodes that were the last to be up: checks may be wrong where nodes are not.
    Last,
}

impl OnAllDown {
    /// `refuse` or `last`, as in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Last => "last",
        }
    }
}

/// What happens to the TCP flows of a node that goes down. Its UDP flows go to other nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnNodeDown {
    /// They are forgotten: the next packet of either side is answered by a RST, and the client connects
    /// anew.
    #[default]
    Reset,
    /// They are left as they are.
    Keep,
}

/// A node of a service when it is decided anew who takes new flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its state now.
    pub state: NodeState,
    /// Whether it took new flows up to now; false for a node that is new.
    pub took: bool,
}

/// Which nodes of a service take new flows, in the order of `nodes`.
///
/// With [`OnAllDown::Last`] and nobody up, it is those of the nodes that are down that took flows up to
/// now, or all that are down where none of these did. A node that is not wanted never takes any.
pub fn takers(nodes: &[Standing], on_all_down: OnAllDown) -> Vec<bool> {
    let pick = |takes: &dyn Fn(&Standing) -> bool| -> Option<Vec<bool>> {
        let picked: Vec<bool> = nodes.iter().map(takes).collect();
        picked.contains(&true).then_some(picked)
    };
    let last = || {
        pick(&|node| node.state == NodeState::Down && node.took)
            .or_else(|| pick(&|node| node.state == NodeState::Down))
            .filter(|_| on_all_down == OnAllDown::Last)
    };
    pick(&|node| node.state == NodeState::Up)
        .or_else(last)
        .unwrap_or_else(|| vec![false; nodes.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each letter a node: `u`p, `d`own, d`r`aining, disabled (`x`); a capital one took flows up to now.
    fn decide(nodes: &str, on_all_down: OnAllDown) -> String {
        let nodes: Vec<Standing> = nodes
            .chars()
            .map(|letter| Standing {
                state: match letter.to_ascii_lowercase() {
                    'u' => NodeState::Up,
                    'd' => NodeState::Down,
                    'r' => NodeState::Draining,
                    _ => NodeState::Disabled,
                },
                took: letter.is_ascii_uppercase(),
            })
            .collect();
        let takers = takers(&nodes, on_all_down);
        takers
            .iter()
            .map(|takes| if *takes { '1' } else { '-' })
            .collect()
    }

    #[test]
    fn only_nodes_that_are_up_take_new_flows_while_one_is() {
        for (nodes, wanted) in [
            ("UU", "11"),
            ("uD", "1-"),
            ("DRXu", "---1"),
            ("dduU", "--11"),
        ] {
            for on_all_down in [OnAllDown::Refuse, OnAllDown::Last] {
                assert_eq!(decide(nodes, on_all_down), wanted, "{nodes}");
            }
        }
    }

    #[test]
    fn with_nobody_up_new_flows_are_refused_or_go_to_the_last() {
        for (nodes, last) in [
            ("DD", "11"),
            ("dD", "-1"),
            // A drained node does not come back because the others fall.
            ("DR", "1-"),
            // The one that took flows is not wanted: the rest may be better than nobody.
            ("ddR", "11-"),
            ("RX", "--"),
            ("", ""),
        ] {
            assert_eq!(decide(nodes, OnAllDown::Last), last, "{nodes}");
            let nobody = "-".repeat(nodes.len());
            assert_eq!(decide(nodes, OnAllDown::Refuse), nobody, "{nodes}");
        }
    }

    #[test]
    fn who_is_not_wanted_is_not_wanted_in_good_health_or_not() {
        for healthy in [true, false] {
            assert_eq!(
                NodeState::of(Wanted::Draining, healthy),
                NodeState::Draining
            );
            assert_eq!(
                NodeState::of(Wanted::Disabled, healthy),
                NodeState::Disabled
            );
        }
        assert_eq!(NodeState::of(Wanted::Enabled, true), NodeState::Up);
        assert_eq!(NodeState::of(Wanted::Enabled, false), NodeState::Down);
    }
}
