//! Rows of name resolution: nodes ask a name server outside.

use anyhow::Result;

use super::{Check, ports};
use crate::lab::{
    Lab,
    plan::{Host, NODES, Side, at},
    report::Finding,
};

/// The checks of the rows.
pub fn checks() -> [Check; 2] {
    [
        Check::new("EN2", "en2_dns_over_tcp", |lab, _| check("EN2", lab, true)),
        Check::new("EN3", "en3_dns_over_udp", |lab, _| check("EN3", lab, false)),
    ]
}

fn check(id: &'static str, lab: &Lab, tcp: bool) -> Result<Vec<Finding>> {
    let (mut problems, mut seen) = (Vec::new(), Vec::new());
    for (number, node) in NODES.iter().enumerate() {
        let from = at(node.access, ports::other());
        let host = lab.host(Host::Edge(number));
        match lab.whole_pool()?.dns.ask(host, from, tcp) {
            Ok(saw) if saw == from => seen.push(saw.to_string()),
            Ok(saw) => problems.push(format!("dnsmasq sees {saw}, not {from}")),
            Err(error) => problems.push(format!("{}: {error:#}", node.name)),
        }
    }
    let protocol = if tcp { "tcp" } else { "udp" };
    Ok(vec![Finding {
        id,
        asked: format!("{}:53/{protocol}", Side::External.partner()),
        from: "the nodes' access addresses".to_owned(),
        answered: format!("dnsmasq {}", seen.len()),
        seen: seen.join(", "),
        problems,
    }])
}
