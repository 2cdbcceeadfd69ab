//! Until when clients with source-ip affinity stay with nodes that drain (pure).

use std::{collections::BTreeMap, time::Duration};

use lb_common::service::Choice;
use serde::{Deserialize, Serialize};

use crate::{
    clock::Moment,
    health::target::drain_timeout,
    node_state::Wanted,
    plan::{Plan, PlannedNode, PlannedService},
    wishes::Wishes,
};

/// What the next daemon is to know: the second of the wall clock, by the names of service and node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Deadlines(BTreeMap<String, BTreeMap<String, u64>>);

/// The nodes of services with source-ip affinity that drain and still have the new flows of the clients
/// that were with them, by the names of service and node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drains(BTreeMap<(String, String), Moment>);

impl Drains {
    /// As an earlier daemon has left them. Who was to stay for longer than it takes now (the wall clock
    /// was set back, or the configuration changed) stays no longer than that.
    pub fn recover(deadlines: &Deadlines, plan: &Plan, now: Moment) -> Self {
        let mut drains = Self::default();
        for (service, nodes) in &deadlines.0 {
            let mut planned = plan.services.iter();
            let Some(planned) = planned.find(|planned| planned.name == *service) else {
                continue;
            };
            let longest = drain_timeout(plan, planned);
            for (node, until) in nodes {
                let left = Duration::from_secs(until.saturating_sub(now.wall));
                let until = now.after(left.min(longest));
                drains.0.insert((service.clone(), node.clone()), until);
            }
        }
        drains
    }

    /// For the next daemon.
    pub fn deadlines(&self) -> Deadlines {
        let mut deadlines = Deadlines::default();
        for ((service, node), until) in &self.0 {
            let nodes = deadlines.0.entry(service.clone()).or_default();
            nodes.insert(node.clone(), until.wall);
        }
        deadlines
    }

    /// Notes which nodes begin to drain. Those that drain already get no more time.
    pub fn begin(&mut self, plan: &Plan, before: &Wishes, after: &Wishes, now: Moment) {
        for service in plan.services.iter().filter(|service| is_affine(service)) {
            let timeout = drain_timeout(plan, service);
            for node in &service.nodes {
                let drains =
                    |wishes: &Wishes| wishes.of(&service.name, &node.name) == Wanted::Draining;
                if drains(after) && !drains(before) && !timeout.is_zero() {
                    let name = (service.name.clone(), node.name.clone());
                    self.0.insert(name, now.after(timeout));
                }
            }
        }
    }

    /// Lets go of those whose time is up, that are not to drain any more, that are not `healthy`, or that
    /// `plan` does not have.
    pub fn retain(
        &mut self,
        plan: &Plan,
        wishes: &Wishes,
        healthy: impl Fn(&PlannedService, &PlannedNode) -> bool,
        now: Moment,
    ) {
        self.0.retain(|(service, node), until| {
            let mut services = plan.services.iter().filter(|planned| is_affine(planned));
            let service = services.find(|planned| planned.name == *service);
            let planned = service.and_then(|service| {
                let mut nodes = service.nodes.iter();
                Some((service, nodes.find(|planned| planned.name == *node)?))
            });
            planned.is_some_and(|(service, node)| {
                now.monotonic < until.monotonic
                    && wishes.of(&service.name, &node.name) == Wanted::Draining
                    && healthy(service, node)
            })
        });
    }

    /// Whether clients stay with some node of a service.
    pub fn concern(&self, service: &str) -> bool {
        self.0.keys().any(|(own, _)| own == service)
    }

    /// The second of the monotonic clock until which clients stay with a node of a service.
    pub fn until(&self, service: &str, node: &str) -> Option<u32> {
        let until = self.0.get(&(service.to_owned(), node.to_owned()));
        until.map(|until| until.monotonic)
    }

    /// Whether somebody's time is up.
    pub fn is_one_over(&self, now: Moment) -> bool {
        let mut deadlines = self.0.values();
        deadlines.any(|until| until.monotonic <= now.monotonic)
    }

    /// What is different from `before`, a line for each node of each service.
    pub fn told(&self, before: &Self, now: Moment) -> Vec<String> {
        let mut told = Vec::new();
        for ((service, node), until) in &self.0 {
            if before.until(service, node).is_none() {
                let left = until.monotonic.saturating_sub(now.monotonic);
                let left = humantime::format_duration(Duration::from_secs(left.into()));
                told.push(format!(
                    "service {service}: clients of node {node} stay with it for {left}"
                ));
            }
        }
        for (service, node) in before.0.keys() {
            if self.until(service, node).is_none() {
                told.push(format!(
                    "service {service}: clients of node {node} stay with it no longer"
                ));
            }
        }
        told
    }
}

