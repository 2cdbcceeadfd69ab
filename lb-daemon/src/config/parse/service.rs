//! `[[services]]`, value by value.

use lb_common::{
    net::Zone,
    service::{FIRST_OWN_PORT, MAX_NODES, Treatment},
};

use super::{located_name, name, weight};
use crate::config::{
    Problem, Service, ServiceNode,
    address::{listen_address, socket_address},
    document::{Place, Section},
};

/// Where the parts of one of `[[services]]` stand that must fit with others.
pub struct ServicePlaces {
    pub name: Place,
    pub listen: Place,
    pub treatment: Place,
    /// Of each node, in the order of the configuration.
    pub nodes: Vec<Place>,
}

/// Reads one of them.
pub fn service(
    section: &mut Section,
    problems: &mut Vec<Problem>,
) -> Option<(Service, ServicePlaces)> {
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
