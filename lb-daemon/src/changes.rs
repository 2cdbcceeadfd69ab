//! What differs between two plans, told to people (pure).

use std::fmt::Display;

use crate::plan::{Plan, PlannedService};

/// What cannot change while edgelb runs, each with its key and both values.
pub fn fixed(before: &Plan, after: &Plan) -> Vec<String> {
    let limits = [
        (
            "limits.max_flows",
            before.limits.max_flows,
            after.limits.max_flows,
        ),
        (
            "limits.max_half_open",
            before.limits.max_half_open,
            after.limits.max_half_open,
        ),
    ];
    limits
        .into_iter()
        .filter(|(_, before, after)| before != after)
        .map(|(key, before, after)| {
            format!(
                "{key}: {after} is not what edgelb was started with ({before}), and the size of a table cannot change while it is in use; restart edgelb, or leave it at {before}"
            )
        })
        .collect()
}

/// Everything that differs, a line for each.
pub fn told(before: &Plan, after: &Plan) -> Vec<String> {
    let mut told = Vec::new();
    come_and_gone(
        &mut told,
        "interface",
        &texts(&before.interfaces, |interface| {
            format!("{} ({})", interface.name, interface.zone.name())
        }),
        &texts(&after.interfaces, |interface| {
            format!("{} ({})", interface.name, interface.zone.name())
        }),
    );
    come_and_gone(
        &mut told,
        "VIP",
        &texts(&before.vips, |vip| vip.address.to_string()),
        &texts(&after.vips, |vip| vip.address.to_string()),
    );
    services(&mut told, before, after);
    if before.timeouts != after.timeouts {
        told.push("timeouts changed".to_owned());
    }
    let policy = |plan: &Plan| (plan.policy_mode, plan.without_flow);
    if policy(before) != policy(after) || before.node_addresses != after.node_addresses {
        told.push("policy changed".to_owned());
    }
    if before.health != after.health {
        told.push("health checks changed".to_owned());
    }
    if before.limits.snat_ports != after.limits.snat_ports {
        let (before, after) = (&before.limits.snat_ports, &after.limits.snat_ports);
        told.push(format!(
            "limits.snat_ports: {}-{}, was {}-{}",
            after.start(),
            after.end(),
            before.start(),
            before.end()
        ));
    }
    if told.is_empty() && before != after {
        told.push("settings changed that concern no service".to_owned());
    }
    told
}

fn texts<T>(of: &[T], text: impl Fn(&T) -> String) -> Vec<String> {
    of.iter().map(text).collect()
}

fn come_and_gone(told: &mut Vec<String>, what: &str, before: &[String], after: &[String]) {
    for text in after.iter().filter(|text| !before.contains(text)) {
        told.push(format!("{what} {text} added"));
    }
    for text in before.iter().filter(|text| !after.contains(text)) {
        told.push(format!("{what} {text} removed"));
    }
}

/// Services by what clients ask of them; what is the same for many services is told once.
fn services(told: &mut Vec<String>, before: &Plan, after: &Plan) {
    let same = |a: &PlannedService, b: &PlannedService| {
        (a.listen, a.protocol, a.zone) == (b.listen, b.protocol, b.zone)
    };
    let text = |service: &PlannedService| {
        let (name, listen, protocol) = (&service.name, service.listen, service.protocol.name());
        format!("{name} ({listen}/{protocol})")
    };
    let mut nodes = Grouped::default();
    for service in &after.services {
        match before.services.iter().find(|known| same(known, service)) {
            None => told.push(format!("service {} added", text(service))),
            Some(known) => {
                if known.treatment != service.treatment {
                    told.push(format!(
                        "service {}: treatment {}, was {}",
                        text(service),
                        service.treatment.name(),
                        known.treatment.name()
                    ));
                }
                if known.balancing != service.balancing {
                    told.push(format!(
                        "service {}: {}, was {}",
                        text(service),
                        service.balancing,
                        known.balancing
                    ));
                }
                changed_nodes(&mut nodes, known, service);
            }
        }
    }
    for service in &before.services {
        if !after.services.iter().any(|kept| same(kept, service)) {
            told.push(format!("service {} removed", text(service)));
        }
    }
    told.extend(nodes.lines());
}

