//! What no row names does not pass: a port that a node may not ask for, and one that nobody may ask a
//! node for.

use std::{net::SocketAddrV4, time::Duration};

use anyhow::Result;

use super::{Check, ports};
use crate::lab::{
    Lab, clients,
    namespace::Namespace,
    plan::{Arrangement, Host, NODES, Side, at},
    report::Finding,
};

/// Long enough for a second SYN.
const PATIENCE: Duration = Duration::from_millis(1500);

/// The check.
pub fn check() -> Check {
    Check::new("policy", "policy_lets_nothing_else_pass", |lab, _| {
        let node = &NODES[0];
        let edge = lab.host(Host::Edge(0));
        let partner = at(Side::External.partner(), 25);
        let mut findings = vec![refused(
            lab,
            edge,
            at(node.access, ports::other()),
            partner,
        )?];
        // With one arm the way to a node does not pass edgelb.
        if lab.arrangement == Arrangement::TwoArm {
            let from = at(Side::External.asker_address(42), ports::other());
            let clients = lab.asker(Side::External);
            findings.push(refused(lab, clients, from, at(node.access, 3389))?);
        }
        Ok(findings)
    })
}

fn refused(lab: &Lab, client: &Namespace, from: SocketAddrV4, to: SocketAddrV4) -> Result<Finding> {
    let before = lab.edgelb.instance.dropped("policy")?;
    let outcome = client.enter(|| clients::connect(from, to, PATIENCE))?;
    let dropped = lab.edgelb.instance.dropped("policy")? - before;
    let mut problems = Vec::new();
    if outcome.is_ok() {
        problems.push(format!("{from} to {to} was possible"));
    }
    if dropped == 0 {
        problems.push("edgelb has dropped nothing for its policy".to_owned());
    }
    Ok(Finding {
        id: "policy",
        asked: format!("{to}/tcp"),
        from: from.to_string(),
        answered: "nobody".to_owned(),
        seen: String::new(),
        problems,
    })
}
