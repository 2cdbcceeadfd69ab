//! Whose address the node sees: the VIP for Access and Web Conferencing, the client for media.

use std::time::Duration;

use anyhow::{Context as _, Result};
use lb_common::net::Protocol::{Tcp, Udp};

use super::{configured, flow_of};
use crate::lab::{
    Lab,
    checks::{
        Effort,
        balanced::{ROWS, sources},
        media, translated,
    },
    plan::{
        NODES,
        Side::{self, External, Internal},
        at, vip,
    },
    report::Finding,
    turn::Client,
};

/// Connections of each row.
const FEW: Effort = Effort {
    connections: 8,
    pace: Duration::ZERO,
};

/// H1.
pub fn source_nat(lab: &Lab) -> Result<Vec<Finding>> {
    let mut held = Vec::new();
    let mut problems = Vec::new();
    for row in ROWS.iter().filter(|row| row.vip != vip::INTERNAL) {
        // What is complained of: any source that is not the VIP.
        let (answers, complaints) = row.ask(lab, &FEW)?;
        problems.extend(complaints);
        held.extend(answers);
    }
    let flows = lab.edgelb.instance.flows()?;
    for answer in &held {
        problems.extend(translated::disagreement(answer, &flows));
    }
    Ok(vec![Finding {
        id: "H1",
        asked: format!("Access and Web Conferencing, {} connections", held.len()),
        from: External.networks().askers.to_string(),
        answered: "treatment snat".to_owned(),
        seen: sources(&held),
        problems,
    }])
}

/// H2.
pub fn external(lab: &Lab) -> Result<Vec<Finding>> {
    let mut finding = sides("H2", lab, &[External])?;
    let nodes = NODES.each_ref().map(|node| format!("{}:3479", node.av));
    let listen = format!("{}:3479/udp", vip::AV);
    let config = configured::with_service(lab, &listen, "snat", &nodes);
    finding
        .problems
        .extend(configured::missing_refusal(lab, &config, "H2")?);
    Ok(vec![finding])
}

/// H7.
pub fn both_sides(lab: &Lab) -> Result<Vec<Finding>> {
    Ok(vec![sides("H7", lab, &Side::ALL)?])
}

/// Clients over UDP and TCP: the node must see each as it is, and edgelb must say so.
fn sides(id: &'static str, lab: &Lab, sides: &[Side]) -> Result<Finding> {
    let mut clients = Vec::new();
    let mut problems = Vec::new();
    for side in sides {
        let vip = match side {
            External => vip::AV,
            Internal => vip::INTERNAL,
        };
        for number in 0..8 {
            let protocol = if number % 2 == 0 { Udp } else { Tcp };
            let from = at(side.asker_address(60 + number), 0);
            let asked = lab.asker(*side).enter(|| -> Result<_> {
                let mut client = Client::open(protocol, from, at(vip, media::port(protocol)))?;
                let seen = client.binding()?;
                Ok((client, seen))
            })?;
            match asked {
                Ok((client, seen)) => {
                    if seen != client.local {
                        problems.push(format!("{} is seen as {seen}", client.local));
                    }
                    clients.push(client);
                }
                Err(error) => problems.push(format!("{error:#}")),
            }
        }
    }
    let flows = lab.edgelb.instance.flows()?;
    for client in &clients {
        let flow = flow_of(&flows, client)
            .with_context(|| format!("edgelb has no flow of {}", client.local))?;
        if flow.treatment != "dnat" || flow.source != client.local {
            problems.push(format!("edgelb says {flow:?}"));
        }
    }
    Ok(Finding {
        id,
        asked: format!("STUN over UDP and TCP, {} clients", clients.len()),
        from: format!("{} sides", sides.len()),
        answered: "treatment dnat".to_owned(),
        seen: "the clients themselves".to_owned(),
        problems,
    })
}
