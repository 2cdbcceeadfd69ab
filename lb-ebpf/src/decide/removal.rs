//! The end of a flow: both entries and the SNAT port go together.

use lb_common::{
    flow::{Direction, FlowKey},
    net::Port,
    service::NO_POOL,
    upkeep::EndedFlow,
};

use crate::{
    snat_port,
    tables::{FlowSlot, Table, Tables},
};

/// Removes the flow whose client's packets have `key` and the entry `to_node`.
#[inline(always)]
pub fn remove<T: Tables>(table: Table, key: &FlowKey, to_node: &T::Slot, tables: &T) {
    // Read before the entry goes: its place may be given to another flow at once.
    let (rewrite, pool) = to_node.with(|entry| (entry.rewrite, entry.snat_pool));
    if forget(table, key, &key.answer_to(&rewrite), tables) {
        release_port(pool, rewrite.source_port, tables);
    }
}

/// Takes both directions of a flow off a table; false where somebody else has just done so.
#[inline(always)]
fn forget<T: Tables>(table: Table, key: &FlowKey, peer: &FlowKey, tables: &T) -> bool {
    match table {
        Table::Established => tables.forget_established(key),
        Table::HalfOpen => {
            tables.forget_half_open(key);
            tables.forget_half_open(peer);
            true
        }
    }
}

/// Removes a flow that the daemon has found to be over, unless a packet has come by since; true where the
/// flow is gone by this.
#[inline(never)]
pub fn end<T: Tables>(ended: &EndedFlow, tables: &T) -> bool {
    let key = &ended.key;
    let table = if ended.is_half_open == 0 {
        Table::Established
    } else {
        Table::HalfOpen
    };
    let Some(flow) = tables.flow(table, key) else {
        return false;
    };
    let (rewrite, pool, direction, last_seen) = flow.with(|entry| {
        let direction = entry.role.direction();
        (entry.rewrite, entry.snat_pool, direction, entry.last_seen)
    });
    let peer = key.answer_to(&rewrite);
    if ended.at_once == 0 {
        let peer_seen = tables
            .flow(table, &peer)
            .map_or(ended.last_seen[1], |peer| {
                peer.with(|entry| entry.last_seen)
            });
        if [last_seen, peer_seen] != ended.last_seen {
            return false;
        }
    }
    if !forget(table, key, &peer, tables) {
        return false;
    }
    let port = if direction == Direction::TO_NODE {
        rewrite.source_port
    } else {
        key.destination_port
    };
    release_port(pool, port, tables);
    true
}

/// Gives back the SNAT port of a flow, if it has one.
#[inline(always)]
pub fn release_port<T: Tables>(pool: u16, port: Port, tables: &T) {
    if pool != NO_POOL {
        snat_port::release(tables, pool, port.number());
    }
}
