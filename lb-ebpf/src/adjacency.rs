//! Where the packets of a flow go next. Only on a miss: a hit finds its cell by index.

use lb_common::{
    drop_reason::DropReason, event::Event, flow::FlowKey, net::Zone, next_hop::NextHop,
    route_cache::Wanted,
};

use crate::{
    decide::Found,
    packet::Packet,
    route_cache,
    tables::{Route, Tables},
};

/// What a flow entry keeps of a next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adjacency {
    /// Cell of the adjacency array.
    pub cell: u32,
    /// Generation of the routes that led there.
    pub generation: u32,
}

/// Looks up where a packet goes that came from `zone` and, once rewritten, has the addresses of `key`, and what the
/// cell holds.
///
/// # Errors
///
/// The reason why it goes nowhere. The daemon hears of every neighbour that comes into use, and fills
/// the cell of one that has not answered ARP yet as soon as it does.
#[inline(always)]
pub fn look_up(
    tables: &impl Tables,
    zone: Zone,
    key: &FlowKey,
    next_hop: &mut NextHop,
) -> Result<Adjacency, DropReason> {
    // Read first: a route that changes from here on makes this look-up stale at once.
    let generation = tables.route_generation();
    let (neighbour, resolved) = match tables.route(key) {
        Route::Resolved(neighbour, next_hop) => (neighbour, Some(next_hop)),
        Route::Unresolved(neighbour) => (neighbour, None),
        Route::None => return Err(DropReason::NoRoute),
    };
    match tables.interface(neighbour.interface) {
        Some(interface) if interface.zone() == zone => {}
        _ => return Err(DropReason::ZoneCrossing),
    }
    let cell = tables
        .neighbour_cell(&neighbour)
        .ok_or(DropReason::NextHopTableFull)?;
    let held = tables.next_hop(cell).unwrap_or_default();
    // A filled cell is the daemon's: it follows the neighbour more closely than this look-up.
    if held.interface != 0 && held.generation == generation {
        *next_hop = held;
        return Ok(Adjacency { cell, generation });
    }
    // The daemon keeps the neighbour resolved from here on.
    tables.notify(&Event {
        neighbour,
        next_hop: cell,
        reserved: 0,
    });
    let Some(resolved) = resolved else {
        return Err(DropReason::NextHopUnresolved);
    };
    *next_hop = resolved;
    next_hop.generation = generation;
    tables.set_next_hop(cell, next_hop);
    Ok(Adjacency { cell, generation })
}

/// The same for a packet that is only routed, by the cache while that is good: [`Found::Routed`], or the reason
/// why it goes nowhere. From whom the packet comes does not count.
#[inline(always)]
pub fn to_destination<T: Tables>(packet: &Packet, tables: &T, next_hop: &mut NextHop) -> Found {
    let generation = tables.route_generation();
    let wanted = Wanted::new(packet.key.destination, packet.zone, generation);
    if let Some(line) = tables.route_line(wanted.line())
        && let Some(cell) = route_cache::find(&line, wanted)
        && let Some(held) = tables.next_hop(cell)
        && held.interface != 0
        && held.generation == generation
    {
        *next_hop = held;
        return Found::Routed;
    }
    ask(packet, tables, next_hop)
}

/// Asks the kernel, for the cache as well.
#[inline(never)]
fn ask<T: Tables>(packet: &Packet, tables: &T, next_hop: &mut NextHop) -> Found {
    match look_up(tables, packet.zone, &packet.key, next_hop) {
        Ok(found) => {
            let wanted = Wanted::new(packet.key.destination, packet.zone, found.generation);
            if let Some(line) = tables.route_line(wanted.line()) {
                route_cache::keep(&line, wanted, found.cell);
            }
            Found::Routed
        }
        Err(reason) => Found::Refused(reason),
    }
}

/// The same for the packets to a node, which leave from a VIP and have, once rewritten, the addresses of
/// `key`. That is the same way for every flow of `node_cell`, of which there are as many as clients.
///
/// # Errors
///
/// As for [`look_up`].
#[inline(always)]
pub fn to_node<T: Tables>(
    tables: &T,
    zone: Zone,
    key: &FlowKey,
    node_cell: u32,
    next_hop: &mut NextHop,
) -> Result<Adjacency, DropReason> {
    let generation = tables.route_generation();
    // With the destination: a node that opens a connection from a VIP has its cell, too.
    let wanted = Wanted::new(key.destination, zone, generation);
    if let Some(cell) = wanted.cell(tables.node_route(node_cell))
        && let Some(held) = tables.next_hop(cell)
        && held.interface != 0
        && held.generation == generation
    {
        *next_hop = held;
        return Ok(Adjacency { cell, generation });
    }
    let found = look_up(tables, zone, key, next_hop)?;
    let wanted = Wanted::new(key.destination, zone, found.generation);
    tables.set_node_route(node_cell, wanted.word(found.cell));
    Ok(found)
}

/// True where the kernel would send a packet with the addresses of `key` on to another host; false for
/// this machine's own addresses, and where it knows no way.
#[inline(never)]
pub fn leads_elsewhere(tables: &impl Tables, key: &FlowKey) -> bool {
    tables.route(key) != Route::None
}
