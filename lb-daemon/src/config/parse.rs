//! From text to a [`Config`]: every value by itself. How they fit together is [`super::check`]'s.

use std::{net::Ipv4Addr, time::Duration};

use ipnet::Ipv4Net;
use lb_common::{
    net::Zone,
    service::{FIRST_OWN_PORT, MAX_NODES, Treatment},
};
use toml::de::DeTable;

use super::{
    BalancingConfig, Config, Health, Interfaces, Limits, Node, Policy, Pool, Problem, Role, Roles,
    Service, ServiceNode, Timeouts,
    address::{host_address, listen_address, network, port_range, socket_address},
    balancing,
    document::{Place, Section, Text, Value, syntax_errors},
    health,
    policy::policy,
};

/// A configuration whose values are each right, and where those stand that must fit together.
pub struct Located {
    /// The configuration.
    pub config: Config,
    /// Every internal network and its place; none where the default holds.
    pub internal_networks: Vec<(Ipv4Net, Place)>,
    /// Every interface and its place.
    pub interfaces: Vec<(String, Place)>,
    /// Place of each VIP.
    pub vips: Vec<(Role, Ipv4Addr, Place)>,
    /// Place of `[vips]`, or of the file where there is none.
    pub vips_place: Place,
    /// Place of each node, and of each of its addresses.
    pub nodes: Vec<NodePlaces>,
    /// Places of each service.
    pub services: Vec<ServicePlaces>,
    /// Place of `timeouts.tcp_established`, where it is set.
    pub tcp_established: Option<Place>,
    /// Places of the names in `[[balancing.services]]`.
    pub balancing: Vec<Place>,
    /// Places of each of `[[health.services]]`.
    pub health: Vec<health::Places>,
}

/// Where the parts of one of `[[services]]` stand that must fit with others.
pub struct ServicePlaces {
    pub name: Place,
    pub listen: Place,
    pub treatment: Place,
    /// Of each node, in the order of the configuration.
    pub nodes: Vec<Place>,
}

const NAME: &str = "a name (letters, digits, \"-\", \"_\" and \".\", at most 64)";
const WEIGHT: &str = "a weight; a whole number from 1 to 1000 is";
const ADDRESS: &str =
    "an IPv4 address of a host, such as \"203.0.113.10\" (IPv6 is not served yet)";
const DURATION: &str = "a time in whole seconds from 1s to 7d, such as \"30s\", \"2m\", \"60m\" or a whole number of seconds";

