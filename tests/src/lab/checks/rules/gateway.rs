//! The nodes' routes: as edgelb prints them, as the nodes have them, and as they are used.

use std::{net::Ipv4Addr, process::Command};

use anyhow::{Context as _, Result};

use crate::lab::{
    Lab,
    checks::ports,
    clients::{self, Connection},
    namespace::run,
    plan::{Host, NODES, Node, Side, at, vip},
    report::Finding,
};

/// H10.
pub fn internal(lab: &Lab) -> Result<Vec<Finding>> {
    routes("H10", Side::Internal, |node| node.internal, lab)
}

/// H11.
pub fn external(lab: &Lab) -> Result<Vec<Finding>> {
    routes("H11", Side::External, |node| node.access, lab)
}

fn routes(
    id: &'static str,
    side: Side,
    of: fn(&Node) -> Ipv4Addr,
    lab: &Lab,
) -> Result<Vec<Finding>> {
    let (gateway, network, port) = match side {
        Side::External => (vip::ACCESS, "0.0.0.0/0", 80),
        Side::Internal => (vip::INTERNAL, "10.0.0.0/8", 443),
    };
    let to = at(side.partner(), port);
    let mut problems = Vec::new();
    for (number, node) in NODES.iter().enumerate() {
        let host = lab.host(Host::Edge(number));
        let printed = lab.edgelb.instance.routes(node.name)?;
        if !printed.contains(&(network.to_owned(), gateway.to_string())) {
            problems.push(format!("{}: edgelb ports has {printed:?}", node.name));
        }
        let route = run(Command::new("ip").args([
            "-n",
            host.name(),
            "route",
            "get",
            &to.ip().to_string(),
            "from",
            &of(node).to_string(),
        ]))?;
        if !route.contains(&format!(" via {gateway} ")) {
            problems.push(format!("{} has {route}", node.name));
        }
        let from = at(of(node), ports::other());
        let used = host.enter(|| match side {
            Side::External => clients::who_over_http(from, to).map(drop),
            Side::Internal => Connection::open_from(from, to, &lab.tls)
                .and_then(|mut connection| connection.who())
                .map(drop),
        })?;
        if let Err(error) = used.with_context(|| node.name) {
            problems.push(format!("{error:#}"));
        }
    }
    Ok(vec![Finding {
        id,
        asked: format!("{network} via {gateway}, {to}/tcp by it"),
        from: "the nodes".to_owned(),
        answered: side.partner().to_string(),
        problems,
        ..Finding::default()
    }])
}
