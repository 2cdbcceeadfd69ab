//! Everything beside flows of TCP behind source NAT.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::Result;
use lb_common::drop_reason::DropReason;

use super::{
    Effort,
    bed::{Bed, Expected, Path},
    floor,
    opening::{self, TCP, half_open, newcomers, once, path, shuffled, to_client, to_node},
    pool,
    programs::Template,
    samples::{Kind, Samples},
    traffic::{Flow, Says, frame},
};
use crate::runner::Port;

/// A client's packet of a confirmed flow.
pub const TO_NODE: &str = "snat hit, to the node";
/// A node's packet of a confirmed flow.
pub const TO_CLIENT: &str = "snat hit, to the client";
/// The SYN of a new flow.
pub const SYN: &str = "new TCP flow: its SYN";

/// Series of templates as long as there are flows.
const SERIES: usize = 6;

/// Measures every path at a number of flows.
pub fn measure(flows: u64, effort: &Effort) -> Result<Samples> {
    let flows = flows as usize;
    let batch = effort.batch;
    let room = (flows + batch).next_power_of_two();
    let templates = SERIES * flows + batch;
    let mut bed = Bed::new(room as u32, 4 * batch as u32, templates)?;
    let open = TCP.fill(&mut bed, flows, batch)?;
    bed.holds(flows)?;
    floor::fill(&mut bed, &open, Says::Segment)?;
    let open = shuffled(open);
    let paths = paths(&mut bed, &open)?;
    floor::agrees(&mut bed, &paths)?;
    let mut samples = Samples::default();
    let packets = effort.packets.max(flows);
    for round in 0..effort.rounds {
        for path in &paths {
            let warm = flows.min(effort.packets);
            samples.add_packet(path.name, &bed.measure(path, warm, packets)?);
        }
        open_new(&mut bed, &newcomers(flows, round, batch), &mut samples)?;
    }
    Ok(samples)
}

fn paths(bed: &mut Bed, open: &[Flow]) -> Result<Vec<Path>> {
    use Port::{Ext0, Ext1};
    let segment = Says::Segment;
    let hits = open.iter().map(|flow| to_node(flow, segment));
    let hits = path(bed, TO_NODE, Ext0, hits, opening::TO_NODE)?;
    let back = open.iter().map(|flow| to_client(flow, segment));
    let back = path(bed, TO_CLIENT, Ext1, back, opening::TO_CLIENT)?;
    let mut paths = floor::paths(&hits);
    paths.extend([hits, back]);
    let policy = Expected::Dropped(DropReason::Policy);
    for (name, at, packet, expected) in [
        ("routed in", Ext0, media_in as Packet, Expected::Routed),
        ("routed out", Ext1, media_out, Expected::Routed),
        ("policy drop", Ext0, unwanted, policy),
        ("pass to the kernel", Ext0, to_machine, Expected::Passed),
    ] {
        let frames = open.iter().map(|flow| packet(flow.client));
        paths.push(path(bed, name, at, frames, expected)?);
    }
    Ok(paths)
}

/// A packet of a client that has no flow.
type Packet = fn(SocketAddrV4) -> Template;

fn media_in(client: SocketAddrV4) -> Template {
    frame(Port::Ext0, client, peer(client, 50_000), Says::Datagram)
}

fn media_out(client: SocketAddrV4) -> Template {
    frame(Port::Ext1, peer(client, 50_000), client, Says::Datagram)
}

/// To a port that nothing names.
fn unwanted(client: SocketAddrV4) -> Template {
    frame(Port::Ext0, client, peer(client, 9999), Says::Datagram)
}

fn to_machine(client: SocketAddrV4) -> Template {
    let own = Ipv4Addr::from(Port::Ext0.own_address());
    frame(Port::Ext0, client, SocketAddrV4::new(own, 22), Says::Syn)
}

/// The node that a client has media with, at its own address.
fn peer(client: SocketAddrV4, port: u16) -> SocketAddrV4 {
    let number = client.ip().to_bits() + u32::from(client.port());
    let node = number % u32::from(pool::NODES);
    SocketAddrV4::new(pool::av(node as u8), port)
}

/// Opens a flow for each of these clients, and removes them again.
fn open_new(bed: &mut Bed, numbers: &[usize], samples: &mut Samples) -> Result<()> {
    let each = numbers.len() as f64;
    let firsts = numbers.iter().map(|number| TCP.of(*number)).collect();
    let first = once(bed, Port::Ext0, firsts, opening::TO_NODE)?;
    samples.add(SYN, Kind::Packet, first / each);
    let (flows, keys) = half_open(bed, numbers)?;
    let answers = flows.iter().map(|flow| TCP.answer_in(flow)).collect();
    let answer = once(bed, Port::Ext1, answers, opening::TO_CLIENT)?;
    let confirmations = flows.iter().map(|flow| TCP.confirmation_in(flow)).collect();
    let confirmation = once(bed, Port::Ext0, confirmations, opening::TO_NODE)?;
    samples.add(
        "new TCP flow: SYN, SYN-ACK and ACK",
        Kind::Opening(3),
        (first + answer + confirmation) / each,
    );
    opening::remove(bed, &keys)
}