/// Parses `text`; what is wrong goes to `problems`. `None` only where there is a problem.
pub fn parse(text: &str, problems: &mut Vec<Problem>) -> Option<Located> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // What half a file would mean is no help to anybody.
        syntax_errors(text, &errors, problems);
        return None;
    }
    let table = table.into_inner();
    let top = Place {
        line: 1,
        key: String::new(),
    };
    let mut file = Section::new(Text(text), top, table);

    let (pool, internal_networks) = section(&mut file, "pool", problems, pool).unzip();
    let (interfaces, interface_places) =
        section(&mut file, "interfaces", problems, interfaces).unzip();
    let vips_value = file.take("vips");
    let vips_place = vips_value
        .as_ref()
        .map_or_else(|| file.place().clone(), |value| value.place.clone());
    let vips = match vips_value {
        Some(value) => value.section(problems).map(|mut section| {
            let roles = roles(&mut section, problems);
            section.finish(problems);
            roles
        }),
        None => Some(Vec::new()),
    };
    let nodes = tables(&mut file, "nodes", problems, node);
    let services = tables(&mut file, "services", problems, service);
    let policy = match file.take("policy") {
        Some(value) => value.section(problems).and_then(|mut section| {
            let policy = policy(&mut section, problems);
            section.finish(problems);
            policy
        }),
        None => Some(Policy::default()),
    };
    let timeouts = match file.take("timeouts") {
        Some(value) => value
            .section(problems)
            .map(|section| timeouts(section, problems)),
        None => Some((Timeouts::default(), None)),
    };
    let limits = match file.take("limits") {
        Some(value) => value
            .section(problems)
            .map(|section| limits(section, problems)),
        None => Some(Limits::default()),
    };
    let balancing = match file.take("balancing") {
        Some(value) => value
            .section(problems)
            .map(|section| balancing::balancing(section, problems)),
        None => Some((BalancingConfig::default(), Vec::new())),
    };
    let health = match file.take("health") {
        Some(value) => value
            .section(problems)
            .map(|section| health::health(section, problems)),
        None => Some((Health::default(), Vec::new())),
    };
    file.finish(problems);

    let (vips, nodes, services) = (vips?, nodes?, services?);
    let (timeouts, tcp_established) = timeouts?;
    let (health, health_places) = health?;
    let (balancing, balancing_places) = balancing?;
    let (node_configs, node_places): (Vec<Node>, Vec<_>) = nodes.into_iter().unzip();
    let (service_configs, service_places): (Vec<Service>, Vec<_>) = services.into_iter().unzip();
    Some(Located {
        config: Config {
            pool: pool?,
            interfaces: interfaces?,
            vips: of_roles(&vips),
            nodes: node_configs,
            services: service_configs,
            policy: policy?,
            timeouts,
            limits: limits?,
            balancing,
            health,
        },
        internal_networks: internal_networks?,
        interfaces: interface_places?,
        vips,
        vips_place,
        nodes: node_places,
        services: service_places,
        tcp_established,
        balancing: balancing_places,
        health: health_places,
    })
}

/// A section that must be there.
fn section<T>(
    file: &mut Section,
    key: &'static str,
    problems: &mut Vec<Problem>,
    parse: impl FnOnce(&mut Section, &mut Vec<Problem>) -> Option<T>,
) -> Option<T> {
    let value = file.require(key, &format!("a section [{key}]"), problems)?;
    let mut section = value.section(problems)?;
    let parsed = parse(&mut section, problems);
    section.finish(problems);
    parsed
}

/// A list of tables, `[[key]]`, empty where there is none.
fn tables<T>(
    file: &mut Section,
    key: &'static str,
    problems: &mut Vec<Problem>,
    mut parse: impl FnMut(&mut Section, &mut Vec<Problem>) -> Option<T>,
) -> Option<Vec<T>> {
    let Some(value) = file.take(key) else {
        return Some(Vec::new());
    };
    let wanted = format!("a list of tables; [[{key}]] starts each");
    let mut parsed = Vec::new();
    let mut complete = true;
    for value in value.list(&wanted, problems)? {
        let one = value.section(problems).and_then(|mut section| {
            let one = parse(&mut section, problems);
            section.finish(problems);
            one
        });
        complete &= one.is_some();
        parsed.extend(one);
    }
    complete.then_some(parsed)
}

type Networks = Vec<(Ipv4Net, Place)>;

fn pool(section: &mut Section, problems: &mut Vec<Problem>) -> Option<(Pool, Networks)> {
    let name = name(section, problems);
    let xmpp = flag(section, "xmpp", true, problems);
    let one_side = flag(section, "one_side", false, problems);
    let places = match section.take("internal_networks") {
        Some(value) => networks(value, problems).map(Some),
        None => Some(None),
    }?;
    let internal_networks = match &places {
        Some(places) => places.iter().map(|(network, _)| *network).collect(),
        None => private_networks(),
    };
    let pool = Pool {
        name: name?,
        xmpp: xmpp?,
        one_side: one_side?,
        internal_networks,
    };
    Some((pool, places.unwrap_or_default()))
}

/// The networks of RFC 1918, which hardly any organisation goes beyond.
fn private_networks() -> Vec<Ipv4Net> {
    [
        ([10, 0, 0, 0], 8),
        ([172, 16, 0, 0], 12),
        ([192, 168, 0, 0], 16),
    ]
    .into_iter()
    .filter_map(|(address, length)| Ipv4Net::new(address.into(), length).ok())
    .collect()
}

