//! A packet of a flow.

use lb_common::flow::{Asked, Direction, FlowState};

use super::{Part, asked, half_open, removal};
use crate::{
    packet::{Packet, StunKind, TcpFlags, Transport},
    tables::{FlowSlot, Tables},
    tcp_state,
};

/// What the packet is to the flow whose entry is `flow`.
#[inline(always)]
pub fn part<T: Tables>(packet: &Packet, flow: &T::Slot, tables: &T, now: u32) -> Part {
    let (state, role) = flow.with(|entry| (entry.state, entry.role));
    if state != FlowState::ESTABLISHED {
        return track(packet, flow, tables, now);
    }
    if packet.transport == Transport::Udp {
        // Nearly all of it is neither question nor answer, and of a client that asks the VIP: no call for that.
        let is_plain = packet.stun.kind == StunKind::None && role.asked() == Asked::Vip;
        return if !role.is_dnat() || is_plain || asked::is_of_vip(packet, flow, tables, now) {
            Part::Own
        } else {
            Part::Foreign
        };
    }
    if packet.tcp.flags.any(TcpFlags::LIFECYCLE) {
        return track(packet, flow, tables, now);
    }
    Part::Own
}

/// Follows the beginning and the end of a connection.
#[inline(never)]
fn track<T: Tables>(packet: &Packet, flow: &T::Slot, tables: &T, now: u32) -> Part {
    let state = flow.with(|entry| entry.state);
    if state.is_opening() {
        half_open::advance(packet, flow, tables, now)
    } else {
        follow(packet, flow, tables)
    }
}

/// Follows the end of a TCP connection. A client may open a new connection from the ports of one that is closing;
/// the flow then goes.
#[inline(always)]
fn follow<T: Tables>(packet: &Packet, flow: &T::Slot, tables: &T) -> Part {
    let flags = packet.tcp.flags;
    let (rewrite, direction, state) = flow.with(|entry| {
        entry.state = tcp_state::after(entry.state, flags);
        (entry.rewrite, entry.role.direction(), entry.state)
    });
    if !flags.opens() || direction != Direction::TO_NODE {
        return Part::Own;
    }
    let answer = packet.key.answer_to(&rewrite);
    let answer_is_closing = tables
        .other_direction(flow, &answer)
        .is_none_or(|flow| flow.with(|entry| entry.state.is_closing()));
    if !state.is_closing() && !answer_is_closing {
        // A client that has forgotten its connection: the node's challenge ACK (RFC 5961, section 4)
        // makes it send the RST that closes this flow.
        return Part::Own;
    }
    removal::remove(&packet.key, flow, tables);
    Part::Foreign
}
