//! A packet of no flow: the first of a new one, or none of ours.

use lb_common::{
    drop_reason::DropReason,
    flow::{Direction, FlowKey},
    net::{Ip4, Port, Protocol},
    service::{FIRST_OWN_PORT, NO_NODE, Service, ServiceKey, Treatment, node_cell},
};

use super::{Found, asked, choice, removal, vip_out};
use crate::{
    packet::{Packet, Transport},
    snat_port::{self, Range},
    tables::{InsertError, Table, Tables},
    treatment::{self, Opening},
};

/// Enters the flow that a packet opens into the half-open table. [`Found::None`] where no service is asked.
#[inline(never)]
pub fn open<T: Tables>(packet: &Packet, tables: &T, now: u32) -> Found {
    let Some(service) = service_of(packet, tables) else {
        return Found::None;
    };
    if packet.transport == Transport::Tcp && !packet.tcp.flags.opens() {
        return Found::Refused(DropReason::NoFlow);
    }
    if tables.vip(packet.key.source).is_some() {
        return Found::Refused(DropReason::Ipv4Source);
    }
    let index = choice::node(&packet.key, &service, tables, now);
    let cell = node_cell(service.index, u16::from(index));
    let node = match tables.node(cell) {
        Some(node) if index != NO_NODE => node,
        _ => return Found::Refused(DropReason::NoNode),
    };
    let mut opening = Opening {
        key: packet.key,
        service,
        index: u16::from(index),
        node,
        now,
    };
    let refused = if treatment::is_snat(&service) {
        with_snat_port(&opening, tables)
    } else if tables.owner(packet.key.source).is_node() {
        // A node of the pool itself: the other node would answer it past the load balancer, and it
        // could not be its own peer. It is the one client that has to be the VIP.
        opening.service.treatment = Treatment::Snat as u8;
        let own = packet.key.source_port;
        // A health check of this very node may be under way from any port of the machine's own.
        let first = if own.number() < FIRST_OWN_PORT {
            own
        } else {
            Port::new(service.first_snat_port)
        };
        vip_out::with_port(&opening, packet.key.destination, first, tables)
    } else {
        match enter(&opening, packet.key.source, packet.key.source_port, tables) {
            Ok(()) => None,
            Err(InsertError::Exists) => Some(DropReason::FlowCollision),
            Err(InsertError::Full) => Some(DropReason::FlowTableFull),
        }
    };
    if let Some(reason) = refused {
        return Found::Refused(reason);
    }
    tables.count_opened(cell);
    if !treatment::is_snat(&opening.service) {
        asked::first(packet, &node, tables, now);
    }
    Found::HalfOpen
}

#[inline(always)]
fn service_of<T: Tables>(packet: &Packet, tables: &T) -> Option<Service> {
    let protocol = match packet.transport {
        Transport::Tcp => Protocol::Tcp,
        Transport::Udp => Protocol::Udp,
        Transport::IcmpError | Transport::Other | Transport::Fragment => return None,
    };
    tables.service(&ServiceKey::new(
        packet.zone,
        protocol,
        packet.key.destination,
        packet.key.destination_port,
    ))
}

/// Takes ports of the node's pool until one is free: free is what the flow tables do not hold.
#[inline(never)]
fn with_snat_port<T: Tables>(opening: &Opening, tables: &T) -> Option<DropReason> {
    let range = Range {
        first: opening.service.first_snat_port,
        last: opening.service.last_snat_port,
    };
    let pool = opening.node.snat_pool;
    let first_choice = snat_port::first_choice(tables, pool, range);
    for attempts in 0..snat_port::TRIES {
        let port = range.choice(first_choice, attempts);
        snat_port::claim(tables, pool, port);
        match enter(opening, opening.key.destination, Port::new(port), tables) {
            Ok(()) => return None,
            Err(InsertError::Exists) => {}
            Err(InsertError::Full) => {
                snat_port::release(tables, pool, port);
                return Some(DropReason::FlowTableFull);
            }
        }
    }
    Some(DropReason::SnatPortsExhausted)
}

/// Enters both directions of a flow that the node is to see as coming from `address` and `port`: the
/// answers first, and only where their key is free in both tables.
#[inline(never)]
pub fn enter<T: Tables>(
    opening: &Opening,
    address: Ip4,
    port: Port,
    tables: &T,
) -> Result<(), InsertError> {
    let answer = opening.answer(address, port);
    insert_answers(opening, &answer, tables)?;
    // In this order: a flow that is being confirmed is in the established table before it leaves the
    // half-open one, so it is seen in at least one of them.
    if tables.flow(Table::Established, &answer).is_some() {
        tables.forget_half_open(&answer);
        return Err(InsertError::Exists);
    }
    if let Err(error) = insert_questions(opening, address, port, tables) {
        tables.forget_half_open(&answer);
        if error == InsertError::Full {
            return Err(error);
        }
        // Another CPU has opened the same flow for the same client: that one counts.
        removal::release_port(opening.snat_pool(), port, tables);
    }
    Ok(())
}

/// Enters the direction of the node's answers.
#[inline(never)]
fn insert_answers<T: Tables>(
    opening: &Opening,
    answer: &FlowKey,
    tables: &T,
) -> Result<(), InsertError> {
    tables.open(answer, |entry| {
        *entry = opening.entry(&opening.to_client(answer), Direction::TO_CLIENT);
    })
}

/// Enters the direction of the client's questions.
#[inline(never)]
fn insert_questions<T: Tables>(
    opening: &Opening,
    address: Ip4,
    port: Port,
    tables: &T,
) -> Result<(), InsertError> {
    tables.open(&opening.key, |entry| {
        *entry = opening.entry(&opening.to_node(address, port), Direction::TO_NODE);
    })
}