fn networks(value: Value, problems: &mut Vec<Problem>) -> Option<Networks> {
    const LIST: &str = "a list of networks, such as [\"10.0.0.0/8\"]";
    const NETWORK: &str = "an IPv4 network without host bits, such as \"10.0.0.0/8\" (the default route is the Access VIP's)";
    let mut networks = Vec::new();
    let mut complete = true;
    for value in value.list(LIST, problems)? {
        let network = value.parsed(NETWORK, problems, network);
        complete &= network.is_some();
        networks.extend(network.map(|network| (network, value.place)));
    }
    complete.then_some(networks)
}

type Places = Vec<(String, Place)>;

fn interfaces(section: &mut Section, problems: &mut Vec<Problem>) -> Option<(Interfaces, Places)> {
    const LIST: &str = "a list of interface names, such as [\"ext0\"]";
    let mut places = Vec::new();
    let mut names = |value: Value, problems: &mut Vec<Problem>| {
        let mut names = Vec::new();
        let mut complete = true;
        for value in value.list(LIST, problems)? {
            // The kernel's own limit (IFNAMSIZ).
            let name = value.parsed(
                "the name of an interface (1 to 15 characters)",
                problems,
                |text| {
                    let good = (1..=15).contains(&text.len())
                        && !text
                            .contains(|c: char| c == '/' || c.is_whitespace() || c.is_control());
                    good.then(|| text.to_owned())
                },
            );
            complete &= name.is_some();
            if let Some(name) = name {
                places.push((name.clone(), value.place));
                names.push(name);
            }
        }
        complete.then_some(names)
    };
    let external = section
        .require("external", LIST, problems)
        .and_then(|value| {
            let place = value.place.clone();
            let names = names(value, problems)?;
            if names.is_empty() {
                place.problem(
                    problems,
                    "an empty list; at least one external interface is needed",
                );
            }
            Some(names)
        });
    let internal = match section.take("internal") {
        Some(value) => names(value, problems),
        None => Some(Vec::new()),
    };
    let manage_addresses = flag(section, "manage_addresses", true, problems);
    Some((
        Interfaces {
            external: external?,
            internal: internal?,
            manage_addresses: manage_addresses?,
        },
        places,
    ))
}

fn roles(section: &mut Section, problems: &mut Vec<Problem>) -> Vec<(Role, Ipv4Addr, Place)> {
    let mut roles = Vec::new();
    for role in Role::ALL {
        if let Some(value) = section.take(role.name())
            && let Some(address) = value.parsed(ADDRESS, problems, host_address)
        {
            roles.push((role, address, value.place));
        }
    }
    roles
}

fn of_roles(list: &[(Role, Ipv4Addr, Place)]) -> Roles {
    let of = |wanted| {
        list.iter()
            .find(|(role, ..)| *role == wanted)
            .map(|(_, address, _)| *address)
    };
    Roles {
        access: of(Role::Access),
        webconf: of(Role::Webconf),
        av: of(Role::Av),
        internal: of(Role::Internal),
    }
}

type NodePlaces = (Place, Vec<(Role, Ipv4Addr, Place)>);

fn node(section: &mut Section, problems: &mut Vec<Problem>) -> Option<(Node, NodePlaces)> {
    let name = name(section, problems);
    let addresses = roles(section, problems);
    let weight = weight(section, problems);
    let node = Node {
        name: name?,
        addresses: of_roles(&addresses),
        weight: weight?,
    };
    Some((node, (section.place().clone(), addresses)))
}

