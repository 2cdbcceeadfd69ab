//! Rows of SIP, with sipp: calls through the VIPs to the nodes, and calls of the nodes that leave from the
//! VIPs. Outside it is SIP over mutual TLS, inside SIP over TCP.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddrV4},
};

use anyhow::Result;

use super::{Check, Effort};
use crate::lab::{
    Lab,
    namespace::Namespace,
    plan::{
        Host, NODES,
        Side::{self, External, Internal},
        at, vip,
    },
    report::{Finding, tally},
    sip::{Calls, TO_TLS},
    sockets,
};

const PORT: u16 = 5061;

/// Calls at the same time; more would be a test of sipp.
const CALLS: usize = 60;

/// Calls of one node.
const CALLS_OUT: usize = 10;

/// The checks of the rows.
pub fn checks() -> [Check; 4] {
    [
        Check::new("EV4", "ev4_sip_over_tls_to_the_pool", |lab, effort| {
            calls_in("EV4", External, lab, effort)
        }),
        Check::new("EV5", "ev5_sip_over_tls_leaves_from_the_vip", |lab, _| {
            calls_out("EV5", External, lab)
        }),
        Check::new("IV1", "iv1_sip_over_tcp_to_the_pool", |lab, effort| {
            calls_in("IV1", Internal, lab, effort)
        }),
        Check::new("IV2", "iv2_sip_over_tcp_leaves_from_the_vip", |lab, _| {
            calls_out("IV2", Internal, lab)
        }),
    ]
}

const fn sip_vip(side: Side) -> SocketAddrV4 {
    match side {
        External => at(vip::ACCESS, PORT),
        Internal => at(vip::INTERNAL, PORT),
    }
}

/// Where sipp sends to, and from which of its host's addresses.
fn through_tls(side: Side, from: Ipv4Addr, to: SocketAddrV4) -> (Ipv4Addr, SocketAddrV4) {
    match side {
        External => (*TO_TLS.ip(), TO_TLS),
        Internal => (from, to),
    }
}

/// Connections to servers: whose server, and which source it sees.
type Seen = BTreeSet<(&'static str, SocketAddrV4)>;

/// Makes calls and notes who is connected to the servers meanwhile; also what went wrong.
fn call(
    lab: &Lab,
    caller: &Namespace,
    (from, to): (Ipv4Addr, SocketAddrV4),
    calls: usize,
    servers: &[(&'static str, &Namespace, SocketAddrV4)],
) -> Result<(Seen, Vec<String>)> {
    let (mut before, mut seen) = (Seen::new(), Seen::new());
    for (name, host, at) in servers {
        let clients = sockets::clients_of(host, *at)?;
        before.extend(clients.into_iter().map(|client| (*name, client)));
    }
    let calls = Calls::make(caller, from, to, calls, &lab.folder)?;
    let outcome = calls.wait(|| {
        for (name, host, at) in servers {
            let clients = sockets::clients_of(host, *at)?;
            seen.extend(clients.into_iter().map(|client| (*name, client)));
        }
        Ok(())
    });
    let problems = outcome.err().map(|error| format!("{error:#}"));
    seen.retain(|connection| !before.contains(connection));
    Ok((seen, problems.into_iter().collect()))
}

/// Calls through the VIP.
fn calls_in(id: &'static str, side: Side, lab: &Lab, effort: &Effort) -> Result<Vec<Finding>> {
    let vip = sip_vip(side);
    let calls = effort.connections.min(CALLS);
    let servers: Vec<_> = NODES
        .iter()
        .enumerate()
        .filter_map(|(number, node)| {
            let own = node.behind(*vip.ip())?;
            Some((node.name, lab.host(Host::Edge(number)), at(own, PORT)))
        })
        .collect();
    let path = through_tls(side, side.partner(), vip);
    let (seen, mut problems) = call(lab, lab.asker(side), path, calls, &servers)?;
    if seen.len() != calls {
        problems.push(format!("{calls} calls, {} connections", seen.len()));
    }
    for (node, source) in &seen {
        if source.ip() != vip.ip() {
            problems.push(format!("{node} sees {source}, not the VIP"));
        }
    }
    let nodes: Vec<&str> = seen.iter().map(|(node, _)| *node).collect();
    problems.extend(super::unfair(&nodes, calls));
    Ok(vec![Finding {
        id,
        asked: format!("{vip}/tcp, {calls} calls"),
        from: side.partner().to_string(),
        answered: tally(nodes),
        seen: format!("{}, {} ports", vip.ip(), seen.len()),
        problems,
    }])
}

/// Calls of each node.
fn calls_out(id: &'static str, side: Side, lab: &Lab) -> Result<Vec<Finding>> {
    let vip = sip_vip(side);
    let partner = at(side.partner(), PORT);
    let server = [("partner", lab.asker(side), partner)];
    let mut problems = Vec::new();
    let mut all = Seen::new();
    for (number, node) in NODES.iter().enumerate() {
        let host = lab.host(Host::Edge(number));
        let own = node.behind(*vip.ip()).unwrap_or(node.access);
        let path = through_tls(side, own, partner);
        let (seen, complaints) = call(lab, host, path, CALLS_OUT, &server)?;
        problems.extend(complaints);
        if seen.len() != CALLS_OUT {
            problems.push(format!(
                "{}: {CALLS_OUT} calls, {} connections",
                node.name,
                seen.len()
            ));
        }
        all.extend(seen);
    }
    for (_, source) in &all {
        if source.ip() != vip.ip() {
            problems.push(format!("the partner sees {source}, not the VIP"));
        }
    }
    Ok(vec![Finding {
        id,
        asked: format!("{partner}/tcp, {CALLS_OUT} calls of each node"),
        from: "the nodes".to_owned(),
        answered: format!("sipp {}", all.len()),
        seen: format!("{}, {} ports", vip.ip(), all.len()),
        problems,
    }])
}
