//! The floors: what runs in edgelb's place, on the same packets.

use anyhow::{Result, ensure};
use lb_common::bench_packet::names;

use super::{
    bed::{Bed, Expected, Path},
    opening::{to_client, to_node},
    pool,
    programs::Template,
    traffic::{Flow, Says, addresses, classic_entry, classic_key, frame},
};
use crate::runner::{Neighbour, Port, ROUTER, kernel::index};

/// A program that returns `XDP_TX`: what is left is the driver.
pub const RETURN: &str = "floor: the driver alone";
/// Parse.
pub const PARSE: &str = "floor: parse";
/// Parse, one look-up in the kernel's hash table, full rewrite.
pub const CLASSIC: &str = "floor: parse + look-up + rewrite";

/// The floors, run by the packets of `hit`.
pub fn paths(hit: &Path) -> Vec<Path> {
    let floors = [RETURN, PARSE, CLASSIC];
    floors
        .map(|name| Path {
            name,
            expected: Expected::Floor(name),
            ..hit.clone()
        })
        .into()
}

/// Gives the floor's table both directions of every flow.
///
/// To be called in the order in which edgelb got them, which is not that of the packets: what lies side by
/// side in a table is a matter of who came after whom.
pub fn fill(bed: &mut Bed, flows: &[Flow], says: Says) -> Result<()> {
    let known = pool::neighbours();
    for flow in flows {
        let asked = frame(Port::Ext0, flow.source, flow.node, says);
        let answered = frame(Port::Ext1, flow.vip, flow.client, says);
        for (before, after) in [
            (to_node(flow, says), crossed(asked, Port::Ext1, &known)),
            (to_client(flow, says), crossed(answered, Port::Ext0, &known)),
        ] {
            bed.programs
                .enter(classic_key(&before), classic_entry(&before, &after))?;
        }
    }
    Ok(())
}

/// A frame after it was sent on by an interface: one hop less, and Ethernet addresses of that side.
fn crossed(mut frame: Template, by: Port, known: &[Neighbour]) -> Template {
    const TTL: usize = 22;
    let (_, destination) = addresses(&frame);
    let next_hop = known
        .iter()
        .find(|known| known.port == by && known.address == destination.ip().octets());
    frame[..6].copy_from_slice(&next_hop.map_or(ROUTER, |known| known.mac));
    frame[6..12].copy_from_slice(&by.mac());
    frame[TTL] -= 1;
    frame
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