fn service(section: &mut Section, problems: &mut Vec<Problem>) -> Option<(Service, ServicePlaces)> {
    let name = located_name(section, problems);
    let listen = section.require(
        "listen",
        "an address such as \"203.0.113.40:5061/tcp\"",
        problems,
    );
    let listen_place = listen
        .as_ref()
        .map_or_else(|| section.place().clone(), |value| value.place.clone());
    let listen = listen.and_then(|value| {
        if let Some((socket, _)) = value.text().and_then(listen_address)
            && socket.port() >= FIRST_OWN_PORT
        {
            value.place.problem(problems, format!(
                "port {} is kept for the health checks of this machine ({FIRST_OWN_PORT} and up); a port from 1 to {} is right",
                socket.port(),
                FIRST_OWN_PORT - 1
            ));
            return None;
        }
        value.parsed(
            "address, port and protocol, such as \"203.0.113.40:5061/tcp\" or \"203.0.113.40:3478/udp\"",
            problems,
            listen_address,
        )
    });
    let treatment = section.require("treatment", "\"snat\" or \"dnat\"", problems);
    let treatment_place = treatment
        .as_ref()
        .map_or_else(|| section.place().clone(), |value| value.place.clone());
    let treatment = treatment.and_then(|value| {
        if value.text() == Some("dsr") {
            value.place.problem(
                problems,
                "\"dsr\" is not possible: the Edge Server does not support it, so replies pass the load balancer on the way back; \"snat\" or \"dnat\" is right (H14)",
            );
            return None;
        }
        value.parsed(
            "a treatment; \"snat\" (the node sees the VIP) and \"dnat\" (the node sees the client) are",
            problems,
            |text| match text {
                "snat" => Some(Treatment::Snat),
                "dnat" => Some(Treatment::Dnat),
                _ => None,
            },
        )
    });
    let zone = match section.take("zone") {
        None => Some(Zone::External),
        Some(value) => value.parsed(
            "a zone; \"external\" and \"internal\" are",
            problems,
            |text| match text {
                "external" => Some(Zone::External),
                "internal" => Some(Zone::Internal),
                _ => None,
            },
        ),
    };
    let nodes = service_nodes(section, problems);
    let (listen, protocol) = listen?;
    let (nodes, node_places) = nodes?.into_iter().unzip();
    let (name, name_place) = name?;
    let service = Service {
        name,
        listen,
        protocol,
        zone: zone?,
        treatment: treatment?,
        nodes,
    };
    let places = ServicePlaces {
        name: name_place,
        listen: listen_place,
        treatment: treatment_place,
        nodes: node_places,
    };
    Some((service, places))
}

/// The nodes of a service, each with its place.
fn service_nodes(
    section: &mut Section,
    problems: &mut Vec<Problem>,
) -> Option<Vec<(ServiceNode, Place)>> {
    section
        .require("nodes", "a list of nodes", problems)
        .and_then(|value| {
            let place = value.place.clone();
            let wanted =
                "a list of nodes, such as [ { name = \"a\", address = \"203.0.113.41:5061\" } ]";
            let mut nodes = Vec::new();
            let mut complete = true;
            for value in value.list(wanted, problems)? {
                let node = value.section(problems).and_then(|mut section| {
                    let node = service_node(&mut section, problems);
                    let place = section.place().clone();
                    section.finish(problems);
                    Some((node?, place))
                });
                complete &= node.is_some();
                nodes.extend(node);
            }
            if !complete {
                return None;
            }
            if nodes.is_empty() || nodes.len() > MAX_NODES as usize {
                place.problem(
                    problems,
                    format!(
                        "{} nodes; 1 to {MAX_NODES} fit behind a service",
                        nodes.len()
                    ),
                );
            }
            Some(nodes)
        })
}

fn service_node(section: &mut Section, problems: &mut Vec<Problem>) -> Option<ServiceNode> {
    let name = name(section, problems);
    let address = section
        .require(
            "address",
            "an address such as \"203.0.113.41:5061\"",
            problems,
        )
        .and_then(|value| {
            value.parsed(
                "address and port of a host, such as \"203.0.113.41:5061\"",
                problems,
                socket_address,
            )
        });
    let weight = weight(section, problems);
    Some(ServiceNode {
        name: name?,
        address: address?,
        weight: weight?,
    })
}

