//! Rows that nginx can answer and that are not balanced: what nodes open themselves, from their own
//! addresses or from the VIP, and what is opened to their own addresses. With one arm the way to a node
//! does not pass edgelb and the way back does.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Context as _, Result};

use super::{Check, ports};
use crate::lab::{
    Lab, MEDIA,
    clients::{self, Connection, Who},
    namespace::Namespace,
    plan::{
        Host, NODES, Node,
        Side::{self, External, Internal},
        at, vip,
    },
    report::{Finding, tally},
};

/// One of a node's addresses.
type Of = fn(&Node) -> Ipv4Addr;

/// A row.
struct Row {
    id: &'static str,
    name: &'static str,
    side: Side,
    way: Way,
    port: u16,
}

/// Who opens, and who has to be seen.
enum Way {
    /// A node asks a partner, which sees the node's own address.
    Out(Of),
    /// The same, from a port for media.
    MediaOut(Of),
    /// A node asks a partner, which sees the VIP.
    VipOut(Of, Ipv4Addr),
    /// Someone asks a node, which sees who it is.
    In(Of),
}

use Way::{In, MediaOut, Out, VipOut};

#[rustfmt::skip] // a table is read line by line
static ROWS: [Row; 11] = [
    row("EN1", "en1_http_from_the_access_address", External, Out(|node| node.access), 80),
    row("EN4", "en4_media_over_tcp_from_a_node", External, MediaOut(|node| node.av), 443),
    row("EN6", "en6_media_over_tcp_to_a_node", External, In(|node| node.av), MEDIA),
    row("EV2", "ev2_xmpp_out_leaves_from_the_vip", External, VipOut(|node| node.access, vip::ACCESS), 5269),
    row("IV6", "iv6_443_to_the_inside_leaves_from_the_vip", Internal, VipOut(|node| node.internal, vip::INTERNAL), 443),
    row("IN1", "in1_xmpp_gateway_23456", Internal, In(|node| node.internal), 23_456),
    row("IN2", "in2_replication_4443", Internal, In(|node| node.internal), 4443),
    row("IN3", "in3_web_conferencing_8057", Internal, In(|node| node.internal), 8057),
    row("IN6", "in6_logging_50001", Internal, In(|node| node.internal), 50_001),
    row("IN7", "in7_logging_50002", Internal, In(|node| node.internal), 50_002),
    row("IN8", "in8_logging_50003", Internal, In(|node| node.internal), 50_003),
];

const fn row(id: &'static str, name: &'static str, side: Side, way: Way, port: u16) -> Row {
    Row {
        id,
        name,
        side,
        way,
        port,
    }
}

/// The checks of the rows.
pub fn checks() -> impl Iterator<Item = Check> {
    ROWS.iter()
        .map(|row| Check::new(row.id, row.name, |lab, _| Ok(check(row, lab))))
}

/// Asks one row at every node.
fn check(row: &Row, lab: &Lab) -> Vec<Finding> {
    let mut problems = Vec::new();
    let (mut from, mut answered, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    for (number, node) in NODES.iter().enumerate() {
        match ask(row, lab, number) {
            Ok((client, who)) => {
                let expected = match row.way {
                    Out(_) | MediaOut(_) | In(_) => client,
                    // The node's port is kept where it is free, and here it is.
                    VipOut(_, vip) => at(vip, client.port()),
                };
                if who.saw != expected {
                    problems.push(format!("{} sees {}, not {expected}", who.node, who.saw));
                }
                if matches!(row.way, In(_)) && who.node != node.name {
                    problems.push(format!("{} answers for {}", who.node, node.name));
                }
                from.push(client.to_string());
                seen.push(who.saw.to_string());
                answered.push(who.node);
            }
            Err(error) => problems.push(format!("{}: {error:#}", node.name)),
        }
    }
    let asked = match row.way {
        In(_) => "a node".to_owned(),
        _ => row.side.partner().to_string(),
    };
    vec![Finding {
        id: row.id,
        asked: format!("{asked}:{}/tcp", row.port),
        from: from.join(", "),
        answered: tally(answered.iter().map(String::as_str)),
        seen: seen.join(", "),
        problems,
    }]
}

/// Asks; returns the client's end, and what the server says.
fn ask(row: &Row, lab: &Lab, number: usize) -> Result<(SocketAddrV4, Who)> {
    let node = &NODES[number];
    let edge = lab.host(Host::Edge(number));
    let partner = at(row.side.partner(), row.port);
    match row.way {
        Out(of) | VipOut(of, _) => get(lab, edge, at(of(node), ports::other()), partner),
        MediaOut(of) => get(lab, edge, at(of(node), ports::media()), partner),
        In(of) => {
            let from = row.side.asker_address(40);
            let from = at(from, ports::other());
            get(lab, lab.asker(row.side), from, at(of(node), row.port))
        }
    }
    .with_context(|| row.id)
}

/// Asks who is there: in clear text on the port for that, else over TLS.
fn get(
    lab: &Lab,
    client: &Namespace,
    from: SocketAddrV4,
    to: SocketAddrV4,
) -> Result<(SocketAddrV4, Who)> {
    client.enter(|| {
        if to.port() == 80 {
            return Ok((from, clients::who_over_http(from, to)?));
        }
        let mut connection = Connection::open_from(from, to, &lab.tls)?;
        Ok((connection.client, connection.who()?))
    })?
}
