//! Who is asked what, as it follows from the plan (pure).

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use lb_common::net::{Protocol, Zone};

use super::verdict::Thresholds;
use crate::{
    config::{Check, Settings, Tls},
    node_state::{OnAllDown, OnNodeDown},
    plan::{Plan, PlannedService},
};

/// What a target is known by: its service and node, by their names in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Name of the service.
    pub service: String,
    /// Name of the node.
    pub node: String,
}

/// A node of a service, to be asked again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What it is known by.
    pub key: Key,
    /// Where it is asked.
    pub address: SocketAddrV4,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The VIP of the service: whom the node knows as its client.
    pub vip: Ipv4Addr,
    /// The side; checks leave by no interface of the other (H13).
    pub zone: Zone,
    /// How it is asked; never [`Check::None`].
    pub check: Check,
    /// From the beginning of one check to that of the next.
    pub interval: Duration,
    /// How long a check may take.
    pub timeout: Duration,
    /// What it takes to change the verdict.
    pub thresholds: Thresholds,
}

/// Everyone who is asked.
pub fn targets(plan: &Plan) -> Vec<Target> {
    if !plan.health.enabled {
        return Vec::new();
    }
    let mut targets = Vec::new();
    for service in &plan.services {
        let check = check(plan, service);
        if check == Check::None {
            continue;
        }
        let settings = settings(plan, service);
        targets.extend(service.nodes.iter().map(|node| Target {
            key: Key {
                service: service.name.clone(),
                node: node.name.clone(),
            },
            address: node.address,
            protocol: service.protocol,
            vip: *service.listen.ip(),
            zone: service.zone,
            check: check.clone(),
            interval: settings.interval,
            timeout: settings.timeout,
            thresholds: Thresholds {
                rise: settings.rise,
                fall: settings.fall,
                calm: settings.calm,
            },
        }));
    }
    targets
}

/// How the nodes of a service are asked.
pub fn check(plan: &Plan, service: &PlannedService) -> Check {
    let own = plan.health.of(&service.name);
    own.and_then(|own| own.check.clone())
        .unwrap_or_else(|| default_check(service))
}

/// How often the nodes of a service are asked, and what follows.
pub fn settings(plan: &Plan, service: &PlannedService) -> Settings {
    let own = plan.health.of(&service.name);
    own.map_or(plan.health.general, |own| own.settings)
}

/// What happens to new flows of a service when no node is up.
pub fn on_all_down(plan: &Plan, service: &PlannedService) -> OnAllDown {
    settings(plan, service).on_all_down
}

/// What happens to the TCP flows of a node of a service that goes down.
pub fn on_node_down(plan: &Plan, service: &PlannedService) -> OnNodeDown {
    settings(plan, service).on_node_down
}

/// How long clients with source-ip affinity stay with a node of a service that drains.
pub fn drain_timeout(plan: &Plan, service: &PlannedService) -> Duration {
    settings(plan, service).drain_timeout
}

/// How the nodes of a service are asked where nothing is said: those of an Edge pool in the way of the
/// row that asks for the service, others by a connection where there is such a thing.
pub fn default_check(service: &PlannedService) -> Check {
    match (service.row, service.protocol) {
        (Some("EV3" | "EV4" | "EV6" | "IV1" | "IV3"), _) => Check::Tls(Tls::default()),
        (Some("EV7" | "EV8" | "IV4" | "IV5"), _) => Check::MsTurn,
        (_, Protocol::Tcp) => Check::Tcp,
        (_, Protocol::Udp) => Check::None,
    }
}

/// The service that the nodes of `of` must be healthy for as well, and its place in `services`.
pub fn gate_of(plan: &Plan, of: &PlannedService) -> Option<usize> {
    let wanted = plan.health.of(&of.name)?.gate.as_deref()?;
    gate(&plan.services, of, wanted).ok()
}

/// Finds the gate of a service by its name, or by its port among those of the same side: the one that
/// has every node of the service, and of several the one on the same VIP.
///
/// # Errors
///
/// Why there is none, for people.
pub fn gate(
    services: &[PlannedService],
    of: &PlannedService,
    wanted: &str,
) -> Result<usize, String> {
    if of.name == wanted {
        return Err(format!(
            "{wanted} is the service itself; a gate is another one"
        ));
    }
    let all = || services.iter().enumerate();
    let by_name: Vec<_> = all()
        .filter(|(_, service)| service.name == wanted)
        .collect();
    let by_port = all().filter(|(_, service)| {
        service.zone == of.zone
            && service.name != of.name
            && wanted.parse() == Ok(service.listen.port())
    });
    let candidates = if by_name.is_empty() {
        by_port.collect()
    } else {
        by_name
    };
    let Some((_, first)) = candidates.first() else {
        return Err(format!(
            "there is no other service {wanted:?} on the {} side",
            of.zone.name()
        ));
    };
    if let Some(node) = missing(first, of)
        && candidates.len() == 1
    {
        return Err(format!(
            "node {node:?} does not stand behind {}; a gate has every node of {}",
            first.name, of.name
        ));
    }
    let mut complete = candidates.clone();
    complete.retain(|(_, service)| missing(service, of).is_none());
    let of_the_vip = complete
        .iter()
        .find(|(_, service)| service.listen.ip() == of.listen.ip());
    match (of_the_vip, &*complete) {
        (Some((index, _)), _) | (None, [(index, _)]) => Ok(*index),
        (None, complete) => {
            let names: Vec<&str> = candidates
                .iter()
                .map(|(_, service)| &*service.name)
                .collect();
            let names = names.join(" and ");
            Err(if complete.is_empty() {
                format!(
                    "{names} listen on port {wanted}, and none has every node of {}",
                    of.name
                )
            } else {
                format!("{names} listen on port {wanted}; the name of one of them is right")
            })
        }
    }
}

/// A node of a service that does not stand behind another.
fn missing<'a>(gate: &PlannedService, of: &'a PlannedService) -> Option<&'a str> {
    let mut nodes = of.nodes.iter().map(|node| &*node.name);
    nodes.find(|name| gate.nodes.iter().all(|known| known.name != *name))
}
