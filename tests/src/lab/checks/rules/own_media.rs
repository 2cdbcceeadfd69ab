//! Media of the nodes: from their own addresses, and past the VIP.

use std::{collections::BTreeSet, net::Ipv4Addr};

use anyhow::{Context as _, Result};
use lb_common::net::Protocol::{Tcp, Udp};

use crate::lab::{
    Lab,
    capture::Capture,
    checks::{media, relay::Relay},
    coturn,
    plan::{Host, NODES, PARTNER_AV, Side, at, vip},
    report::Finding,
    turn::Client,
};

/// Where the external firewall is.
const FIREWALL: (Host, &str) = (Host::Router, "inet");

/// Sizes of media packets (bytes).
const MEDIA: [usize; 50] = [160; 50];

/// H8: what the external firewall sees of nodes that talk to a partner and that relay media.
pub fn check(lab: &Lab) -> Result<Vec<Finding>> {
    let (host, interface) = FIREWALL;
    let capture = Capture::start(lab.host(host), host.name(), interface, &lab.folder)?;
    let mut relays = Vec::new();
    for (number, node) in NODES.iter().enumerate() {
        for protocol in [Udp, Tcp] {
            media::partner(lab.host(Host::Edge(number)), node, protocol)?;
        }
        let mut relay = Relay::at_node(lab, node)?;
        relay.out(&MEDIA)?;
        relay.back(&MEDIA)?;
        relays.push(relay);
    }
    let partners: Vec<Ipv4Addr> = relays
        .iter()
        .map(|relay| *relay.peer_address.ip())
        .chain([PARTNER_AV])
        .collect();
    let mut problems = Vec::new();
    let mut sources = BTreeSet::new();
    for captured in Capture::stop_all(vec![capture])? {
        for packet in captured.packets()? {
            if partners.contains(&packet.destination) {
                sources.insert(packet.source);
            }
        }
        captured.remove()?;
    }
    let expected: BTreeSet<Ipv4Addr> = NODES.iter().map(|node| node.av).collect();
    if sources != expected {
        problems.push(format!("sources are {sources:?}, not {expected:?}"));
    }
    let sources: Vec<String> = sources.iter().map(ToString::to_string).collect();
    Ok(vec![Finding {
        id: "H8",
        asked: "media and STUN of the nodes, at the firewall".to_owned(),
        from: "the nodes".to_owned(),
        answered: "a partner and a peer".to_owned(),
        seen: sources.join(", "),
        problems,
    }])
}

/// H9: a client that has asked the VIP goes on with the node, and the VIP sees nothing of it.
pub fn past_the_vip(lab: &Lab) -> Result<Vec<Finding>> {
    let side = Side::External;
    let (_client, relayed) = lab.asker(side).enter(|| -> Result<_> {
        let from = at(side.asker_address(80), 0);
        let mut client = Client::open(Udp, from, at(vip::AV, coturn::UDP))?;
        let relayed = client.allocate()?;
        Ok((client, relayed))
    })??;
    let node = media::node_of(*relayed.ip())?;
    let mut relay = Relay::at_node(lab, node)?;
    let before = through_the_vip(lab)?;
    let expected = [
        MEDIA.map(|size| (relay.relayed, size)),
        MEDIA.map(|size| (relay.peer_address, size)),
    ];
    let came = [relay.out(&MEDIA)?, relay.back(&MEDIA)?];
    let more = through_the_vip(lab)? - before;
    let mut problems = Vec::new();
    if came != expected {
        problems.push(format!("media came as {came:?}"));
    }
    if more > 0 {
        problems.push(format!("{more} packets of it went through the VIP"));
    }
    Ok(vec![Finding {
        id: "H9",
        asked: format!("{} packets of media, after asking the VIP", 2 * MEDIA.len()),
        from: relay.peer_address.to_string(),
        answered: format!("{} as {}", node.name, relay.relayed),
        seen: format!("{more} packets through the VIP"),
        problems,
    }])
}

/// Packets of all flows of the A/V VIP, in both directions.
fn through_the_vip(lab: &Lab) -> Result<u64> {
    let services = lab.edgelb.instance.status()?.services;
    let traffic: Vec<u64> = services
        .iter()
        .filter(|service| *service.listen.ip() == vip::AV)
        .map(|service| service.traffic.packets_in + service.traffic.packets_out)
        .collect();
    traffic
        .iter()
        .copied()
        .reduce(|all, of| all + of)
        .context("nothing is balanced on the A/V VIP")
}
