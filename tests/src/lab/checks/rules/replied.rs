//! Rule H14: both directions of every flow pass the load balancer. With DSR, nothing would come back.

use std::time::Duration;

use anyhow::Result;
use lb_common::net::Protocol::{Tcp, Udp};

use super::{configured, flow_of};
use crate::lab::{
    Lab,
    checks::{Effort, balanced::ROWS, media, translated},
    plan::{
        NODES,
        Side::{External, Internal},
        at, vip,
    },
    report::Finding,
    turn::Client,
};

/// Connections of each row.
const FEW: Effort = Effort {
    connections: 4,
    pace: Duration::ZERO,
};

/// Holds flows of every kind open and looks at what edgelb says of their replies.
pub fn check(lab: &Lab) -> Result<Vec<Finding>> {
    let mut problems = Vec::new();
    let mut held = Vec::new();
    for row in &ROWS {
        let (answers, complaints) = row.ask(lab, &FEW)?;
        held.extend(answers);
        problems.extend(complaints);
    }
    let mut clients = Vec::new();
    for (side, vip) in [(External, vip::AV), (Internal, vip::INTERNAL)] {
        for protocol in [Udp, Tcp] {
            let from = at(side.asker_address(90), 0);
            clients.push(lab.asker(side).enter(|| -> Result<_> {
                let mut client = Client::open(protocol, from, at(vip, media::port(protocol)))?;
                client.binding()?;
                Ok(client)
            })??);
        }
    }
    let flows = lab.edgelb.instance.flows()?;
    for answer in &held {
        problems.extend(translated::disagreement(answer, &flows));
    }
    for client in &clients {
        if flow_of(&flows, client).is_none_or(|flow| flow.packets_out == 0) {
            problems.push(format!(
                "{} was answered by {}, and edgelb knows nothing of it",
                client.local, client.asked
            ));
        }
    }
    let nodes = NODES.each_ref().map(|node| format!("{}:7000", node.access));
    let listen = format!("{}:7000/tcp", vip::ACCESS);
    let config = configured::with_service(lab, &listen, "dsr", &nodes);
    problems.extend(configured::missing_refusal(lab, &config, "H14")?);
    Ok(vec![Finding {
        id: "H14",
        asked: format!("{} flows of every VIP", held.len() + clients.len()),
        from: "both sides".to_owned(),
        answered: "through edgelb; \"dsr\" is refused".to_owned(),
        problems,
        ..Finding::default()
    }])
}
