//! Every link is captured while clients are served, and every packet on it must be sound.

use anyhow::Result;

use super::{Effort, balanced::ROWS, download};
use crate::lab::{
    Lab,
    capture::{Capture, Captured},
    counters,
    nginx::DOWNLOAD_SIZE,
    plan::{Host, NODES, Side},
    report::{Finding, first_of},
};

/// A link, seen from its end that is not edgelb's.
struct Link {
    host: Host,
    interface: &'static str,
    side: Side,
}

/// A packet leaves its host with this.
const INITIAL_TTL: u8 = 64;

/// Hops between asker and node.
fn hops(side: Side) -> u8 {
    let router_of_its_own = side.router() != side.asker();
    1 + u8::from(router_of_its_own)
}

/// Captures, asks every row, downloads through every VIP, and looks at what was captured.
pub fn check(lab: &Lab, effort: &Effort) -> Result<Vec<Finding>> {
    let running = links()
        .iter()
        .map(|link| {
            Capture::start(
                lab.host(link.host),
                link.host.name(),
                link.interface,
                &lab.folder,
            )
        })
        .collect::<Result<Vec<_>>>()?;
    let mut asked = Vec::new();
    for row in &ROWS {
        let effort = Effort {
            connections: effort.connections.div_ceil(ROWS.len()),
            ..*effort
        };
        let (answers, problems) = row.ask(lab, &effort)?;
        drop(answers);
        asked.extend(problems);
    }
    asked.extend(
        download::check(lab)?
            .into_iter()
            .flat_map(|finding| finding.problems),
    );
    let packets = Capture::stop_all(running)?;

    let mut findings = vec![kernels(lab, asked)?];
    for (link, captured) in links().iter().zip(&packets) {
        findings.push(examine(link, captured)?);
    }
    for captured in packets {
        captured.remove()?;
    }
    Ok(findings)
}

fn links() -> Vec<Link> {
    let mut links = vec![
        Link {
            host: Host::Clients,
            interface: "inet",
            side: Side::External,
        },
        Link {
            host: Host::Router,
            interface: Side::External.interface(),
            side: Side::External,
        },
        Link {
            host: Host::FrontEnd,
            interface: Side::Internal.interface(),
            side: Side::Internal,
        },
    ];
    for number in 0..NODES.len() {
        links.extend(Side::ALL.map(|side| Link {
            host: Host::Edge(number),
            interface: side.interface(),
            side,
        }));
    }
    links
}

/// What one link carried.
fn examine(link: &Link, captured: &Captured) -> Result<Finding> {
    let packets = captured.packets()?;
    let at_node = matches!(link.host, Host::Edge(_));
    let at_asker = link.host == link.side.asker();
    let askers = link.side.networks().askers;
    let is_node = |address| {
        NODES
            .iter()
            .any(|node| node.addresses(link.side).contains(&address))
    };
    let mut wrong = Vec::new();
    for packet in &packets {
        let ends = [packet.source, packet.destination];
        let received = if at_node {
            !is_node(packet.source)
        } else {
            !askers.contains(packet.source)
        };
        if !packet.sound {
            wrong.push(format!("checksum: {}", packet.text));
        }
        // H6: a node deals with the VIP alone. H3: and so does a client.
        if at_node && ends.iter().any(|end| askers.contains(*end)) {
            wrong.push(format!("a client's address at a node: {}", packet.text));
        }
        if !at_node && ends.into_iter().any(is_node) {
            wrong.push(format!("a node's address at a client: {}", packet.text));
        }
        if (at_node || at_asker) && received && packet.ttl != INITIAL_TTL - hops(link.side) {
            wrong.push(format!("hops: {}", packet.text));
        }
    }
    // The captures would prove nothing if they had not seen the downloads.
    if at_asker && packets.len() < DOWNLOAD_SIZE / 1500 {
        wrong.push(format!("only {} packets were captured", packets.len()));
    }
    let mut problems = Vec::new();
    if !wrong.is_empty() {
        problems.push(first_of(&wrong));
    }
    Ok(Finding {
        id: "links",
        asked: format!("{}: checksums, hops, addresses", captured.link),
        from: String::new(),
        answered: format!("{} packets", packets.len()),
        seen: String::new(),
        problems,
    })
}

/// What the receiving kernels say; `asked` is what the clients say.
fn kernels(lab: &Lab, mut problems: Vec<String>) -> Result<Finding> {
    for host in Host::ALL {
        for (counter, count) in counters::complaints(lab.host(host))? {
            problems.push(format!("{}: {counter} {count}", host.name()));
        }
    }
    Ok(Finding {
        id: "links",
        asked: "checksum errors counted by the kernels".to_owned(),
        from: String::new(),
        answered: if problems.is_empty() { "none" } else { "some" }.to_owned(),
        seen: String::new(),
        problems,
    })
}
