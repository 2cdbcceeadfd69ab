//! Connections that a node opens to certain ports outside: they leave from the VIP, and their answers
//! find the node (rows EV2, EV5, IV2 and IV6).

use lb_common::{
    drop_reason::DropReason,
    net::{Ip4, Port, Protocol},
    service::{Choice, NO_POOL, Node, Service, ServiceKey, Treatment},
};

use super::{
    Found,
    new_flow::{NO_PORT, enter, is_free},
};
use crate::{packet::Packet, snat_port::TRIES, spread, tables::Tables, treatment::Opening};

/// Enters the flow of a SYN that leaves from a VIP, and is not for one: to a VIP of its own pool the node is a client
/// like any other. [`Found::None`] where it is routed as it is, or dropped.
#[inline(never)]
pub fn open<T: Tables>(packet: &Packet, tables: &T, now: u32) -> Found {
    let key = &packet.key;
    let asked = ServiceKey::new(packet.zone, Protocol::Tcp, key.source, key.destination_port);
    let Some(outbound) = tables.outbound(&asked) else {
        return Found::None;
    };
    let opening = Opening {
        key: *key,
        service: Service {
            index: outbound.service,
            first_snat_port: outbound.first_snat_port,
            last_snat_port: outbound.last_snat_port,
            treatment: Treatment::Snat as u8,
            choice: Choice::Tuple as u8,
        },
        index: outbound.node,
        node: Node {
            address: key.destination,
            port: key.destination_port,
            weight: 0,
            // The port is the node's own where it is free, so there is nothing to keep a map of.
            snat_pool: NO_POOL,
            reserved: 0,
        },
        now,
    };
    let port = free_port(&opening, outbound.vip, key.source_port, tables);
    if port == NO_PORT {
        return Found::Refused(DropReason::SnatPortsExhausted);
    }
    enter(&opening, outbound.vip, port, tables)
}

/// The port that a flow may leave from a VIP with: `first`, or another where that is taken; [`NO_PORT`] where none
/// of a few is free.
#[inline(never)]
pub fn free_port<T: Tables>(opening: &Opening, vip: Ip4, first: Port, tables: &T) -> Port {
    let range = opening.snat_range();
    let turn = range.choice(
        range.first.wrapping_add(spread::slot(&opening.key) as u16),
        0,
    );
    let mut port = first;
    for attempts in 0..TRIES {
        if is_free(opening, vip, port, tables) {
            return port;
        }
        port = Port::new(range.choice(turn, attempts));
    }
    NO_PORT
}
