//! The last step of every flow: its counters, its next hop, its verdict.

use lb_common::{
    drop_reason::DropReason,
    flow::{FlowKey, Rewrite},
    net::Port,
    service::node_cell,
};

use crate::{
    adjacency,
    packet::Packet,
    tables::{FlowSlot, Tables},
    verdict::{Forward, Verdict},
};

/// Sends a packet on as the entry of its flow says.
#[inline(always)]
pub fn through<T: Tables>(packet: &Packet, flow: &T::Slot, tables: &T, now: u32) -> Verdict {
    if packet.ttl <= 1 {
        return Verdict::Drop(DropReason::TtlExpired);
    }
    let (rewrite, cell, generation, counters, direction) = flow.with(|entry| {
        (
            entry.rewrite,
            entry.next_hop,
            entry.generation,
            node_cell(entry.service, entry.node),
            entry.direction,
        )
    });
    let next_hop = match tables.next_hop(cell) {
        Some(held) if held.interface != 0 && held.generation == generation => held,
        _ => match look_up(packet, &rewrite, flow, tables) {
            Ok(next_hop) => next_hop,
            Err(reason) => return Verdict::Drop(reason),
        },
    };
    if packet.length > next_hop.mtu {
        return Verdict::Drop(DropReason::TooBig);
    }
    flow.with(|entry| {
        entry.packets += 1;
        entry.bytes += u64::from(packet.length);
        // Only on a new tick: a store to a line that another core reads is not free.
        if entry.last_seen != now {
            entry.last_seen = now;
        }
    });
    Verdict::Forward(Forward {
        rewrite,
        next_hop,
        node_cell: counters,
        direction,
    })
}

/// Finds the next hop of a flow that has none, or whose routes have changed since.
#[inline(never)]
fn look_up<T: Tables>(
    packet: &Packet,
    rewrite: &Rewrite,
    flow: &T::Slot,
    tables: &T,
) -> Result<lb_common::next_hop::NextHop, DropReason> {
    let rewritten = FlowKey::from_wire(
        packet.zone,
        packet.key.protocol,
        (rewrite.source, Port::default()),
        (rewrite.destination, Port::default()),
    );
    let adjacency = adjacency::look_up(tables, packet.zone, &rewritten)?;
    flow.with(|entry| {
        entry.next_hop = adjacency.cell;
        entry.generation = adjacency.generation;
    });
    Ok(adjacency.next_hop)
}
