//! A packet of a confirmed flow.

use lb_common::flow::{Asked, Direction, FlowState};

use super::{asked, removal};
use crate::{
    packet::{Packet, StunKind, TcpFlags, Transport},
    tables::{FlowSlot, Table, Tables},
    tcp_state,
};

/// True when the packet belongs to the flow whose entry is `flow`; false when it opens a new one, and
/// this one is gone.
#[inline(always)]
pub fn goes_on<T: Tables>(packet: &Packet, flow: &T::Slot, tables: &T, now: u32) -> bool {
    let flags = packet.tcp.flags;
    let (state, role) = flow.with(|entry| (entry.state, entry.role));
    if packet.transport == Transport::Udp {
        // Nearly all of it is neither question nor answer, and of a client that asks the VIP: no call for that.
        let is_plain = packet.stun.kind == StunKind::None && role.asked() == Asked::Vip;
        return !role.is_dnat()
            || is_plain
            || asked::is_of_vip(packet, flow, Table::Established, tables, now);
    }
    if !flags.any(TcpFlags::LIFECYCLE) && state == FlowState::ESTABLISHED {
        return true;
    }
    track(packet, flow, tables)
}

/// Follows the beginning and the end of a TCP connection. A client may open a new connection from the
/// ports of one that is closing; the flow then goes.
#[inline(never)]
pub fn track<T: Tables>(packet: &Packet, flow: &T::Slot, tables: &T) -> bool {
    let flags = packet.tcp.flags;
    let (rewrite, direction, state) = flow.with(|entry| {
        entry.state = tcp_state::after(entry.state, flags);
        (entry.rewrite, entry.role.direction(), entry.state)
    });
    if !flags.opens() || direction != Direction::TO_NODE {
        return true;
    }
    let answer = packet.key.answer_to(&rewrite);
    let answer_is_closing = tables
        .flow(Table::Established, &answer)
        .is_none_or(|flow| flow.with(|entry| entry.state.is_closing()));
    if !state.is_closing() && !answer_is_closing {
        // A client that has forgotten its connection: the node's challenge ACK (RFC 5961, section 4)
        // makes it send the RST that closes this flow.
        return true;
    }
    removal::remove(Table::Established, &packet.key, flow, tables);
    false
}
