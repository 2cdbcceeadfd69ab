//! Where the packets of a flow go next. Only on a miss: a hit finds its cell by index.

use lb_common::{
    drop_reason::DropReason,
    event::Event,
    flow::FlowKey,
    net::Zone,
    next_hop::{CachedRoute, Destination, NextHop},
};

use crate::tables::{Route, Tables};

/// A next hop, and what a flow entry keeps of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adjacency {
    /// Cell of the adjacency array.
    pub cell: u32,
    /// Generation of the routes that led there.
    pub generation: u32,
    /// What the cell holds.
    pub next_hop: NextHop,
}

/// Looks up where a packet goes that came from `zone` and, once rewritten, has the addresses of `key`.
///
/// # Errors
///
/// The reason why it goes nowhere. The daemon hears of every neighbour that comes into use, and fills
/// the cell of one that has not answered ARP yet as soon as it does.
#[inline(always)]
pub fn look_up(tables: &impl Tables, zone: Zone, key: &FlowKey) -> Result<Adjacency, DropReason> {
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
        return Ok(Adjacency {
            cell,
            generation,
            next_hop: held,
        });
    }
    // The daemon keeps the neighbour resolved from here on.
    tables.notify(&Event {
        neighbour,
        next_hop: cell,
        reserved: 0,
    });
    let Some(mut next_hop) = resolved else {
        return Err(DropReason::NextHopUnresolved);
    };
    next_hop.generation = generation;
    tables.set_next_hop(cell, &next_hop);
    Ok(Adjacency {
        cell,
        generation,
        next_hop,
    })
}

/// The same, in the cache while that is good. `destination` says for which packets the answer holds.
///
/// # Errors
///
/// As for [`look_up`].
#[inline(always)]
pub fn look_up_once(
    tables: &impl Tables,
    zone: Zone,
    key: &FlowKey,
    destination: &Destination,
    next_hop: &mut NextHop,
) -> Result<CachedRoute, DropReason> {
    if let Some(route) = tables.cached_route(destination)
        && let Some(held) = tables.next_hop(route.cell)
        && held.interface != 0
        && held.generation == route.generation
    {
        *next_hop = held;
        return Ok(route);
    }
    let found = look_up(tables, zone, key)?;
    let route = CachedRoute {
        cell: found.cell,
        generation: found.generation,
    };
    tables.cache_route(destination, &route);
    *next_hop = found.next_hop;
    Ok(route)
}

/// True where the kernel would send a packet with the addresses of `key` on to another host; false for
/// this machine's own addresses, and where it knows no way.
#[inline(never)]
pub fn leads_elsewhere(tables: &impl Tables, key: &FlowKey) -> bool {
    tables.route(key) != Route::None
}
