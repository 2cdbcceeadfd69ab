//! Rule H16: what goes to each node by itself is not there on the internal VIP.

use std::time::Duration;

use anyhow::Result;

use super::configured;
use crate::lab::{
    Lab,
    checks::ports,
    clients,
    plan::{NODES, Side, at, vip},
    report::Finding,
};

/// Web Conferencing, XMPP, replication and logging; each node listens on all of them.
const PORTS: [u16; 6] = [8057, 23_456, 4443, 50_001, 50_002, 50_003];

/// Long enough for an answer, and no more.
const PATIENCE: Duration = Duration::from_millis(500);

/// Asks the VIP for these, and edgelb to balance them.
pub fn check(lab: &Lab) -> Result<Vec<Finding>> {
    let side = Side::Internal;
    let mut problems = Vec::new();
    for port in PORTS {
        let before = lab.edgelb.instance.dropped("port-closed")?;
        let from = at(side.asker_address(100), ports::other());
        let to = at(vip::INTERNAL, port);
        let answered = lab
            .asker(side)
            .enter(|| clients::connect(from, to, PATIENCE).is_ok())?;
        if answered {
            problems.push(format!("{to} was answered"));
        }
        if lab.edgelb.instance.dropped("port-closed")? == before {
            problems.push(format!("{to} was not dropped as closed"));
        }
        let nodes = NODES
            .each_ref()
            .map(|node| format!("{}:{port}", node.internal));
        let config = configured::with_service(lab, &format!("{to}/tcp"), "snat", &nodes);
        problems.extend(configured::missing_refusal(lab, &config, "H16")?);
    }
    Ok(vec![Finding {
        id: "H16",
        asked: format!(
            "{} ports of {}, and to balance them",
            PORTS.len(),
            vip::INTERNAL
        ),
        from: side.asker_address(100).to_string(),
        answered: "nobody; refused".to_owned(),
        problems,
        ..Finding::default()
    }])
}
