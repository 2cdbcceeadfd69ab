//! How the values of a configuration fit together, and what an Edge pool asks of them.

use std::{collections::HashMap, hash::Hash};

use lb_common::{net::Zone, service::Treatment};

use super::{Problem, Role, document::Place, parse::Located};

/// Notes everything that does not fit.
pub fn check(located: &Located, problems: &mut Vec<Problem>) {
    interfaces(located, problems);
    names(located, problems);
    roles(located, problems);
    addresses(located, problems);
    services(located, problems);
}

/// Says of everything that comes a second time where it came first.
fn unique<T: Eq + Hash>(
    things: impl Iterator<Item = (T, Place)>,
    problems: &mut Vec<Problem>,
    message: impl Fn(&T, &Place) -> String,
) {
    let mut seen: HashMap<T, Place> = HashMap::new();
    for (thing, place) in things {
        match seen.get(&thing) {
            Some(first) => place.problem(problems, message(&thing, first)),
            None => {
                seen.insert(thing, place);
            }
        }
    }
}

fn interfaces(located: &Located, problems: &mut Vec<Problem>) {
    let listed = located.interfaces.iter().cloned();
    unique(listed, problems, |name, first| {
        format!(
            "{name:?} is {} already; an interface is named once and is on one side (H13)",
            first.key
        )
    });
}

fn names(located: &Located, problems: &mut Vec<Problem>) {
    let config = &located.config;
    let nodes = config
        .nodes
        .iter()
        .zip(&located.nodes)
        .map(|(node, (place, _))| (node.name.clone(), place.clone()));
    unique(nodes, problems, |name, first| {
        format!(
            "the name {name:?} is that of {} already; every node needs its own",
            first.key
        )
    });
    let services = config
        .services
        .iter()
        .zip(&located.services)
        .map(|(service, (place, _))| (service.name.clone(), place.clone()));
    unique(services, problems, |name, first| {
        format!(
            "a service named {name:?} is there already ({}); every service needs its own name",
            first.key
        )
    });
}

/// A node has an address for every VIP, and no other.
fn roles(located: &Located, problems: &mut Vec<Problem>) {
    let config = &located.config;
    if located.vips.is_empty() && config.services.is_empty() {
        located.vips_place.problem(
            problems,
            "nothing to balance; [vips] with [[nodes]], or [[services]], says what",
        );
    }
    if !located.vips.is_empty() && config.nodes.is_empty() {
        located.vips_place.problem(
            problems,
            "VIPs without a node; [[nodes]] lists the Edge Servers",
        );
    }
    for (role, _, place) in &located.vips {
        if role.zone() == Zone::Internal && config.interfaces.internal.is_empty() {
            place.problem(
                problems,
                "an internal VIP needs an internal interface; interfaces.internal lists them",
            );
        }
    }
    for (node, (place, addresses)) in config.nodes.iter().zip(&located.nodes) {
        for role in Role::ALL {
            let address = addresses.iter().find(|(known, ..)| *known == role);
            match (config.vips.get(role), address) {
                (Some(vip), None) => Place {
                    line: place.line,
                    key: format!("{}.{}", place.key, role.name()),
                }
                .problem(
                    problems,
                    format!(
                        "missing; node {:?} needs an address of its own for the {} VIP {vip} (H5)",
                        node.name,
                        role.name()
                    ),
                ),
                (None, Some((_, address, place))) => place.problem(
                    problems,
                    format!("{address} is for no VIP; vips.{} is missing", role.name()),
                ),
                _ => {}
            }
        }
    }
}

/// Every address of the pool is used once (H5: one per node and service, and one for the VIP).
fn addresses(located: &Located, problems: &mut Vec<Problem>) {
    let vips = located
        .vips
        .iter()
        .map(|(_, address, place)| (*address, place.clone()));
    let nodes = located
        .nodes
        .iter()
        .flat_map(|(_, addresses)| addresses)
        .map(|(_, address, place)| (*address, place.clone()));
    unique(vips.chain(nodes), problems, |address, first| {
        format!(
            "{address} is {} already; every address is used once (H5)",
            first.key
        )
    });
}

fn services(located: &Located, problems: &mut Vec<Problem>) {
    let config = &located.config;
    let listens = config
        .services
        .iter()
        .zip(&located.services)
        .map(|(service, (place, _))| ((service.listen, service.protocol), place.clone()));
    unique(listens, problems, |(listen, protocol), first| {
        format!("{listen}/{} is {} already", protocol.name(), first.key)
    });
    for (service, (listen, treatment)) in config.services.iter().zip(&located.services) {
        if service.zone == Zone::Internal && config.interfaces.internal.is_empty() {
            listen.problem(
                problems,
                "an internal service needs an internal interface; interfaces.internal lists them",
            );
        }
        let vip = Some(*service.listen.ip());
        let of_node = located
            .nodes
            .iter()
            .flat_map(|(_, addresses)| addresses)
            .find(|(_, address, _)| Some(*address) == vip);
        if let Some((_, address, place)) = of_node {
            listen.problem(
                problems,
                format!(
                    "{address} is {}; a VIP is no address of a node (H5)",
                    place.key
                ),
            );
        }
        let media = vip == config.vips.av
            || (vip == config.vips.internal && matches!(service.listen.port(), 443 | 3478));
        if media && service.treatment == Treatment::Snat {
            treatment.problem(
                problems,
                "\"snat\" is not possible for A/V: STUN and TURN work only when the node sees the client's real address; \"dnat\" is right (H2, H7)",
            );
        }
        let derived = crate::plan::edge_services(config)
            .into_iter()
            .find(|derived| {
                derived.listen == service.listen && derived.protocol == service.protocol
            });
        if let Some(derived) = derived {
            listen.problem(
                problems,
                format!(
                    "{}/{} is the service {} that follows from [vips] already",
                    service.listen,
                    service.protocol.name(),
                    derived.name
                ),
            );
        }
    }
}
