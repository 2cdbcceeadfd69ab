//! Rows of relayed media: a client has a node relay, and a peer talks to the address that relays.

use std::{
    net::{SocketAddrV4, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lb_common::net::Protocol;

use super::{Check, ports};
use crate::lab::{
    Lab, coturn,
    plan::{NODES, Node, Side, at},
    report::Finding,
    turn::{self, Client},
};

/// Packets in each direction.
const PACKETS: usize = 50;

/// From where a packet of media has come, and its size.
type Media = (SocketAddrV4, usize);

/// A client of a node, and its peer: both outside, both with an address of their own.
pub struct Relay {
    client: Client,
    peer: UdpSocket,
    /// Where the peer is.
    pub peer_address: SocketAddrV4,
    /// The address that relays.
    pub relayed: SocketAddrV4,
}

impl Relay {
    /// Allocates at a node's own address.
    pub fn at_node(lab: &Lab, node: &Node) -> Result<Self> {
        let side = Side::External;
        lab.asker(side).enter(|| {
            let from = at(side.asker_address(50), ports::other());
            let peer_address = at(side.asker_address(51), ports::other());
            let peer = UdpSocket::bind(peer_address)?;
            peer.set_read_timeout(Some(Duration::from_secs(3)))?;
            let to = at(node.av, coturn::UDP);
            let mut client = Client::open(Protocol::Udp, from, to)?;
            let relayed = client.allocate()?;
            ensure!(*relayed.ip() == node.av, "{} relays", relayed.ip());
            client.permit(*peer_address.ip())?;
            Ok(Self {
                client,
                peer,
                peer_address,
                relayed,
            })
        })?
    }

    /// The client sends media of these sizes to the peer; what that receives, and from whom.
    pub fn out(&mut self, sizes: &[usize]) -> Result<Vec<Media>> {
        for size in sizes {
            self.client.relay(self.peer_address, &vec![1; *size])?;
        }
        let mut buffer = [0; 2048];
        sizes
            .iter()
            .map(|_| {
                let (size, from) = self.peer.recv_from(&mut buffer).context("no media came")?;
                Ok((turn::v4(from)?, size))
            })
            .collect()
    }

    /// The peer sends media of these sizes to the address that relays; what the client receives, and
    /// from whom.
    pub fn back(&mut self, sizes: &[usize]) -> Result<Vec<Media>> {
        for size in sizes {
            self.peer.send_to(&vec![2; *size], self.relayed)?;
        }
        sizes
            .iter()
            .map(|_| {
                let (from, media) = self.client.relayed()?;
                Ok((from, media.len()))
            })
            .collect()
    }
}

/// The checks of the rows.
pub fn checks() -> [Check; 2] {
    [
        Check::new("EN5", "en5_media_over_udp_from_a_node", |lab, _| {
            Ok(check("EN5", lab, Relay::out))
        }),
        Check::new("EN7", "en7_media_over_udp_to_a_node", |lab, _| {
            Ok(check("EN7", lab, Relay::back))
        }),
    ]
}

/// One direction.
type Direction = fn(&mut Relay, &[usize]) -> Result<Vec<Media>>;

fn check(id: &'static str, lab: &Lab, media: Direction) -> Vec<Finding> {
    let (mut problems, mut seen) = (Vec::new(), Vec::new());
    for node in &NODES {
        let outcome = Relay::at_node(lab, node).and_then(|mut relay| {
            let expected = match id {
                "EN5" => relay.relayed,
                _ => relay.peer_address,
            };
            let came = media(&mut relay, &[160; PACKETS])?;
            ensure!(
                came.iter().all(|media| *media == (expected, 160)),
                "came as {came:?}, not from {expected}"
            );
            Ok(expected)
        });
        match outcome {
            Ok(source) => seen.push(source.to_string()),
            Err(error) => problems.push(format!("{}: {error:#}", node.name)),
        }
    }
    vec![Finding {
        id,
        asked: format!("{PACKETS} packets of media, relayed by each node"),
        from: Side::External.asker_address(50).to_string(),
        answered: format!("{} nodes", seen.len()),
        seen: seen.join(", "),
        problems,
    }]
}
