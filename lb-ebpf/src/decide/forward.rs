//! The last step of every flow: its counters, its next hop, its verdict.

use lb_common::{
    drop_reason::DropReason,
    flow::{Direction, FlowKey},
    net::Port,
    next_hop::{CachedRoute, Destination, NextHop},
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
    let (source, destination, role) = flow.with(|entry| {
        let rewrite = &entry.rewrite;
        (rewrite.source, rewrite.destination, entry.role)
    });
    let rewritten = FlowKey::from_wire(
        packet.zone,
        packet.key.protocol,
        (source, Port::default()),
        (destination, Port::default()),
    );
    // From a VIP to a node is the same way for every flow; there are as many clients as flows.
    let found = if role.direction() == Direction::TO_NODE && !role.is_dnat() {
        let destination = Destination {
            address: destination,
            source,
            zone: u32::from(packet.key.zone()),
        };
        adjacency::look_up_once(tables, packet.zone, &rewritten, &destination, next_hop)
    } else {
        adjacency::look_up(tables, packet.zone, &rewritten).map(|found| {
            *next_hop = found.next_hop;
            CachedRoute {
                cell: found.cell,
                generation: found.generation,
            }
        })
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
