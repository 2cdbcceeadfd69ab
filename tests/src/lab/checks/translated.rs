//! Rule H6 for single connections: what client, edgelb and node say of the same one must agree.

use anyhow::Result;
use lb_daemon::snapshot::FlowStatus;

use super::{
    Effort,
    balanced::{ROWS, sources},
};
use crate::lab::{Lab, clients::Answered, plan::NODES, report::Finding};

/// Holds connections of every row open and looks for each in edgelb's flows and in the node's log.
pub fn check(lab: &Lab, effort: &Effort) -> Result<Vec<Finding>> {
    let mut held = Vec::new();
    let mut problems = Vec::new();
    for row in &ROWS {
        let effort = Effort {
            connections: effort.connections.div_ceil(ROWS.len()),
            ..*effort
        };
        let (answers, complaints) = row.ask(lab, &effort)?;
        held.extend(answers);
        problems.extend(complaints);
    }
    let flows = lab.edgelb.instance.flows()?;
    for answer in &held {
        problems.extend(disagreement(answer, &flows));
    }
    for (node, nginx) in NODES.iter().zip(&lab.nodes) {
        let noted = nginx.clients()?;
        for answer in held.iter().filter(|answer| answer.who.node == node.name) {
            if !noted.contains(&answer.who.saw) {
                problems.push(format!(
                    "{}: {} is not in its log",
                    node.name, answer.who.saw
                ));
            }
        }
    }
    Ok(vec![Finding {
        id: "H6",
        asked: format!("all rows, {} connections held open", held.len()),
        from: "both sides".to_owned(),
        answered: "client, edgelb and node say the same".to_owned(),
        seen: sources(&held),
        problems,
    }])
}

/// What edgelb says otherwise than client and node.
pub fn disagreement(answer: &Answered, flows: &[FlowStatus]) -> Option<String> {
    let Answered { connection, who } = answer;
    let of_this = |flow: &&FlowStatus| {
        flow.protocol == "tcp" && flow.client == connection.client && flow.vip == connection.asked
    };
    let Some(flow) = flows.iter().find(of_this) else {
        return Some(format!("edgelb has no flow of {}", connection.client));
    };
    let agrees = flow.source == who.saw
        && flow.node_address == who.address
        && flow.node == who.node
        && flow.treatment == "snat"
        && flow.state == "established"
        && flow.packets_in > 0
        && flow.packets_out > 0;
    (!agrees).then(|| format!("node {who:?}, but edgelb {flow:?}"))
}
