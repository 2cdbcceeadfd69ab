//! Rows of STUN and TURN, with coturn: the client has the server say how it sees it, and asks for an
//! address that relays, which also says which node has answered.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Context as _, Result, ensure};
use lb_common::net::Protocol::{self, Tcp, Udp};

use super::{Check, Effort, ports};
use crate::lab::{
    Lab, clients, coturn,
    namespace::Namespace,
    plan::{
        Host, NODES, Node, PARTNER_AV,
        Side::{self, External, Internal},
        at, vip,
    },
    report::{Finding, tally},
    turn::Client,
};

/// Clients of one row; each is several requests, and an allocation.
const CLIENTS: usize = 60;

/// A row.
pub struct Row {
    id: &'static str,
    name: &'static str,
    side: Side,
    protocol: Protocol,
    way: Way,
}

/// Who asks whom.
enum Way {
    /// Clients ask the VIP.
    Vip(Ipv4Addr),
    /// Clients ask a node.
    Node(fn(&Node) -> Ipv4Addr),
    /// Nodes ask the partner.
    Out,
}

#[rustfmt::skip] // a table is read line by line
static ROWS: [Row; 10] = [
    row("EV7", "ev7_stun_and_turn_over_udp_to_the_vip", External, Udp, Way::Vip(vip::AV)),
    row("EV8", "ev8_stun_and_turn_over_tcp_to_the_vip", External, Tcp, Way::Vip(vip::AV)),
    row("IV4", "iv4_stun_and_turn_over_udp_to_the_vip", Internal, Udp, Way::Vip(vip::INTERNAL)),
    row("IV5", "iv5_stun_and_turn_over_tcp_to_the_vip", Internal, Tcp, Way::Vip(vip::INTERNAL)),
    row("EN9", "en9_stun_and_turn_over_udp_to_a_node", External, Udp, Way::Node(|node| node.av)),
    row("EN10", "en10_stun_and_turn_over_tcp_to_a_node", External, Tcp, Way::Node(|node| node.av)),
    row("IN4", "in4_stun_and_turn_over_udp_to_a_node", Internal, Udp, Way::Node(|node| node.internal)),
    row("IN5", "in5_stun_and_turn_over_tcp_to_a_node", Internal, Tcp, Way::Node(|node| node.internal)),
    row("EN8", "en8_stun_and_turn_over_udp_from_a_node", External, Udp, Way::Out),
    row("EN11", "en11_stun_and_turn_over_tcp_from_a_node", External, Tcp, Way::Out),
];

const fn row(
    id: &'static str,
    name: &'static str,
    side: Side,
    protocol: Protocol,
    way: Way,
) -> Row {
    Row {
        id,
        name,
        side,
        protocol,
        way,
    }
}

/// The checks of the rows.
pub fn checks() -> impl Iterator<Item = Check> {
    ROWS.iter().map(|row| {
        Check::new(row.id, row.name, |lab, effort| match row.way {
            Way::Vip(vip) => through(row, vip, lab, effort),
            Way::Node(of) => Ok(directly(row, of, lab)),
            Way::Out => Ok(out(row, lab)),
        })
    })
}

/// The port of STUN and TURN.
pub const fn port(protocol: Protocol) -> u16 {
    match protocol {
        Udp => coturn::UDP,
        Tcp => coturn::TCP,
    }
}

/// Which node an address that relays belongs to.
pub fn node_of(relayed: Ipv4Addr) -> Result<&'static Node> {
    NODES
        .iter()
        .find(|node| node.av == relayed)
        .with_context(|| format!("{relayed} relays, who is that?"))
}

/// Has the server say how it sees the client, and allocates; returns the address that relays.
///
/// # Errors
///
/// Also when the server sees somebody else, or the address is none for media.
fn ask(client: &mut Client) -> Result<SocketAddrV4> {
    let seen = client.binding()?;
    ensure!(
        seen == client.local,
        "{} is seen as {seen}: its source is not kept",
        client.local
    );
    let relayed = client.allocate()?;
    ensure!(
        coturn::RELAY.contains(&relayed.port()),
        "{relayed} is no address for media"
    );
    Ok(relayed)
}

/// Many clients ask the VIP.
fn through(row: &Row, vip: Ipv4Addr, lab: &Lab, effort: &Effort) -> Result<Vec<Finding>> {
    let count = effort.connections.min(CLIENTS);
    let to = at(vip, port(row.protocol));
    let answers = clients::at_once(
        lab.asker(row.side),
        count,
        effort.pace,
        |number| -> Result<_> {
            let from = row.side.asker_address(number as u8 % 200);
            let mut client = Client::open(row.protocol, at(from, 0), to)?;
            let relayed = ask(&mut client)?;
            Ok(node_of(*relayed.ip())?.name)
        },
    )?;
    let (mut problems, mut nodes) = (Vec::new(), Vec::new());
    for answer in answers {
        match answer {
            Ok(node) => nodes.push(node),
            Err(error) => problems.push(format!("{error:#}")),
        }
    }
    problems.extend(super::unfair(&nodes, count));
    Ok(vec![Finding {
        id: row.id,
        asked: format!("{to}/{}, {count} clients", row.protocol.name()),
        from: row.side.networks().askers.to_string(),
        answered: tally(nodes),
        seen: "the clients themselves".to_owned(),
        problems,
    }])
}

/// Someone asks each node.
fn directly(row: &Row, of: fn(&Node) -> Ipv4Addr, lab: &Lab) -> Vec<Finding> {
    let asker = lab.asker(row.side);
    let from = row.side.asker_address(41);
    finding(row, "a node", |node, _| {
        let to = at(of(node), port(row.protocol));
        let relayed = asker.enter(|| {
            let mut client = Client::open(row.protocol, at(from, ports::other()), to)?;
            ask(&mut client)
        })??;
        ensure!(
            *relayed.ip() == node.av,
            "{} was asked, and {relayed} relays",
            node.name
        );
        Ok(node.name)
    })
}

/// Each node asks the partner.
fn out(row: &Row, lab: &Lab) -> Vec<Finding> {
    finding(row, &PARTNER_AV.to_string(), |node, number| {
        partner(lab.host(Host::Edge(number)), node, row.protocol)?;
        Ok("partner")
    })
}

/// A node asks the partner's media server.
pub fn partner(edge: &Namespace, node: &Node, protocol: Protocol) -> Result<()> {
    let relayed = edge.enter(|| {
        // Not from a port for media: that would be another row.
        let from = at(node.av, ports::other());
        let mut client = Client::open(protocol, from, at(PARTNER_AV, port(protocol)))?;
        ask(&mut client)
    })??;
    ensure!(*relayed.ip() == PARTNER_AV, "{relayed} relays");
    Ok(())
}

fn finding(
    row: &Row,
    asked: &str,
    ask: impl Fn(&'static Node, usize) -> Result<&'static str>,
) -> Vec<Finding> {
    let (mut problems, mut answered) = (Vec::new(), Vec::new());
    for (number, node) in NODES.iter().enumerate() {
        match ask(node, number) {
            Ok(who) => answered.push(who),
            Err(error) => problems.push(format!("{}: {error:#}", node.name)),
        }
    }
    vec![Finding {
        id: row.id,
        asked: format!("{asked}:{}/{}", port(row.protocol), row.protocol.name()),
        from: match row.way {
            Way::Out => "the nodes' A/V addresses".to_owned(),
            _ => row.side.asker_address(41).to_string(),
        },
        answered: tally(answered),
        seen: "the client itself".to_owned(),
        problems,
    }]
}