/// Whether all flows of a client reach the same node of a service.
pub fn is_affine(service: &PlannedService) -> bool {
    service.balancing.choice == Choice::Source
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const NOW: Moment = Moment {
        monotonic: 1000,
        wall: 1_700_000_000,
    };

    fn plan(health: &str) -> Plan {
        let text = format!(
            "[pool]\nname = \"p\"\none_side = true\n[interfaces]\nexternal = [\"e\"]\n\
             [vips]\naccess = \"203.0.113.10\"\nav = \"203.0.113.30\"\n\
             [[nodes]]\nname = \"a\"\naccess = \"203.0.113.11\"\nav = \"203.0.113.31\"\n\
             [[nodes]]\nname = \"b\"\naccess = \"203.0.113.12\"\nav = \"203.0.113.32\"\n{health}"
        );
        Plan::of(&Config::parse(&text).unwrap_or_else(|problems| panic!("{problems:?}")))
    }

    fn wishes(plan: &Plan, wanted: &[(&str, Option<&str>, Wanted)]) -> Wishes {
        let mut wishes = Wishes::default();
        for (node, service, wanted) in wanted {
            wishes.want(plan, node, *service, *wanted).expect("known");
        }
        wishes
    }

    /// What begins when these are drained.
    fn begun(plan: &Plan, after: &Wishes) -> Drains {
        let mut drains = Drains::default();
        drains.begin(plan, &Wishes::default(), after, NOW);
        drains
    }

    fn names(drains: &Drains) -> Vec<String> {
        let names = drains.0.keys();
        names
            .map(|(service, node)| format!("{service} {node}"))
            .collect()
    }

    fn later(seconds: u64) -> Moment {
        NOW.after(Duration::from_secs(seconds))
    }

    #[test]
    fn clients_stay_where_they_have_affinity_for_as_long_as_is_said_there() {
        let own = "[health]\ndrain_timeout = \"1m\"\n[[health.services]]\nname = \"av-443\"\n\
                   drain_timeout = 10\n";
        let none = "[health]\ndrain_timeout = 0\n";
        let all = [("a", None, Wanted::Draining)];
        let one = [("b", Some("av-3478"), Wanted::Draining)];
        for (health, wanted, until) in [
            ("", &all, [Some(1300), Some(1300), None]),
            (own, &all, [Some(1060), Some(1010), None]),
            (none, &all, [None, None, None]),
            ("", &one, [None, None, Some(1300)]),
        ] {
            let plan = plan(health);
            let drains = begun(&plan, &wishes(&plan, wanted));
            let found = [("av-3478", "a"), ("av-443", "a"), ("av-3478", "b")];
            let found = found.map(|(service, node)| drains.until(service, node));
            assert_eq!(found, until, "{health}");
            // The Access services have no affinity.
            assert!(!drains.concern("access-443"));
            assert_eq!(drains.concern("av-3478"), until[0].or(until[2]).is_some());
        }
    }

    #[test]
    fn who_drains_already_gets_no_more_time() {
        let plan = plan("");
        let draining = wishes(&plan, &[("a", None, Wanted::Draining)]);
        let mut drains = begun(&plan, &draining);
        let before = drains.clone();
        drains.begin(&plan, &draining, &draining, later(60));
        assert_eq!(drains, before);
        assert_eq!(drains.told(&before, NOW), [""; 0]);
    }

    #[test]
    fn they_stay_until_something_ends_it() {
        use Wanted::{Disabled, Draining, Enabled};
        let plan = plan("");
        let draining = wishes(&plan, &[("a", None, Draining)]);
        let both = ["av-3478 a", "av-443 a"];
        let hash = self::plan("[balancing]\naffinity = \"none\"\n");
        let said = |wanted| wishes(&plan, &[("a", None, wanted)]);
        let av_443 = wishes(
            &plan,
            &[("a", None, Draining), ("a", Some("av-443"), Enabled)],
        );
        for (then, wishes, healthy, after, left) in [
            (&plan, &draining, true, 299, &both[..]),
            (&plan, &draining, true, 300, &[]),
            (&plan, &said(Enabled), true, 1, &[]),
            (&plan, &said(Disabled), true, 1, &[]),
            (&plan, &av_443, true, 1, &both[..1]),
            (&plan, &draining, false, 1, &both[..1]),
            (&hash, &draining, true, 1, &[]),
        ] {
            let mut drains = begun(&plan, &draining);
            // Only A/V on 443 is ever ill.
            let health =
                |service: &PlannedService, _: &PlannedNode| healthy || service.name != "av-443";
            drains.retain(then, wishes, health, later(after));
            assert_eq!(names(&drains), left, "{healthy} {after}");
        }
        let drains = begun(&plan, &draining);
        assert!(!drains.is_one_over(later(299)) && drains.is_one_over(later(300)));
    }

    #[test]
    fn what_changes_is_told() {
        let plan = plan("");
        let service = [("a", Some("av-443"), Wanted::Draining)];
        let drains = begun(&plan, &wishes(&plan, &service));
        assert_eq!(
            drains.told(&Drains::default(), NOW),
            ["service av-443: clients of node a stay with it for 5m"]
        );
        assert_eq!(
            Drains::default().told(&drains, NOW),
            ["service av-443: clients of node a stay with it no longer"]
        );
    }

    #[test]
    fn the_next_daemon_goes_on_with_what_is_left() {
        let plan = plan("");
        let draining = wishes(&plan, &[("a", None, Wanted::Draining)]);
        let text = serde_json::to_string(&begun(&plan, &draining).deadlines()).expect("JSON");
        let deadlines: Deadlines = serde_json::from_str(&text).expect("JSON");
        // 100 s later by the wall clock; the other one began anew with the machine.
        let wall = NOW.wall + 100;
        let now = Moment {
            monotonic: 20,
            wall,
        };
        let drains = Drains::recover(&deadlines, &plan, now);
        assert_eq!(drains.until("av-443", "a"), Some(220));
        assert_eq!(drains.deadlines(), deadlines);
        // The wall clock was an hour ahead: nobody stays for longer than five minutes.
        let back = Moment {
            wall: NOW.wall - 3600,
            ..now
        };
        let drains = Drains::recover(&deadlines, &plan, back);
        assert_eq!(drains.until("av-443", "a"), Some(320));
        // Long over.
        let mut drains = Drains::recover(&deadlines, &plan, later(3600));
        drains.retain(&plan, &draining, |_, _| true, later(3600));
        assert_eq!(drains, Drains::default());
    }
}
