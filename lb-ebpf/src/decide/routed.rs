//! Packets to and from the nodes' own addresses: never translated, and forwarded without state, because
//! with one arm the balancer often sees only one direction of a connection (H4, H8, H9).

use lb_common::{
    drop_reason::DropReason,
    net::Protocol,
    next_hop::NextHop,
    policy::{NodeAddress, Question},
};

use super::{Found, asked};
use crate::{
    adjacency,
    packet::{Packet, TcpFlags, Transport},
    tables::Tables,
};

/// Judges a packet to the node's address with this number; where it may pass, `next_hop` says where to.
#[inline(never)]
pub fn to_node<T: Tables>(
    packet: &Packet,
    number: u32,
    tables: &T,
    next_hop: &mut NextHop,
) -> Found {
    let key = &packet.key;
    let judged = tables.node_address(number, |address| {
        let is_balanced_too =
            packet.transport == Transport::Udp && key.destination_port == address.balanced_udp;
        (judge_by(address, packet, false), is_balanced_too)
    });
    let Some((found, is_balanced_too)) = judged else {
        // There is no such number: nothing is allowed there.
        return Found::Refused(DropReason::Policy);
    };
    if is_balanced_too {
        asked::of_node(packet, tables);
    }
    carry_out(found, packet, tables, next_hop)
}

/// The same for a packet from the node's address with this number, to neither a VIP nor a node.
#[inline(never)]
pub fn from_node<T: Tables>(
    packet: &Packet,
    number: u32,
    tables: &T,
    next_hop: &mut NextHop,
) -> Found {
    let judged = tables.node_address(number, |address| judge_by(address, packet, true));
    let found = judged.unwrap_or(Found::Refused(DropReason::Policy));
    match carry_out(found, packet, tables, next_hop) {
        // A node may speak to this machine itself, such as in answer to a health check.
        Found::Refused(reason @ (DropReason::Policy | DropReason::NoRoute)) => {
            Found::RefusedElsewhere(reason)
        }
        found => found,
    }
}

/// Finds the way of a packet that may pass, or lets it pass all the same where policy is only observed.
#[inline(always)]
fn carry_out<T: Tables>(
    found: Found,
    packet: &Packet,
    tables: &T,
    next_hop: &mut NextHop,
) -> Found {
    let found = match found {
        Found::Refused(DropReason::Policy) if tables.settings().observe != 0 => {
            tables.count_observed();
            Found::Routed
        }
        found => found,
    };
    match found {
        Found::Routed => way(packet, tables, next_hop),
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

/// Finds the next hop to the packet's destination.
#[inline(always)]
fn way<T: Tables>(packet: &Packet, tables: &T, next_hop: &mut NextHop) -> Found {
    if packet.ttl <= 1 {
        return Found::Refused(DropReason::TtlExpired);
    }
    adjacency::to_destination(packet, tables, next_hop)
}
