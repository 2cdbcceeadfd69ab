//! A packet of no flow: the first of a new one, or none of ours.

use lb_common::{
    drop_reason::DropReason,
    flow::{Direction, FlowKey, Opened},
    net::{Ip4, Port, Protocol},
    service::{FIRST_OWN_PORT, NO_NODE, Service, ServiceKey, Treatment, node_cell},
};

use super::{Found, asked, choice, removal, vip_out};
use crate::{
    packet::{Packet, Transport},
    snat_port,
    tables::{FlowSlot as _, InsertError, Owner, Tables},
    treatment::{self, Opening},
};

/// Enters the flow that a packet opens. [`Found::None`] where no service is asked.
#[inline(never)]
pub fn open<T: Tables>(packet: &Packet, tables: &T, now: u32) -> Found {
    let Some(service) = service_of(packet, tables) else {
        return Found::None;
    };
    if packet.transport == Transport::Tcp && !packet.tcp.flags.opens() {
        return Found::Refused(DropReason::NoFlow);
    }
    let client = tables.owner(packet.key.source);
    if matches!(client, Owner::Vip(_)) {
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
    let entered = if treatment::is_snat(&service) {
        enter_from_pool(&opening, tables)
    } else if client.is_node() {
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
        let vip = packet.key.destination;
        match vip_out::free_port(&opening, vip, first, tables) {
            NO_PORT => Found::Refused(DropReason::SnatPortsExhausted),
            port => enter(&opening, vip, port, tables),
        }
    } else {
        enter(&opening, packet.key.source, packet.key.source_port, tables)
    };
    if !treatment::is_snat(&opening.service) && !matches!(entered, Found::Refused(_)) {
        asked::first(packet, &node, tables, now);
    }
    entered
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

/// No port that a pool hands out.
pub const NO_PORT: Port = Port::new(0);

/// Enters a flow that leaves from a port of the node's pool.
#[inline(always)]
fn enter_from_pool<T: Tables>(opening: &Opening, tables: &T) -> Found {
    let range = opening.snat_range();
    let pool = opening.node.snat_pool;
    let turn = snat_port::turn(tables, pool, range);
    let free = snat_port::first_free(tables, pool, range, turn);
    if free != 0 {
        // It nearly always is, so the flow table is not asked first.
        snat_port::claim(tables, pool, free);
        let entered = enter_from(opening, Port::new(free), tables);
        if entered != Found::Refused(DropReason::SnatPortsExhausted) {
            return entered;
        }
    }
    // The bitmap shows none free, or it is wrong: the flow that has had the port may be gone, another may have it.
    match snat_port(opening, if free == 0 { turn } else { free }, tables) {
        NO_PORT => Found::Refused(DropReason::SnatPortsExhausted),
        port => enter_from(opening, port, tables),
    }
}

/// Enters a flow that leaves from this port of the VIP, which is given back where that is in vain.
#[inline(always)]
fn enter_from<T: Tables>(opening: &Opening, port: Port, tables: &T) -> Found {
    let entered = enter(opening, opening.key.destination, port, tables);
    if !matches!(entered, Found::Flow(_)) {
        removal::release_port(opening.snat_pool(), port, tables);
    }
    entered
}

/// Takes ports of the node's pool, this one first, until one is free: free is what the flow table does not hold.
/// [`NO_PORT`] where none of a few is.
#[inline(never)]
fn snat_port<T: Tables>(opening: &Opening, first: u16, tables: &T) -> Port {
    let range = opening.snat_range();
    for attempts in 0..snat_port::TRIES {
        let port = Port::new(range.choice(first, attempts));
        snat_port::claim(tables, opening.node.snat_pool, port.number());
        if is_free(opening, opening.key.destination, port, tables) {
            return port;
        }
    }
    NO_PORT
}

/// True where no flow has the answers that this one would have from that address and port.
#[inline(always)]
pub fn is_free<T: Tables>(opening: &Opening, address: Ip4, port: Port, tables: &T) -> bool {
    tables.look_up(&opening.answer(address, port)).is_none()
}

/// Enters both directions of a flow that the node is to see as coming from `address` and `port`.
#[inline(never)]
pub fn enter<T: Tables>(opening: &Opening, address: Ip4, port: Port, tables: &T) -> Found {
    let question = &opening.key;
    let answer = &opening.answer(address, port);
    let entered = tables.open(question, answer, |to_node, to_client, opened| {
        write_question::<T>(opening, address, port, to_node);
        write_answer::<T>(opening, answer, opened, to_client);
    });
    match entered {
        Ok(cell) => {
            tables.count_opened(node_cell(opening.service.index, opening.index));
            Found::Flow(cell)
        }
        // For the same client: that one counts.
        Err(InsertError::Known) => Found::KnownFlow,
        Err(InsertError::Full) => Found::Refused(DropReason::FlowTableFull),
        Err(InsertError::Taken) if treatment::is_snat(&opening.service) => {
            Found::Refused(DropReason::SnatPortsExhausted)
        }
        Err(InsertError::Taken) => Found::Refused(DropReason::FlowCollision),
    }
}

/// Fills in the entry of the client's packets.
#[inline(never)]
fn write_question<T: Tables>(opening: &Opening, address: Ip4, port: Port, entry: &T::Slot) {
    let rewrite = opening.to_node(address, port);
    let opened = Opened::at(opening.now);
    entry.with(|entry| *entry = opening.entry(&rewrite, Direction::TO_NODE, opened));
}

/// Fills in the entry of the node's answers.
#[inline(never)]
fn write_answer<T: Tables>(opening: &Opening, answer: &FlowKey, opened: Opened, entry: &T::Slot) {
    let rewrite = opening.to_client(answer);
    entry.with(|entry| *entry = opening.entry(&rewrite, Direction::TO_CLIENT, opened));
}
