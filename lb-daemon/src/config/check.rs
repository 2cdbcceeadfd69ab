//! How the values of a configuration fit together, and what an Edge pool asks of them.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
    net::Ipv4Addr,
};

use lb_common::{
    net::{Protocol, Zone},
    service::Treatment,
};

use super::{
    Config, Problem, Role, Service, balancing,
    document::Place,
    health,
    parse::{Located, ServicePlaces},
};

/// Notes everything that does not fit.
pub fn check(located: &Located, problems: &mut Vec<Problem>) {
    internal_networks(located, problems);
    interfaces(located, problems);
    names(located, problems);
    roles(located, problems);
    sides(located, problems);
    addresses(located, problems);
    services(located, problems);
    service_nodes(located, problems);
    purposes(located, problems);
    balancing::check(located, problems);
    health::check(located, problems);
}

/// Says of everything that comes a second time where it came first.
pub fn unique<T: Eq + Hash>(
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

fn internal_networks(located: &Located, problems: &mut Vec<Problem>) {
    let listed = located.internal_networks.iter().cloned();
    unique(listed, problems, |network, first| {
        format!("{network} is {} already", first.key)
    });
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
        .map(|(service, places)| (service.name.clone(), places.name.clone()));
    unique(services, problems, |name, first| {
        format!(
            "{name:?} is {} already; every service needs its own name",
            first.key
        )
    });
    let derived = crate::plan::edge_services(config);
    for (service, places) in config.services.iter().zip(&located.services) {
        if derived.iter().any(|derived| derived.name == service.name) {
            places.name.problem(
                problems,
                format!(
                    "{:?} is the name of a service that follows from [vips]; every service needs its own name",
                    service.name
                ),
            );
        }
    }
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

/// Load balancing is used on both sides or on neither, unless said otherwise.
fn sides(located: &Located, problems: &mut Vec<Problem>) {
    let has = |zone| located.vips.iter().any(|(role, ..)| role.zone() == zone);
    let missing = match (has(Zone::External), has(Zone::Internal)) {
        (true, false) => "only external VIPs; vips.internal is missing",
        (false, true) => "only an internal VIP; vips.access, vips.webconf and vips.av are missing",
        _ => return,
    };
    if !located.config.pool.one_side {
        located.vips_place.problem(
            problems,
            format!(
                "{missing}, and an Edge pool is balanced on both sides or on neither; pool.one_side = true says that one is wanted (H15)"
            ),
        );
    }
}

/// Every address of the pool is used once (H5: one per node and service, and one for the VIP).
fn addresses(located: &Located, problems: &mut Vec<Problem>) {
    let nodes = located.nodes.iter().flat_map(|(_, addresses)| addresses);
    let mut seen: HashMap<Ipv4Addr, (Zone, &Place)> = HashMap::new();
    for (role, address, place) in located.vips.iter().chain(nodes) {
        match seen.get(address) {
            Some((zone, first)) if *zone == role.zone() => place.problem(
                problems,
                format!(
                    "{address} is {} already; every address is used once (H5)",
                    first.key
                ),
            ),
            Some((_, first)) => place.problem(
                problems,
                format!(
                    "{address} is {} already; the internal and the external side are different networks (H13)",
                    first.key
                ),
            ),
            None => {
                seen.insert(*address, (role.zone(), place));
            }
        }
    }
}

fn services(located: &Located, problems: &mut Vec<Problem>) {
    let config = &located.config;
    let listens = config
        .services
        .iter()
        .zip(&located.services)
        .map(|(service, places)| ((service.listen, service.protocol), places.listen.clone()));
    unique(listens, problems, |(listen, protocol), first| {
        format!("{listen}/{} is {} already", protocol.name(), first.key)
    });
    for (service, places) in config.services.iter().zip(&located.services) {
        let (listen, treatment) = (&places.listen, &places.treatment);
        if service.zone == Zone::Internal && config.interfaces.internal.is_empty() {
            listen.problem(
                problems,
                "an internal service needs an internal interface; interfaces.internal lists them",
            );
        }
        if service.treatment == Treatment::Snat && is_media(config, service) {
            treatment.problem(
                problems,
                "\"snat\" is not possible for A/V: STUN and TURN work only when the node sees the client's real address; \"dnat\" is right (H2, H7)",
            );
        }
        unbalanced_ports(config, service, places, problems);
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

/// True for a service on an A/V VIP or to an A/V service of the pool's nodes, on either side.
fn is_media(config: &Config, service: &Service) -> bool {
    let media = |address: Ipv4Addr, port, av: Option<Ipv4Addr>, internal: Option<Ipv4Addr>| {
        Some(address) == av || (Some(address) == internal && matches!(port, 443 | 3478))
    };
    let vips = &config.vips;
    media(
        *service.listen.ip(),
        service.listen.port(),
        vips.av,
        vips.internal,
    ) || service.nodes.iter().any(|to| {
        config.nodes.iter().any(|node| {
            media(
                *to.address.ip(),
                to.address.port(),
                node.addresses.av,
                node.addresses.internal,
            )
        })
    })
}

/// What the internal side asks of each node by itself is not balanced: neither on the internal VIP nor
/// to the nodes' internal addresses.
fn unbalanced_ports(
    config: &Config,
    service: &Service,
    places: &ServicePlaces,
    problems: &mut Vec<Problem>,
) {
    let what = |port| match port {
        8057 => Some("internal Web Conferencing"),
        23_456 => Some("XMPP"),
        4443 => Some("CMS replication"),
        50_001..=50_003 => Some("logging"),
        _ => None,
    };
    if service.protocol != Protocol::Tcp {
        return;
    }
    let asked = |port, place: &Place, problems: &mut Vec<Problem>| {
        if let Some(what) = what(port) {
            place.problem(
                problems,
                format!(
                    "{port}/tcp is never balanced: {what} goes to each node's own internal address (H16)"
                ),
            );
        }
    };
    if Some(*service.listen.ip()) == config.vips.internal && what(service.listen.port()).is_some() {
        asked(service.listen.port(), &places.listen, problems);
        return;
    }
    for (node, place) in service.nodes.iter().zip(&places.nodes) {
        let internal = Some(*node.address.ip());
        if config
            .nodes
            .iter()
            .any(|node| node.addresses.internal == internal)
        {
            asked(node.address.port(), place, problems);
        }
    }
}

/// A node stands behind a service once, by name and by address.
fn service_nodes(located: &Located, problems: &mut Vec<Problem>) {
    for (service, places) in located.config.services.iter().zip(&located.services) {
        let nodes = || service.nodes.iter().zip(places.nodes.iter().cloned());
        let names = nodes().map(|(node, place)| (node.name.clone(), place));
        unique(names, problems, |name, first| {
            format!(
                "the name {name:?} is that of {} already; every node needs its own",
                first.key
            )
        });
        let addresses = nodes().map(|(node, place)| (node.address, place));
        unique(addresses, problems, |address, first| {
            format!(
                "{address} is {} already; a node stands behind a service once",
                first.key
            )
        });
    }
}

/// What `[[services]]` make of an address must be what the rest makes of it: an address is a VIP or a
/// node's, and it is on one side.
fn purposes(located: &Located, problems: &mut Vec<Problem>) {
    let mut known: BTreeMap<Ipv4Addr, (bool, Zone, &str)> = BTreeMap::new();
    for (role, address, place) in &located.vips {
        known
            .entry(*address)
            .or_insert((true, role.zone(), &place.key));
    }
    for (role, address, place) in located.nodes.iter().flat_map(|(_, addresses)| addresses) {
        known
            .entry(*address)
            .or_insert((false, role.zone(), &place.key));
    }
    let services = || located.config.services.iter().zip(&located.services);
    let listens = services()
        .map(|(service, places)| (*service.listen.ip(), true, service.zone, &places.listen));
    let nodes = services().flat_map(|(service, places)| {
        let nodes = service.nodes.iter().zip(&places.nodes);
        nodes.map(|(node, place)| (*node.address.ip(), false, service.zone, place))
    });
    for (address, is_vip, zone, place) in listens.chain(nodes) {
        let (first_is_vip, first_zone, first) =
            *known.entry(address).or_insert((is_vip, zone, &place.key));
        if first_is_vip != is_vip {
            place.problem(
                problems,
                format!("{address} is {first}; an address is either a VIP or a node's"),
            );
        } else if first_zone != zone {
            place.problem(
                problems,
                format!(
                    "{address} is {} ({first}) and the service is {}; nothing passes between the two sides (H13)",
                    first_zone.name(),
                    zone.name()
                ),
            );
        }
    }
}
