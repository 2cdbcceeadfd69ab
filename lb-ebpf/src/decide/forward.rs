//! The last step of every flow: its counters, its next hop, its verdict.

use lb_common::{
    drop_reason::DropReason,
    flow::{Direction, FlowKey},
    net::Port,
    next_hop::NextHop,
};

use crate::{
    adjacency,
    packet::Packet,
    tables::{FlowSlot, Tables},
    verdict::{Verdict, Way},
};

/// Sends a packet on as the entry of its flow says.
#[inline(always)]
pub fn through<T: Tables>(
    packet: &Packet,
    flow: &T::Slot,
    tables: &T,
    now: u32,
    way: &mut Way,
) -> Verdict {
    if packet.ttl <= 1 {
        return Verdict::Drop(DropReason::TtlExpired);
    }
    let (cell, generation) = flow.with(|entry| {
        way.rewrite = entry.rewrite;
        way.node_cell = u32::from(entry.node_cell);
        way.direction = entry.role.direction();
        (u32::from(entry.next_hop), entry.generation)
    });
    match tables.next_hop(cell) {
        Some(held) if held.interface != 0 && held.generation == generation => way.next_hop = held,
        _ => {
            if let Some(reason) = look_up(packet, flow, tables, &mut way.next_hop) {
                return Verdict::Drop(reason);
            }
        }
    }
    flow.with(|entry| {
        entry.packets = entry.packets.saturating_add(1);
        entry.bytes += u64::from(packet.length);
        // Only on a new tick: a store to a line that another core reads is not free.
        if entry.last_seen != now {
            entry.last_seen = now;
        }
    });
    Verdict::Forward
}

/// Finds the next hop of a flow that has none, or whose routes have changed since; the reason where there
/// is none.
#[inline(never)]
fn look_up<T: Tables>(
    packet: &Packet,
    flow: &T::Slot,
    tables: &T,
    next_hop: &mut NextHop,
) -> Option<DropReason> {
    let (source, destination, role, node_cell) = flow.with(|entry| {
        let rewrite = &entry.rewrite;
        let node_cell = u32::from(entry.node_cell);
        (rewrite.source, rewrite.destination, entry.role, node_cell)
    });
    let rewritten = FlowKey::from_wire(
        packet.zone,
        packet.key.protocol,
        (source, Port::default()),
        (destination, Port::default()),
    );
    let found = if role.direction() == Direction::TO_NODE && !role.is_dnat() {
        adjacency::to_node(tables, packet.zone, &rewritten, node_cell, next_hop)
    } else {
        adjacency::look_up(tables, packet.zone, &rewritten, next_hop)
    };
    match found {
        Ok(route) => {
            flow.with(|entry| {
                // There are fewer cells than this can name.
                entry.next_hop = route.cell as u16;
                entry.generation = route.generation;
            });
            None
        }
        Err(reason) => Some(reason),
    }
}
