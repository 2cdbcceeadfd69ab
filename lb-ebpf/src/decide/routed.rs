//! Packets to and from the nodes' own addresses: never translated, and forwarded without state, because
//! with one arm the balancer often sees only one direction of a connection (H4, H8, H9).

use lb_common::{
    drop_reason::DropReason,
    flow::FlowKey,
    net::Protocol,
    next_hop::{CachedRoute, NextHop},
    policy::{NodeAddress, Question},
};

use super::{Found, asked};
use crate::{
    adjacency,
    packet::{Packet, TcpFlags, Transport},
    tables::Tables,
};

/// Judges a packet that a node's address sends or receives; where it may pass, `next_hop` says where to.
/// [`Found::None`] for any other packet, and for a node's packet to a VIP.
#[inline(never)]
pub fn judge<T: Tables>(packet: &Packet, tables: &T, next_hop: &mut NextHop) -> Found {
    let key = &packet.key;
    let to_node = tables.node_address(key.destination, |address| {
        let is_balanced_too =
            packet.transport == Transport::Udp && key.destination_port == address.balanced_udp;
        (judge_by(address, packet, false), is_balanced_too)
    });
    let (found, from_node) = if let Some((found, is_balanced_too)) = to_node {
        if is_balanced_too {
            asked::of_node(packet, tables);
        }
        (found, false)
    } else {
        match tables.node_address(key.source, |address| judge_by(address, packet, true)) {
            Some(found) if tables.vip(key.destination).is_none() => (found, true),
            _ => return Found::None,
        }
    };
    let found = match found {
        Found::Refused(DropReason::Policy) if tables.settings().observe != 0 => {
            tables.count_observed();
            Found::Routed
        }
        found => found,
    };
    let found = match found {
        Found::Routed => way(packet, tables, next_hop),
        found => found,
    };
    match found {
        // A node may speak to this machine itself, such as in answer to a health check.
        Found::Refused(reason @ (DropReason::Policy | DropReason::NoRoute)) if from_node => {
            Found::RefusedElsewhere(reason)
        }
        found => found,
    }
}

#[inline(always)]
fn judge_by(address: &NodeAddress, packet: &Packet, from_node: bool) -> Found {
    if !address.is_in(packet.zone) {
        Found::Refused(DropReason::ZoneCrossing)
    } else if passes(packet, from_node, address) {
        Found::Routed
    } else {
        Found::Refused(DropReason::Policy)
    }
}

#[inline(always)]
fn passes(packet: &Packet, from_node: bool, address: &NodeAddress) -> bool {
    let flags = packet.tcp.flags;
    let opens = match packet.transport {
        Transport::Tcp => flags.any(TcpFlags::SYN) && !flags.any(TcpFlags::ACK),
        // Path MTU discovery of the media depends on them (RFC 1191).
        Transport::IcmpError => return true,
        // Media may come in fragments. The ports are those of the first one's packet, and without
        // state it cannot be asked for.
        Transport::Fragment => return packet.key.protocol == Protocol::Udp as u8,
        // A protocol without ports is one that no rule names.
        Transport::Udp | Transport::Other => false,
    };
    let (source, destination) = (
        packet.key.source_port.number(),
        packet.key.destination_port.number(),
    );
    let (node_port, other_port) = if from_node {
        (source, destination)
    } else {
        (destination, source)
    };
    address.allows(&Question {
        protocol: packet.key.protocol,
        node_port,
        other_port,
        from_node,
        opens,
    })
}

/// Finds the next hop to the packet's destination, in the cache while that is good.
#[inline(always)]
fn way<T: Tables>(packet: &Packet, tables: &T, next_hop: &mut NextHop) -> Found {
    if packet.ttl <= 1 {
        return Found::Refused(DropReason::TtlExpired);
    }
    if !cached(&packet.key, tables, next_hop) {
        let found = match adjacency::look_up(tables, packet.zone, &packet.key) {
            Ok(found) => found,
            Err(reason) => return Found::Refused(reason),
        };
        let route = CachedRoute {
            cell: found.cell,
            generation: found.generation,
        };
        tables.cache_route(&packet.key, &route);
        *next_hop = found.next_hop;
    }
    Found::Routed
}

/// True where the cache knows the way.
#[inline(always)]
fn cached<T: Tables>(key: &FlowKey, tables: &T, next_hop: &mut NextHop) -> bool {
    let Some(route) = tables.cached_route(key) else {
        return false;
    };
    match tables.next_hop(route.cell) {
        Some(held) if held.interface != 0 && held.generation == route.generation => {
            *next_hop = held;
            true
        }
        _ => false,
    }
}
