//! Who answers: whoever was asked, VIP or node. Over UDP the clients' sockets take what comes from
//! anybody, and complain; over TCP only the right one can answer at all.

use std::net::Ipv4Addr;

use anyhow::Result;
use lb_common::net::Protocol::{Tcp, Udp};

use crate::lab::{
    Lab,
    checks::{media, ports},
    plan::{
        NODES,
        Side::{self, External, Internal},
        at, vip,
    },
    report::Finding,
    turn::Client,
};

/// H3.
pub fn by_vips(lab: &Lab) -> Result<Vec<Finding>> {
    let vips = [(External, vip::AV), (Internal, vip::INTERNAL)];
    Ok(vec![ask("H3", lab, &vips)?])
}

/// H4.
pub fn by_nodes(lab: &Lab) -> Result<Vec<Finding>> {
    let nodes = NODES
        .each_ref()
        .map(|node| [(External, node.av), (Internal, node.internal)]);
    Ok(vec![ask("H4", lab, &nodes.concat())?])
}

fn ask(id: &'static str, lab: &Lab, addresses: &[(Side, Ipv4Addr)]) -> Result<Finding> {
    let mut problems = Vec::new();
    let mut answers = 0;
    for (side, address) in addresses {
        for protocol in [Udp, Tcp] {
            let from = at(side.asker_address(70), ports::other());
            let to = at(*address, media::port(protocol));
            let answer = lab.asker(*side).enter(|| -> Result<_> {
                let mut client = Client::open(protocol, from, to)?;
                // More than one: a flow is confirmed only then.
                client.binding()?;
                client.binding()
            })?;
            match answer {
                Ok(_) => answers += 1,
                Err(error) => problems.push(format!("{error:#}")),
            }
        }
    }
    let names: Vec<String> = addresses
        .iter()
        .map(|(_, address)| address.to_string())
        .collect();
    Ok(Finding {
        id,
        asked: format!("STUN over UDP and TCP: {}", names.join(", ")),
        from: "both sides".to_owned(),
        answered: format!("{answers} by whom was asked"),
        problems,
        ..Finding::default()
    })
}
