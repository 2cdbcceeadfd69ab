//! A packet of a flow that is not confirmed yet.
//!
//! The flow is confirmed, and moves to the established table, with the first packet of the client that
//! shows that the node's answer has reached it: for TCP, one that acknowledges the SYN-ACK; for UDP,
//! any. A flood from forged addresses never gets that far.

use lb_common::{
    drop_reason::DropReason,
    flow::{Direction, FlowKey, FlowState},
    service::Treatment,
};

use super::{Found, asked, established, removal};
use crate::{
    packet::{Packet, TcpFlags, Transport},
    tables::{FlowSlot, InsertError, Table, Tables},
    tcp_state,
};

/// Takes the half-open flow of a packet, if it has one, a step further. [`Found::None`] also when the
/// packet opens a new flow, and the old one is gone.
#[inline(never)]
pub fn advance<T: Tables>(packet: &Packet, tables: &T, now: u32) -> Found {
    let Some(flow) = tables.flow(Table::HalfOpen, &packet.key) else {
        return Found::None;
    };
    let flow = &flow;
    let (rewrite, direction, treatment) =
        flow.with(|entry| (entry.rewrite, entry.direction, entry.treatment));
    if packet.transport == Transport::Udp
        && treatment == Treatment::Dnat as u8
        && !asked::is_of_vip(packet, flow, Table::HalfOpen, tables, now)
    {
        return Found::None;
    }
    let peer = packet.key.answer_to(&rewrite);
    if direction == Direction::TO_CLIENT {
        answered(packet, flow, &peer, tables);
        return Found::HalfOpen;
    }
    match step(packet, flow, &peer, tables) {
        Step::Forward => Found::HalfOpen,
        Step::Confirmed => confirm(packet, flow, &peer, tables),
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
fn step<T: Tables>(packet: &Packet, flow: &T::Slot, answer: &FlowKey, tables: &T) -> Step {
    let (state, expected_ack) = flow.with(|entry| (entry.state, entry.expected_ack));
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
        flow.with(|entry| entry.state = FlowState::RESET);
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
    if let Some(question) = tables.flow(Table::HalfOpen, question) {
        question.with(|entry| {
            entry.state = state;
            entry.expected_ack = expected_ack;
        });
    }
}

/// Moves a flow to the established table: first the answers, so that a client's packet never finds a
/// flow whose answers would not.
#[inline(never)]
fn confirm<T: Tables>(packet: &Packet, flow: &T::Slot, answer: &FlowKey, tables: &T) -> Found {
    let Some(answers) = tables.flow(Table::HalfOpen, answer) else {
        // Pushed out by a flood. The client's next SYN opens the flow anew.
        return Found::Refused(DropReason::NoFlow);
    };
    if !copy(answer, &answers, tables) {
        return Found::Refused(DropReason::FlowTableFull);
    }
    if !copy(&packet.key, flow, tables) {
        tables.remove(Table::Established, answer);
        return Found::Refused(DropReason::FlowTableFull);
    }
    tables.remove(Table::HalfOpen, &packet.key);
    tables.remove(Table::HalfOpen, answer);
    if packet.tcp.flags.any(TcpFlags::LIFECYCLE)
        && let Some(flow) = tables.flow(Table::Established, &packet.key)
    {
        // The client confirms and closes in one packet.
        established::track(packet, &flow, tables);
    }
    Found::Established
}

/// Copies one direction; false when the table is full.
#[inline(always)]
fn copy<T: Tables>(key: &FlowKey, flow: &T::Slot, tables: &T) -> bool {
    let inserted = tables.insert(Table::Established, key, |entry| {
        flow.with(|half_open| *entry = *half_open);
        // A RST or FIN of the node that overtook the client's acknowledgment still counts.
        if !entry.state.is_closing() {
            entry.state = FlowState::ESTABLISHED;
        }
    });
    // That it is there already is as good: another CPU does the same for the client's next packet.
    inserted != Err(InsertError::Full)
}
