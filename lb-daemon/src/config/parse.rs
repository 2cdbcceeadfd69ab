//! From text to a [`Config`]: every value by itself. How they fit together is [`super::check`]'s.

mod limits;
mod service;

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use toml::de::DeTable;

pub use self::service::ServicePlaces;
use self::{
    limits::{limits, timeouts},
    service::service,
};
use super::{
    BalancingConfig, Config, Health, Interfaces, Limits, Node, Policy, Pool, Problem, Role, Roles,
    Service, Timeouts,
    address::{host_address, network},
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
    /// Places of each of `[[balancing.services]]`.
    pub balancing: Vec<balancing::Places>,
    /// Places of each of `[[health.services]]`.
    pub health: Vec<health::Places>,
}

const NAME: &str = "a name (letters, digits, \"-\", \"_\" and \".\", at most 64)";
const WEIGHT: &str = "a weight; a whole number from 1 to 1000 is";
const ADDRESS: &str =
    "an IPv4 address of a host, such as \"203.0.113.10\" (IPv6 is not served yet)";

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
