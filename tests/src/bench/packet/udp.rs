//! Everything beside flows of UDP without source NAT.

use std::ops::Range;

use anyhow::Result;

use super::{
    Effort,
    bed::{Bed, Path},
    floor,
    opening::{
        Opening, TO_CLIENT, TO_NODE, UDP, half_open, newcomers, once, path, remove, shuffled,
        to_client, to_node,
    },
    samples::{Kind, Samples},
    traffic::{Flow, Says},
};
use crate::runner::Port;

/// Transactions that are under way at a time: far fewer than edgelb has room for.
const UNDER_WAY: usize = 16_384;

/// Series of templates as long as there are flows.
const SERIES: usize = 4;

/// Measures every path at a number of flows.
pub fn measure(flows: u64, effort: &Effort) -> Result<Samples> {
    let flows = flows as usize;
    let batch = effort.batch;
    let room = (flows + batch).next_power_of_two();
    let templates = SERIES * flows + batch;
    let mut bed = Bed::new(room as u32, 4 * batch as u32, templates)?;
    let open = UDP.fill(&mut bed, flows, batch)?;
    bed.holds(flows)?;
    floor::fill(&mut bed, &open, Says::Datagram)?;
    let open = shuffled(open);
    let paths = paths(&mut bed, &open)?;
    floor::agrees(&mut bed, &paths)?;
    let stun = stun(&mut bed, &open)?;
    let mut samples = Samples::default();
    let packets = effort.packets.max(flows);
    for round in 0..effort.rounds {
        for path in &paths {
            let warm = flows.min(effort.packets);
            samples.add_packet(path.name, &bed.measure(path, warm, packets)?);
        }
        ask(&mut bed, &stun, round, effort, &mut samples)?;
        let stun = Opening {
            first: Says::Request(round as u32),
            ..UDP
        };
        for (name, opening, turn) in [
            ("new UDP flow: data", UDP, 2 * round),
            ("new UDP flow: STUN request", stun, 2 * round + 1),
        ] {
            let numbers = newcomers(flows, turn, batch);
            let firsts = numbers.iter().map(|number| opening.of(*number)).collect();
            let took = once(&mut bed, Port::Ext0, firsts, TO_NODE)?;
            samples.add(name, Kind::Packet, took / batch as f64);
            let (_, keys) = half_open(&bed, &numbers)?;
            remove(&mut bed, &keys)?;
        }
    }
    Ok(samples)
}

fn paths(bed: &mut Bed, open: &[Flow]) -> Result<Vec<Path>> {
    let data = Says::Datagram;
    let hit = path(
        bed,
        "dnat hit, to the node",
        Port::Ext0,
        open.iter().map(|flow| to_node(flow, data)),
        TO_NODE,
    )?;
    let back = path(
        bed,
        "dnat hit, to the client",
        Port::Ext1,
        open.iter().map(|flow| to_client(flow, data)),
        TO_CLIENT,
    )?;
    let mut paths = floor::paths(&hit);
    paths.extend([hit, back]);
    Ok(paths)
}

/// STUN requests of all flows and the responses to them.
fn stun(bed: &mut Bed, open: &[Flow]) -> Result<[Path; 2]> {
    let numbered = || open.iter().zip(0..);
    let requests = numbered().map(|(flow, number)| to_node(flow, Says::Request(number)));
    let responses = numbered().map(|(flow, number)| to_client(flow, Says::Response(number)));
    Ok([
        path(bed, "dnat hit, STUN request", Port::Ext0, requests, TO_NODE)?,
        path(
            bed,
            "dnat hit, STUN response matched to it",
            Port::Ext1,
            responses,
            TO_CLIENT,
        )?,
    ])
}

/// Asks in some of the flows, others each round, and answers.
fn ask(
    bed: &mut Bed,
    stun: &[Path; 2],
    round: usize,
    effort: &Effort,
    samples: &mut Samples,
) -> Result<()> {
    let flows = stun[0].templates.len();
    let window = window(flows, round);
    // Where all flows take part, again and again; else each once, as cold as it is.
    let packets = if window.len() == flows {
        effort.packets.max(flows)
    } else {
        window.len()
    };
    for path in stun {
        let first = path.templates.start;
        let some = Path {
            templates: first + window.start..first + window.end,
            ..path.clone()
        };
        samples.add_packet(path.name, &bed.measure(&some, 0, packets)?);
    }
    Ok(())
}

/// The flows in which is asked in a round.
fn window(flows: usize, round: usize) -> Range<usize> {
    let length = flows.min(UNDER_WAY);
    let first = (round * length) % (flows - length + 1);
    first..first + length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_never_longer_than_what_there_is() {
        for (flows, round, range) in [
            (1, 5, 0..1),
            (1000, 3, 0..1000),
            (16_384, 2, 0..16_384),
            (1_000_000, 0, 0..16_384),
            (1_000_000, 2, 32_768..49_152),
        ] {
            assert_eq!(window(flows, round), range);
        }
    }
}
