//! Everything beside flows of TCP behind source NAT.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Result, ensure};
use lb_common::{bench_packet::names, drop_reason::DropReason};
use lb_daemon::datapath::FlowTable;

use super::{
    Effort,
    bed::{Bed, Expected, Path},
    opening::{
        self, TCP, TO_CLIENT as IS_TO_CLIENT, TO_NODE as IS_TO_NODE, half_open, newcomers, once,
        path, shuffled, to_client, to_node,
    },
    pool,
    samples::{Kind, Samples, floor},
    traffic::{Flow, Says, classic_entry, classic_key, frame},
};
use crate::runner::{Port, kernel::index};

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
    // In the order in which edgelb got them, not in that of the packets: what lies side by side in a table is
    // a matter of who came after whom.
    fill_floor(&mut bed, &open, Says::Segment)?;
    let open = shuffled(open);
    let paths = paths(&mut bed, &open)?;
    agrees(&mut bed, &paths)?;
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

/// Gives the floor's table both directions of every flow.
pub fn fill_floor(bed: &mut Bed, flows: &[Flow], says: Says) -> Result<()> {
    for flow in flows {
        let asks = to_node(flow, says);
        let asked = crossed(&frame(Port::Ext0, flow.source, flow.node, says), Port::Ext1);
        let answers = to_client(flow, says);
        let answered = crossed(&frame(Port::Ext1, flow.vip, flow.client, says), Port::Ext0);
        for (before, after) in [(asks, asked), (answers, answered)] {
            bed.programs
                .enter(classic_key(&before), classic_entry(&before, &after))?;
        }
    }
    Ok(())
}

/// A frame after it was sent on by an interface: one hop less, and Ethernet addresses of that side.
fn crossed(frame: &super::programs::Template, by: Port) -> super::programs::Template {
    let mut frame = *frame;
    frame[22] -= 1;
    frame[6..12].copy_from_slice(&by.mac());
    let (_, destination) = super::traffic::addresses(&frame);
    let known = pool::neighbours();
    let known = known
        .iter()
        .find(|known| known.port == by && known.address == destination.ip().octets());
    frame[..6].copy_from_slice(&known.map_or(crate::runner::ROUTER, |known| known.mac));
    frame
}

fn paths(bed: &mut Bed, open: &[Flow]) -> Result<Vec<Path>> {
    use Port::{Ext0, Ext1};
    let hit = path(
        bed,
        TO_NODE,
        Ext0,
        open.iter().map(|flow| to_node(flow, Says::Segment)),
        IS_TO_NODE,
    )?;
    let back = path(
        bed,
        TO_CLIENT,
        Ext1,
        open.iter().map(|flow| to_client(flow, Says::Segment)),
        IS_TO_CLIENT,
    )?;
    let media = |client: &SocketAddrV4, port| {
        let node = u32::from(client.port()) + client.ip().to_bits();
        SocketAddrV4::new(pool::av((node % u32::from(pool::NODES)) as u8), port)
    };
    let clients: Vec<SocketAddrV4> = open.iter().map(|flow| flow.client).collect();
    let clients = clients.iter();
    let routed_in = clients
        .clone()
        .map(|client| frame(Ext0, *client, media(client, 50_000), Says::Datagram));
    let routed_in = path(bed, "routed in", Ext0, routed_in, Expected::Routed)?;
    let routed_out = clients
        .clone()
        .map(|client| frame(Ext1, media(client, 50_000), *client, Says::Datagram));
    let routed_out = path(bed, "routed out", Ext1, routed_out, Expected::Routed)?;
    let refused = clients
        .clone()
        .map(|client| frame(Ext0, *client, media(client, 9999), Says::Datagram));
    let policy = Expected::Dropped(DropReason::Policy);
    let refused = path(bed, "policy drop", Ext0, refused, policy)?;
    let own = SocketAddrV4::new(Ipv4Addr::from(Ext0.own_address()), 22);
    let passed = clients.map(|client| frame(Ext0, *client, own, Says::Syn));
    let passed = path(bed, "pass to the kernel", Ext0, passed, Expected::Passed)?;
    let mut paths = floors(&hit);
    paths.extend([hit, back, routed_in, routed_out, refused, passed]);
    Ok(paths)
}

/// The floors, run by the packets of `hit`.
pub fn floors(hit: &Path) -> Vec<Path> {
    let floors = [floor::RETURN, floor::PARSE, floor::CLASSIC];
    floors
        .map(|name| Path {
            name,
            expected: Expected::Floor(name),
            ..hit.clone()
        })
        .into()
}

/// Makes sure that the floor writes the very frames that edgelb writes: or it would not be one.
pub fn agrees(bed: &mut Bed, paths: &[Path]) -> Result<()> {
    let hits = paths
        .iter()
        .filter(|path| matches!(path.expected, Expected::Forwarded(_)));
    for hit in hits {
        for at in hit.templates.clone().take(16) {
            let frame = bed.programs.templates()[at];
            let ours = bed.send(hit.at, &frame)?;
            bed.programs.test_floor(names::FLOOR_CLASSIC)?;
            bed.programs.rewind(at, 1)?;
            let floors = bed.programs.one(index(hit.at))?;
            ensure!(
                floors == ours,
                "{}: the floor makes of {frame:02x?}\n{floors:02x?}\nand edgelb\n{ours:02x?}",
                hit.name
            );
        }
    }
    Ok(())
}

/// Opens a flow for each of these clients, and removes them again.
fn open_new(bed: &mut Bed, numbers: &[usize], samples: &mut Samples) -> Result<()> {
    let each = numbers.len() as f64;
    let firsts = numbers.iter().map(|number| TCP.of(*number)).collect();
    let first = once(bed, Port::Ext0, firsts, IS_TO_NODE)?;
    samples.add(SYN, Kind::Packet, first / each);
    let (flows, keys) = half_open(bed, numbers)?;
    let answers = flows.iter().map(|flow| TCP.answer_in(flow)).collect();
    let answer = once(bed, Port::Ext1, answers, IS_TO_CLIENT)?;
    let confirmations = flows.iter().map(|flow| TCP.confirmation_in(flow)).collect();
    let confirmation = once(bed, Port::Ext0, confirmations, IS_TO_NODE)?;
    samples.add(
        "new TCP flow: SYN, SYN-ACK and ACK",
        Kind::Opening(3),
        (first + answer + confirmation) / each,
    );
    opening::remove(bed, FlowTable::Established, &keys)
}