fn timeouts(mut section: Section, problems: &mut Vec<Problem>) -> (Timeouts, Option<Place>) {
    let default = Timeouts::default();
    let mut tcp_established = None;
    let mut duration = |key, default| {
        section
            .take(key)
            .and_then(|value| {
                if key == "tcp_established" {
                    tcp_established = Some(value.place.clone());
                }
                let duration = value
                    .integer()
                    .map(Duration::from_secs)
                    .or_else(|| humantime::parse_duration(value.text()?).ok())
                    .filter(|duration| {
                        // The data path counts whole seconds.
                        duration.subsec_nanos() == 0
                            && (Duration::from_secs(1)..=Duration::from_hours(7 * 24))
                                .contains(duration)
                    });
                if duration.is_none() {
                    value.not(DURATION, problems);
                }
                duration
            })
            .unwrap_or(default)
    };
    let timeouts = Timeouts {
        tcp_established: duration("tcp_established", default.tcp_established),
        tcp_half_open: duration("tcp_half_open", default.tcp_half_open),
        tcp_closing: duration("tcp_closing", default.tcp_closing),
        udp: duration("udp", default.udp),
    };
    section.finish(problems);
    (timeouts, tcp_established)
}

fn limits(mut section: Section, problems: &mut Vec<Problem>) -> Limits {
    let default = Limits::default();
    let mut flows = |key, default: u32, problems: &mut Vec<Problem>| {
        section
            .take(key)
            .and_then(|value| {
                value.number(
                    16..16_777_217,
                    "a number of flows; a whole number from 16 to 16777216 is",
                    problems,
                )
            })
            .and_then(|number| u32::try_from(number).ok())
            .unwrap_or(default)
    };
    let max_flows = flows("max_flows", default.max_flows, problems);
    let max_half_open = flows("max_half_open", default.max_half_open, problems);
    let snat_ports = section.take("snat_ports").and_then(|value| {
        let wanted = format!(
            "a range of ports within 1024-{}, such as \"1024-{}\" ({FIRST_OWN_PORT} and up are for health checks)",
            FIRST_OWN_PORT - 1,
            FIRST_OWN_PORT - 1
        );
        value.parsed(&wanted, problems, port_range)
    });
    let answers_per_second = section
        .take("answers_per_second")
        .and_then(|value| {
            value.number(
                0..1_000_001,
                "a number of answers in a second; a whole number from 0 to 1000000 is",
                problems,
            )
        })
        .and_then(|number| u32::try_from(number).ok());
    section.finish(problems);
    Limits {
        max_flows,
        max_half_open,
        snat_ports: snat_ports.unwrap_or(default.snat_ports),
        answers_per_second: answers_per_second.unwrap_or(default.answers_per_second),
    }
}

fn name(section: &mut Section, problems: &mut Vec<Problem>) -> Option<String> {
    Some(located_name(section, problems)?.0)
}

fn located_name(section: &mut Section, problems: &mut Vec<Problem>) -> Option<(String, Place)> {
    let value = section.require("name", "a name", problems)?;
    let name = value.parsed(NAME, problems, |text| {
        let good = (1..=64).contains(&text.len())
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        good.then(|| text.to_owned())
    })?;
    Some((name, value.place))
}

fn weight(section: &mut Section, problems: &mut Vec<Problem>) -> Option<u16> {
    match section.take("weight") {
        None => Some(100),
        Some(value) => u16::try_from(value.number(1..1001, WEIGHT, problems)?).ok(),
    }
}

fn flag(
    section: &mut Section,
    key: &'static str,
    default: bool,
    problems: &mut Vec<Problem>,
) -> Option<bool> {
    match section.take(key) {
        None => Some(default),
        Some(value) => value.flag(problems),
    }
}
