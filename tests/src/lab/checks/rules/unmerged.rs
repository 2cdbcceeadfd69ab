//! Rule H12: small packets keep their number and their sizes, on 443 and on the ports for media.

use std::{
    io::{Read as _, Write as _},
    net::SocketAddrV4,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::lab::{
    Lab,
    capture::{Capture, Packet},
    checks::{ports, relay::Relay},
    clients::{self, Connection},
    coturn,
    plan::{Host, NODES, Side, at, vip},
    report::Finding,
    turn,
};

/// Small packets of each connection.
const PACKETS: usize = 40;

/// Time from one packet to the next; the round trip in the lab is shorter.
const PACE: Duration = Duration::from_millis(2);

const PATIENCE: Duration = Duration::from_secs(3);

/// A connection: its ends as the client has them, and as the node has them.
struct Ends {
    client: [SocketAddrV4; 2],
    node: [SocketAddrV4; 2],
    number: usize,
}

/// Sends them, and compares what leaves the client with what comes to the node, and back.
pub fn check(lab: &Lab) -> Result<Vec<Finding>> {
    let side = Side::External;
    let mut links = vec![(Host::Clients, "inet")];
    links.extend((0..NODES.len()).map(|number| (Host::Edge(number), side.interface())));
    let running = links
        .iter()
        .map(|(host, link)| Capture::start(lab.host(*host), host.name(), link, &lab.folder))
        .collect::<Result<Vec<_>>>()?;
    let tls = access(lab)?;
    let stun = media(lab)?;
    let mut captured = Vec::new();
    for link in Capture::stop_all(running)? {
        captured.push(link.packets()?);
        link.remove()?;
    }
    let mut findings = vec![
        compare(&tls, &captured, "TLS"),
        // Without source NAT, the node that has it is the one that sees the client.
        compare(&seen_at(&stun, &captured)?, &captured, "STUN"),
    ];
    findings.push(relayed(lab)?);
    Ok(findings)
}

/// TLS records of a few bytes, through the Access VIP.
fn access(lab: &Lab) -> Result<Ends> {
    let side = Side::External;
    let to = at(vip::ACCESS, 443);
    let from = at(side.asker_address(110), ports::other());
    let (client, who) = lab.asker(side).enter(|| -> Result<_> {
        let mut connection = Connection::open_from(from, to, &lab.tls)?;
        for _ in 1..PACKETS {
            connection.who()?;
        }
        Ok((connection.client, connection.who()?))
    })??;
    let number = NODES
        .iter()
        .position(|node| node.name == who.node)
        .context("a node has answered")?;
    Ok(Ends {
        client: [client, to],
        node: [who.saw, who.address],
        number,
    })
}

/// Requests of STUN one after the other, whatever has been answered, through the A/V VIP.
fn media(lab: &Lab) -> Result<[SocketAddrV4; 2]> {
    let side = Side::External;
    let to = at(vip::AV, coturn::TCP);
    let from = at(side.asker_address(111), ports::other());
    let request = turn::binding_request();
    lab.asker(side).enter(|| -> Result<()> {
        let mut stream = clients::connect(from, to, PATIENCE)?;
        stream.set_nodelay(true)?;
        for _ in 0..PACKETS {
            stream.write_all(&request)?;
            // As media is paced; the sending kernel itself merges what waits for its window.
            thread::sleep(PACE);
        }
        // No answer is shorter than the request.
        stream.read_exact(&mut vec![0; PACKETS * request.len()])?;
        Ok(())
    })??;
    Ok([from, to])
}

fn seen_at(client: &[SocketAddrV4; 2], captured: &[Vec<Packet>]) -> Result<Ends> {
    let [from, to] = *client;
    let number = NODES
        .iter()
        .position(|node| {
            let own = at(node.av, to.port());
            captured[1..]
                .iter()
                .any(|link| !sizes(link, [from, own]).is_empty())
        })
        .context("no node has seen the client")?;
    Ok(Ends {
        client: *client,
        node: [from, at(NODES[number].av, to.port())],
        number,
    })
}

/// The sizes of all packets with content from one end to the other.
fn sizes(link: &[Packet], [from, to]: [SocketAddrV4; 2]) -> Vec<usize> {
    link.iter()
        .filter(|packet| {
            packet.source == *from.ip()
                && packet.destination == *to.ip()
                && packet.ports == Some((from.port(), to.port()))
        })
        .filter_map(|packet| packet.payload.filter(|size| *size > 0))
        .collect()
}

fn compare(ends: &Ends, captured: &[Vec<Packet>], what: &str) -> Finding {
    let mut problems = Vec::new();
    let mut count = 0;
    for direction in [[0, 1], [1, 0]] {
        let of = |ends: &[SocketAddrV4; 2]| direction.map(|end| ends[end]);
        let at_client = sizes(&captured[0], of(&ends.client));
        let at_node = sizes(&captured[1 + ends.number], of(&ends.node));
        if at_client != at_node {
            problems.push(format!(
                "{:?}: {at_client:?} at the client, {at_node:?} at the node",
                of(&ends.client)
            ));
        }
        if direction == [0, 1] && at_client.len() < PACKETS {
            problems.push(format!("only {} packets were sent", at_client.len()));
        }
        count += at_client.len();
    }
    Finding {
        id: "H12",
        asked: format!("{}/tcp, small packets of {what}", ends.client[1]),
        from: ends.client[0].to_string(),
        answered: format!("{} by {count} packets", NODES[ends.number].name),
        seen: ends.node[0].to_string(),
        problems,
    }
}

/// Media of a few bytes each; no two sizes in a row are the same.
fn relayed(lab: &Lab) -> Result<Finding> {
    let sizes: Vec<usize> = (1..=PACKETS).collect();
    let mut problems = Vec::new();
    let mut seen = Vec::new();
    for node in &NODES {
        let mut relay = Relay::at_node(lab, node)?;
        for (what, came) in [
            ("the peer", relay.out(&sizes)?),
            ("the client", relay.back(&sizes)?),
        ] {
            let came: Vec<usize> = came.into_iter().map(|(_, size)| size).collect();
            if came != sizes {
                problems.push(format!("{what} has packets of {came:?}"));
            }
        }
        seen.push(relay.relayed.to_string());
    }
    Ok(Finding {
        id: "H12",
        asked: "small packets of media on 50000-59999/udp".to_owned(),
        from: "a client and a peer".to_owned(),
        answered: format!("{} packets", 2 * NODES.len() * PACKETS),
        seen: seen.join(", "),
        problems,
    })
}
