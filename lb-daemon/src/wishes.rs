//! What the administrator wants of the nodes, as said on the command line (pure).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    node_state::Wanted,
    plan::{Plan, PlannedService},
};

/// What is wanted of each node that was ever spoken of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Wishes(BTreeMap<String, OfNode>);

/// What is wanted of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct OfNode {
    /// For every service that nothing else is said of.
    #[serde(default)]
    everywhere: Wanted,
    /// For some services.
    #[serde(default)]
    services: BTreeMap<String, Wanted>,
}

/// A wish that concerns nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// There is no such node.
    #[error("there is no node \"{0}\"; the nodes are {1}")]
    Node(String, String),
    /// There is no such service.
    #[error("there is no service \"{0}\"; the services are {1}")]
    Service(String, String),
    /// The node is not behind that service.
    #[error("node \"{0}\" is not behind service \"{1}\"; it is behind {2}")]
    NotBehind(String, String, String),
}

impl Wishes {
    /// What is wanted of a node of a service.
    pub fn of(&self, service: &str, node: &str) -> Wanted {
        let own = self.0.get(node);
        own.map_or(Wanted::default(), |own| {
            own.services.get(service).copied().unwrap_or(own.everywhere)
        })
    }

    /// Wants something of a node: of one service, or of all. What was said of single services before
    /// does not hold any more when all are spoken of.
    ///
    /// # Errors
    ///
    /// That `plan` has no such node or service.
    pub fn want(
        &mut self,
        plan: &Plan,
        node: &str,
        service: Option<&str>,
        wanted: Wanted,
    ) -> Result<(), Unknown> {
        check(plan, node, service)?;
        let own = self.0.entry(node.to_owned()).or_default();
        match service {
            Some(service) => drop(own.services.insert(service.to_owned(), wanted)),
            None => {
                *own = OfNode {
                    everywhere: wanted,
                    services: BTreeMap::new(),
                }
            }
        }
        self.tidy();
        Ok(())
    }

    /// Forgets what `plan` does not have: who comes back later is wanted like any other.
    pub fn retain(&mut self, plan: &Plan) {
        self.0.retain(|node, own| {
            own.services
                .retain(|service, _| check(plan, node, Some(service)).is_ok());
            check(plan, node, None).is_ok()
        });
        self.tidy();
    }

    /// Forgets what says nothing.
    fn tidy(&mut self) {
        self.0.retain(|_, own| {
            let everywhere = own.everywhere;
            own.services.retain(|_, wanted| *wanted != everywhere);
            everywhere != Wanted::Enabled || !own.services.is_empty()
        });
    }
}

fn check(plan: &Plan, node: &str, service: Option<&str>) -> Result<(), Unknown> {
    let is_behind =
        |planned: &PlannedService| planned.nodes.iter().any(|planned| planned.name == node);
    let behind: Vec<&str> = plan
        .services
        .iter()
        .filter(|planned| is_behind(planned))
        .map(|planned| planned.name.as_str())
        .collect();
    if behind.is_empty() {
        let nodes = plan.services.iter().flat_map(|service| &service.nodes);
        let mut nodes: Vec<&str> = nodes.map(|node| node.name.as_str()).collect();
        nodes.sort_unstable();
        nodes.dedup();
        return Err(Unknown::Node(node.to_owned(), nodes.join(", ")));
    }
    let Some(service) = service else {
        return Ok(());
    };
    if plan.services.iter().all(|planned| planned.name != service) {
        let services = plan.services.iter().map(|service| service.name.as_str());
        let services: Vec<&str> = services.collect();
        return Err(Unknown::Service(service.to_owned(), services.join(", ")));
    }
    if !behind.contains(&service) {
        let (node, service) = (node.to_owned(), service.to_owned());
        return Err(Unknown::NotBehind(node, service, behind.join(", ")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn plan() -> Plan {
        let example = include_str!("../../config/edgelb.toml");
        Plan::of(&Config::parse(example).expect("the example is right"))
    }

    #[test]
    fn the_more_special_wish_holds_until_the_general_one_is_said_anew() {
        use Wanted::{Disabled, Draining, Enabled};
        let (plan, mut wishes) = (plan(), Wishes::default());
        let both =
            |wishes: &Wishes| ["access-443", "av-443"].map(|service| wishes.of(service, "edge1"));
        for (service, wanted, then) in [
            (None, Disabled, [Disabled, Disabled]),
            (Some("access-443"), Enabled, [Enabled, Disabled]),
            (Some("av-443"), Draining, [Enabled, Draining]),
            (None, Draining, [Draining, Draining]),
            (None, Enabled, [Enabled, Enabled]),
        ] {
            wishes.want(&plan, "edge1", service, wanted).expect("known");
            assert_eq!(both(&wishes), then, "{service:?} {wanted:?}");
            assert_eq!(wishes.of("access-443", "edge2"), Enabled);
        }
        assert_eq!(wishes, Wishes::default());
    }

    #[test]
    fn who_is_unknown_is_named_with_those_who_are_known() {
        let (plan, mut wishes) = (plan(), Wishes::default());
        for (node, service, error) in [
            (
                "edge3",
                None,
                "there is no node \"edge3\"; the nodes are a, b, edge1, edge2",
            ),
            (
                "a",
                Some("sip"),
                "there is no service \"sip\"; the services are access-443, ",
            ),
            (
                "a",
                Some("av-443"),
                "node \"a\" is not behind service \"av-443\"; it is behind sip-tls",
            ),
        ] {
            let refused = wishes.want(&plan, node, service, Wanted::Disabled);
            let text = refused.expect_err("it is unknown").to_string();
            assert!(text.starts_with(error), "{text}");
        }
        assert_eq!(wishes, Wishes::default());
    }

    #[test]
    fn wishes_outlive_their_way_through_a_file_and_not_their_node() {
        let (mut plan, mut wishes) = (plan(), Wishes::default());
        for (node, service) in [("edge1", None), ("edge2", Some("av-443")), ("a", None)] {
            wishes
                .want(&plan, node, service, Wanted::Draining)
                .expect("known");
        }
        let text = serde_json::to_string(&wishes).expect("JSON");
        let mut read: Wishes = serde_json::from_str(&text).expect("JSON");
        assert_eq!(read, wishes);

        plan.services.retain(|service| service.name == "access-443");
        read.retain(&plan);
        assert_eq!(read.of("access-443", "edge1"), Wanted::Draining);
        let text = serde_json::to_string(&read).expect("JSON");
        assert!(!text.contains("edge2") && !text.contains("\"a\""), "{text}");
    }
}