fn changed_nodes(changes: &mut Grouped, before: &PlannedService, after: &PlannedService) {
    for node in &after.nodes {
        let known = before
            .nodes
            .iter()
            .find(|known| known.address == node.address);
        match known {
            None => changes.add(format!("node {} added", node.name), &after.name),
            Some(known) if known.weight != node.weight => changes.add(
                format!(
                    "node {}: weight {}, was {}",
                    node.name, node.weight, known.weight
                ),
                &after.name,
            ),
            Some(_) => {}
        }
    }
    for node in &before.nodes {
        if !after.nodes.iter().any(|kept| kept.address == node.address) {
            changes.add(format!("node {} removed", node.name), &after.name);
        }
    }
}

/// Changes, and the services that they concern.
#[derive(Default)]
struct Grouped(Vec<(String, Vec<String>)>);

impl Grouped {
    fn add(&mut self, change: String, service: impl Display) {
        let service = service.to_string();
        match self.0.iter_mut().find(|(known, _)| *known == change) {
            Some((_, services)) => services.push(service),
            None => self.0.push((change, vec![service])),
        }
    }

    fn lines(self) -> impl Iterator<Item = String> {
        let lines = self.0.into_iter();
        lines.map(|(change, services)| format!("{change} ({})", services.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const EXAMPLE: &str = include_str!("../../config/edgelb.toml");

    fn plan(text: &str) -> Plan {
        Plan::of(&Config::parse(text).expect("the test's configuration is right"))
    }

    #[test]
    fn every_change_is_told_once() {
        let before = plan(EXAMPLE);
        assert_eq!(told(&before, &before), Vec::<String>::new());
        for (from, to, wanted) in [
            (
                "{ name = \"b\", address = \"203.0.113.42:5061\", weight = 100 }",
                "{ name = \"c\", address = \"203.0.113.43:5061\", weight = 100 }",
                vec!["node c added (sip-tls)", "node b removed (sip-tls)"],
            ),
            (
                "{ name = \"b\", address = \"203.0.113.42:5061\", weight = 100 }",
                "{ name = \"b\", address = \"203.0.113.42:5061\", weight = 50 }",
                vec!["node b: weight 50, was 100 (sip-tls)"],
            ),
            (
                "203.0.113.40:5061/tcp",
                "203.0.113.50:5061/tcp",
                vec![
                    "VIP 203.0.113.50 added",
                    "VIP 203.0.113.40 removed",
                    "service sip-tls (203.0.113.50:5061/tcp) added",
                    "service sip-tls (203.0.113.40:5061/tcp) removed",
                ],
            ),
            (
                "external = [\"ext0\"]",
                "external = [\"ext0\", \"ext1\"]",
                vec!["interface ext1 (external) added"],
            ),
            (
                "treatment = \"snat\"",
                "treatment = \"dnat\"",
                vec!["service sip-tls (203.0.113.40:5061/tcp): treatment dnat, was snat"],
            ),
            (
                "udp             = \"2m\"",
                "udp = 90",
                vec!["timeouts changed"],
            ),
            (
                "\"1024-64511\"",
                "\"2000-2999\"",
                vec!["limits.snat_ports: 2000-2999, was 1024-64511"],
            ),
            (
                "name = \"edge\" ",
                "name = \"other\" ",
                vec!["settings changed that concern no service"],
            ),
        ] {
            let changed = EXAMPLE.replacen(from, to, 1);
            assert_ne!(changed, EXAMPLE, "{from}");
            assert_eq!(told(&before, &plan(&changed)), wanted);
        }
    }

    #[test]
    fn a_node_of_the_pool_is_told_once_for_all_its_services() {
        let before = plan(EXAMPLE);
        let changed = EXAMPLE.replacen("weight   = 100 ", "weight = 10 ", 1);
        let told = told(&before, &plan(&changed));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("node edge1: weight 10, was 100 (access-443, access-5061"));
    }

    #[test]
    fn table_sizes_are_fixed_and_named() {
        let before = plan(EXAMPLE);
        assert_eq!(fixed(&before, &before), Vec::<String>::new());
        for (from, to, key) in [
            ("= 262144", "= 1000", "limits.max_flows: 1000"),
            ("= 65536", "= 1000", "limits.max_half_open: 1000"),
        ] {
            let refused = fixed(&before, &plan(&EXAMPLE.replacen(from, to, 1)));
            assert_eq!(refused.len(), 1);
            assert!(refused[0].starts_with(key), "{refused:?}");
        }
    }
}
