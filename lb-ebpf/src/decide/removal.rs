//! The end of a flow in the data path: both entries and the SNAT port go together.

use lb_common::{flow::FlowKey, net::Port, service::NO_POOL};

use crate::{
    snat_port,
    tables::{FlowSlot, Table, Tables},
};

/// Removes the flow whose client's packets have `key` and the entry `to_node`.
#[inline(always)]
pub fn remove<T: Tables>(table: Table, key: &FlowKey, to_node: &T::Slot, tables: &T) {
    // Read before the entry goes: its place may be given to another flow at once.
    let (rewrite, pool) = to_node.with(|entry| (entry.rewrite, entry.snat_pool));
    tables.remove(table, key);
    tables.remove(table, &key.answer_to(&rewrite));
    release_port(pool, rewrite.source_port, tables);
}

/// Gives back the SNAT port of a flow, if it has one.
#[inline(always)]
pub fn release_port<T: Tables>(pool: u32, port: Port, tables: &T) {
    if pool != NO_POOL {
        snat_port::release(tables, pool, port.number());
    }
}
