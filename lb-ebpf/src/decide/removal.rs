//! The end of a flow: both entries and the SNAT port go together.

use lb_common::{flow::FlowKey, net::Port, service::NO_POOL, upkeep::EndedFlow};

use crate::{
    snat_port,
    tables::{FlowSlot, Tables},
};

/// Removes the flow whose client's packets have `key` and the entry `to_node`; false where somebody else does so.
#[inline(always)]
pub fn remove<T: Tables>(key: &FlowKey, to_node: &T::Slot, tables: &T) -> bool {
    // Read before the entry goes: its place may be given to another flow at once.
    let (port, pool) = to_node.with(|entry| (entry.rewrite.source_port, entry.snat_pool));
    let is_gone = tables.forget(key);
    if is_gone {
        release_port(pool, port, tables);
    }
    is_gone
}

/// Removes a flow that the daemon has found to be over, unless a packet has come by since; true where the
/// flow is gone by this.
#[inline(never)]
pub fn end<T: Tables>(ended: &EndedFlow, tables: &T) -> bool {
    let key = &ended.key;
    let Some(flow) = tables.look_up(key) else {
        return false;
    };
    if ended.at_once == 0 {
        let (rewrite, last_seen) = flow.with(|entry| (entry.rewrite, entry.last_seen));
        let answers_seen = tables
            .other_direction(&flow, &key.answer_to(&rewrite))
            .map(|answers| answers.with(|entry| entry.last_seen));
        if [Some(last_seen), answers_seen] != ended.last_seen.map(Some) {
            return false;
        }
    }
    remove(key, &flow, tables)
}

/// Gives back the SNAT port of a flow, if it has one.
#[inline(always)]
pub fn release_port<T: Tables>(pool: u16, port: Port, tables: &T) {
    if pool != NO_POOL {
        snat_port::release(tables, pool, port.number());
    }
}
