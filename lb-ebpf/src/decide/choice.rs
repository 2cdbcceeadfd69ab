//! Which node of a service takes a new flow.

use lb_common::{
    affinity::AffinityKey,
    flow::FlowKey,
    service::{Choice, NO_NODE, SOURCE_OR_AFFINITY, Service, node_cell},
};

use crate::{spread, tables::Tables};

/// The index of the node, or [`NO_NODE`].
#[inline(always)]
pub fn node<T: Tables>(key: &FlowKey, service: &Service, tables: &T, now: u32) -> u8 {
    let at = |slot| tables.ring_slot(service.index, slot).unwrap_or(NO_NODE);
    if service.choice == Choice::Source as u8 {
        at(spread::slot_of_source(key))
    } else if service.choice == Choice::LeastConnections as u8 {
        let (one, other) = spread::two_slots(key);
        lighter(at(one), at(other), service, tables)
    } else if service.choice == SOURCE_OR_AFFINITY {
        match affine(key, service, tables, now) {
            NO_NODE => at(spread::slot_of_source(key)),
            node => node,
        }
    } else {
        at(spread::slot(key))
    }
}

/// The draining node that a client stays with, or [`NO_NODE`].
#[inline(always)]
fn affine<T: Tables>(key: &FlowKey, service: &Service, tables: &T, now: u32) -> u8 {
    match tables.affinity(&AffinityKey::new(key.source, service.index)) {
        Some(affinity) if now < affinity.until => affinity.node as u8,
        _ => NO_NODE,
    }
}

/// The one with fewer flows for its weight.
#[inline(always)]
fn lighter<T: Tables>(one: u8, other: u8, service: &Service, tables: &T) -> u8 {
    let load = |index: u8| {
        let cell = node_cell(service.index, u16::from(index));
        let weight = tables.node(cell).map_or(1, |node| node.weight);
        (tables.load(cell), u64::from(weight))
    };
    // The ring names nobody, or the same node twice.
    if one == other || other == NO_NODE {
        return one;
    }
    let ((load_one, weight_one), (load_other, weight_other)) = (load(one), load(other));
    // A flow more weighs as much as it will: with no flows yet, the heavier node is the lighter one.
    if (load_one + 1) * weight_other <= (load_other + 1) * weight_one {
        one
    } else {
        other
    }
}
