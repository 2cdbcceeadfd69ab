//! A packet of a flow that is not confirmed yet.
//!
//! The flow is confirmed, and moves to the established table, with the first packet of the client that
//! shows that the node's answer has reached it: for TCP, one that acknowledges the SYN-ACK; for UDP,
//! any. A flood from forged addresses never gets that far.

use lb_common::{
    drop_reason::DropReason,
    flow::{Direction, FlowKey, FlowState},
};

use super::{Found, asked, established, removal};
use crate::{
    packet::{Packet, TcpFlags, Transport},
    tables::{FlowSlot, HalfOpenSlot, InsertError, Table, Tables},
    tcp_state,
};

/// Takes the half-open flow of a packet, if it has one, a step further. [`Found::None`] also when the
/// packet opens a new flow, and the old one is gone.
#[inline(never)]
pub fn advance<T: Tables>(packet: &Packet, tables: &T, now: u32) -> Found {
    let Some(half_open) = tables.half_open(&packet.key) else {
        return Found::None;
    };
    let flow = &half_open.flow();
    let (rewrite, role) = flow.with(|entry| (entry.rewrite, entry.role));
    if packet.transport == Transport::Udp
        && role.is_dnat()
        && !asked::is_of_vip(packet, flow, Table::HalfOpen, tables, now)
    {
        return Found::None;
    }
    let peer = packet.key.answer_to(&rewrite);
    if role.direction() == Direction::TO_CLIENT {
        answered(packet, flow, &peer, tables);
        return Found::HalfOpen;
    }
    match step(packet, &half_open, &peer, tables) {
        Step::Forward => Found::HalfOpen,
        // Another CPU moves it; for this packet it is still where it was.
        Step::Confirmed if !half_open.claim() => Found::HalfOpen,
        Step::Confirmed => Found::Claimed,
        Step::Anew => {
            removal::remove(Table::HalfOpen, &packet.key, flow, tables);
            Found::None
        }
        Step::Stray => Found::Refused(DropReason::NoFlow),
    }
}

/// What a packet of the client means to a half-open flow.
enum Step {
    Forward,
    Confirmed,
    Anew,
    Stray,
}

#[inline(always)]
fn step<T: Tables>(packet: &Packet, flow: &T::HalfOpen, answer: &FlowKey, tables: &T) -> Step {
    let (state, expected_ack) = flow.with(|flow| (flow.entry.state, flow.expected_ack));
    let tcp = &packet.tcp;
    if packet.transport != Transport::Tcp {
        return if state == FlowState::ANSWERED {
            Step::Confirmed
        } else {
            Step::Forward
        };
    }
    if tcp.flags.opens() {
        // The two entries of a pair are pushed out of this table one by one.
        return if state.is_closing() || tables.flow(Table::HalfOpen, answer).is_none() {
            Step::Anew
        } else {
            Step::Forward
        };
    }
    if tcp.flags.any(TcpFlags::RST) {
        flow.with(|flow| flow.entry.state = FlowState::RESET);
        return Step::Forward;
    }
    if state == FlowState::ANSWERED
        && tcp.flags.any(TcpFlags::ACK)
        && tcp_state::confirms(tcp.acknowledgment, expected_ack)
    {
        return Step::Confirmed;
    }
    Step::Stray
}

/// Notes on the client's entry, under `question`, what the node has answered.
#[inline(always)]
fn answered<T: Tables>(packet: &Packet, flow: &T::Slot, question: &FlowKey, tables: &T) {
    let (state, expected_ack) = match packet.transport {
        Transport::Tcp if packet.tcp.flags.any(TcpFlags::RST) => {
            flow.with(|entry| entry.state = FlowState::RESET);
            (FlowState::RESET, 0)
        }
        Transport::Tcp if packet.tcp.flags.any(TcpFlags::SYN) => {
            (FlowState::ANSWERED, packet.tcp.sequence.wrapping_add(1))
        }
        Transport::Udp => (FlowState::ANSWERED, 0),
        _ => return,
    };
    if let Some(question) = tables.half_open(question) {
        question.with(|question| {
            question.entry.state = state;
            question.expected_ack = expected_ack;
        });
    }
}

/// Moves the flow that this packet has claimed to the established table.
#[inline(never)]
pub fn confirm<T: Tables>(packet: &Packet, tables: &T) -> Found {
    let Some(half_open) = tables.half_open(&packet.key) else {
        return Found::Refused(DropReason::NoFlow);
    };
    let found = establish(packet, &half_open.flow(), tables);
    if found != Found::Established {
        // The client's next packet may try again.
        half_open.with(|entry| entry.confirming = 0);
    }
    found
}

#[inline(always)]
fn establish<T: Tables>(packet: &Packet, flow: &T::Slot, tables: &T) -> Found {
    let answer = packet.key.answer_to(&flow.with(|entry| entry.rewrite));
    let Some(answers) = tables.flow(Table::HalfOpen, &answer) else {
        // Pushed out by a flood. The client's next SYN opens the flow anew.
        return Found::Refused(DropReason::NoFlow);
    };
    let moved = tables.establish(&packet.key, &answer, |to_node, to_client| {
        copy::<T>(flow, to_node);
        copy::<T>(&answers, to_client);
    });
    match moved {
        Ok(()) => {}
        Err(InsertError::Full) => return Found::Refused(DropReason::FlowTableFull),
        // Its answers were pushed out of the half-open table meanwhile, and another flow has taken their key.
        Err(InsertError::Exists) => return Found::Refused(DropReason::FlowCollision),
    }
    tables.forget_half_open(&packet.key);
    tables.forget_half_open(&answer);
    Found::Established
}

/// Notes where the client confirms a flow and closes it in one packet.
#[inline(always)]
pub fn closed<T: Tables>(packet: &Packet, tables: &T) {
    if packet.tcp.flags.any(TcpFlags::LIFECYCLE)
        && let Some(flow) = tables.flow(Table::Established, &packet.key)
    {
        established::track(packet, &flow, tables);
    }
}

/// Copies one direction.
#[inline(always)]
fn copy<T: Tables>(half_open: &T::Slot, established: &T::Slot) {
    half_open.with(|from| {
        established.with(|to| {
            *to = *from;
            // A RST or FIN of the node that overtook the client's acknowledgment still counts.
            if !to.state.is_closing() {
                to.state = FlowState::ESTABLISHED;
            }
        });
    });
}
