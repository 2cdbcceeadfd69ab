//! Which address a client asked: the VIP or the node's own (H3 and H4 on one socket).
//!
//! Without SNAT the node sees the same 5-tuple either way, so its answers do not tell. What tells is the
//! transaction id of STUN and TURN, which an answer repeats: every request to the VIP is remembered by
//! it, and an answer to anything else was asked of the node. With one arm that question never came by
//! here, so its absence is all there is to know it by.
//!
//! What is neither question nor answer follows the address that the client used last; that is noted in
//! both entries of the flow, so that a packet of the flow finds it without a further look-up.

use lb_common::{
    flow::{Asked, Direction, FlowKey},
    service::Node,
    transaction::{TRANSACTION_TIMEOUT, Transaction},
};

use crate::{
    packet::{Packet, StunKind},
    tables::{FlowSlot, Tables},
};

/// True when a datagram of the 5-tuple of a flow without SNAT is a part of that flow; notes what it tells
/// of the client.
#[inline(never)]
pub fn is_of_vip<T: Tables>(packet: &Packet, flow: &T::Slot, tables: &T, now: u32) -> bool {
    let (rewrite, direction, last) =
        flow.with(|entry| (entry.rewrite, entry.role.direction(), entry.role.asked()));
    let peer = packet.key.answer_to(&rewrite);
    let asked = if direction == Direction::TO_NODE {
        remember(packet, &peer, tables, now);
        Asked::Vip
    } else {
        match packet.stun.kind {
            // The node's own question, as edges ask each other (EN8): it says nothing of the client.
            StunKind::Request => return false,
            StunKind::None => last,
            StunKind::Answer => asked_by(packet, tables, now),
        }
    };
    // An answer of the VIP may be to an old question: that the client has moved on stays known.
    if asked != last && (direction == Direction::TO_NODE || asked == Asked::Node) {
        note(flow, &peer, asked, tables);
    }
    asked == Asked::Vip
}

/// Notes the first packet of a flow without SNAT, which is one to the VIP.
#[inline(never)]
pub fn first<T: Tables>(packet: &Packet, node: &Node, tables: &T, now: u32) {
    let mut answer = packet.key.reversed();
    answer.source = node.address;
    answer.source_port = node.port;
    remember(packet, &answer, tables, now);
}

/// Notes that a client asks a node's own address, on a port that a VIP balances without SNAT as well.
#[inline(never)]
pub fn of_node<T: Tables>(packet: &Packet, tables: &T) {
    let answer = packet.key.reversed();
    let Some(answers) = tables.look_up(&answer) else {
        return;
    };
    let (rewrite, role) = answers.with(|entry| (entry.rewrite, entry.role));
    if role.is_dnat() && role.asked() != Asked::Node {
        note(&answers, &answer.answer_to(&rewrite), Asked::Node, tables);
    }
}

/// Notes in both entries of a flow what the client asked last.
#[inline(always)]
fn note<T: Tables>(flow: &T::Slot, peer: &FlowKey, asked: Asked, tables: &T) {
    flow.with(|entry| entry.role = entry.role.with_asked(asked));
    if let Some(peer) = tables.other_direction(flow, peer) {
        peer.with(|entry| entry.role = entry.role.with_asked(asked));
    }
}

/// Whom the client asked what this answers.
#[inline(always)]
fn asked_by<T: Tables>(answer: &Packet, tables: &T, now: u32) -> Asked {
    let transaction = Transaction {
        answer: answer.key,
        id: answer.stun.id,
    };
    match tables.asked_vip(&transaction) {
        Some(at) if now.wrapping_sub(at) <= TRANSACTION_TIMEOUT => Asked::Vip,
        _ => Asked::Node,
    }
}

/// Remembers a request to the VIP. A repeated request counts anew.
#[inline(always)]
fn remember<T: Tables>(packet: &Packet, answer: &FlowKey, tables: &T, now: u32) {
    if packet.stun.kind == StunKind::Request {
        let transaction = Transaction {
            answer: *answer,
            id: packet.stun.id,
        };
        tables.remember(&transaction, now);
    }
}
