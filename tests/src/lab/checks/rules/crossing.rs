//! Rule H13: someone on one side has a route to the other through edgelb, and gets nowhere.

use std::{net::SocketAddrV4, time::Duration};

use anyhow::Result;

use crate::lab::{
    Lab,
    capture::Capture,
    checks::ports,
    clients,
    plan::{
        Arrangement, Host, NODES,
        Side::{self, External, Internal},
        at, vip,
    },
    report::Finding,
};

/// Long enough for an answer, and no more.
const PATIENCE: Duration = Duration::from_millis(300);

/// Both directions.
pub fn check(lab: &Lab) -> Result<Vec<Finding>> {
    Side::ALL
        .into_iter()
        .map(|side| across(lab, side))
        .collect()
}

/// VIPs and nodes of a side, on ports that are open there.
fn doors(side: Side) -> Vec<SocketAddrV4> {
    let mut doors = match side {
        External => vec![at(vip::ACCESS, 443), at(vip::AV, 443)],
        Internal => vec![at(vip::INTERNAL, 5062), at(vip::INTERNAL, 443)],
    };
    for node in &NODES {
        doors.push(match side {
            External => at(node.av, 443),
            Internal => at(node.internal, 8057),
        });
    }
    doors
}

/// Asks the other side from this one.
fn across(lab: &Lab, side: Side) -> Result<Finding> {
    let other = match side {
        External => Internal,
        Internal => External,
    };
    let networks = side.networks();
    let gateway = match lab.arrangement {
        Arrangement::TwoArm => networks.transit_balancer,
        Arrangement::OneArm => networks.balancer,
    };
    let route = format!("{} via {gateway}", other.networks().nodes);
    let running = (0..NODES.len())
        .map(|number| {
            let host = Host::Edge(number);
            Capture::start(lab.host(host), host.name(), other.interface(), &lab.folder)
        })
        .collect::<Result<Vec<_>>>()?;
    let router = lab.host(side.router());
    router.ip(&format!("route add {route}\n"))?;
    let outcome = ask(lab, side, other);
    router.ip(&format!("route del {route}\n"))?;
    let (mut problems, dropped) = outcome?;
    for captured in Capture::stop_all(running)? {
        for packet in captured.packets()? {
            if networks.askers.contains(packet.source) {
                problems.push(format!("on {}: {}", captured.link, packet.text));
            }
        }
        captured.remove()?;
    }
    Ok(Finding {
        id: "H13",
        asked: format!("{} doors of the other side", doors(other).len()),
        from: networks.askers.to_string(),
        answered: format!("nobody; {dropped} packets dropped"),
        problems,
        ..Finding::default()
    })
}

/// What was answered after all, and how many packets edgelb has dropped.
fn ask(lab: &Lab, side: Side, other: Side) -> Result<(Vec<String>, u64)> {
    let mut problems = Vec::new();
    let mut dropped = 0;
    for to in doors(other) {
        let before = lab.edgelb.instance.dropped("zone-crossing")?;
        let from = at(side.asker_address(120), ports::other());
        let open = lab
            .asker(side)
            .enter(|| clients::connect(from, to, PATIENCE).is_ok())?;
        if open {
            problems.push(format!("{to} has answered {from}"));
        }
        let more = lab.edgelb.instance.dropped("zone-crossing")? - before;
        if more == 0 {
            problems.push(format!("{from} to {to} was not dropped as crossing"));
        }
        dropped += more;
    }
    Ok((problems, dropped))
}
