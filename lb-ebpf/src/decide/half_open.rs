//! A packet of a flow that is not confirmed yet.
//!
//! The flow is confirmed, and can no longer be pushed out, with the first packet of the client that shows that the
//! node's answer has reached it: for TCP, one that acknowledges the SYN-ACK; for UDP, any. A flood from forged
//! addresses never gets that far.

use lb_common::{
    drop_reason::DropReason,
    flow::{Direction, FlowState},
};

use super::{Part, asked, removal};
use crate::{
    packet::{Packet, TcpFlags, Transport},
    tables::{FlowSlot, InsertError, Tables},
    tcp_state,
};

/// Takes the flow of a packet, whose entry is `flow`, a step further.
#[inline(always)]
pub fn advance<T: Tables>(packet: &Packet, flow: &T::Slot, tables: &T, now: u32) -> Part {
    let (rewrite, role) = flow.with(|entry| (entry.rewrite, entry.role));
    if packet.transport == Transport::Udp
        && role.is_dnat()
        && !asked::is_of_vip(packet, flow, tables, now)
    {
        return Part::Foreign;
    }
    if role.direction() == Direction::TO_CLIENT {
        answered(packet, flow, tables);
        return Part::Own;
    }
    let answer = packet.key.answer_to(&rewrite);
    let Some(answers) = tables.other_direction(flow, &answer) else {
        // Somebody is just removing it. The client's next SYN opens the flow anew.
        return Part::Refused(DropReason::NoFlow);
    };
    match step(packet, flow, &answers) {
        Step::Forward => Part::Own,
        Step::Confirms => match tables.unconfirmed(&answer, &answers) {
            Some(unconfirmed) if !confirms(packet, unconfirmed.expected()) => {
                Part::Refused(DropReason::NoFlow)
            }
            Some(unconfirmed) => match tables.confirm(&unconfirmed) {
                Ok(()) => {
                    // It may close the flow as well.
                    let flags = packet.tcp.flags;
                    flow.with(|entry| entry.state = tcp_state::after(entry.state, flags));
                    Part::Own
                }
                Err(InsertError::Full) => Part::Refused(DropReason::FlowTableFull),
                Err(_) => Part::Own,
            },
            // Another CPU confirms it or has done so, or is about to remove it.
            None => Part::Own,
        },
        Step::Anew => {
            removal::remove(&packet.key, flow, tables);
            Part::Foreign
        }
        Step::Stray => Part::Refused(DropReason::NoFlow),
    }
}

/// What a packet of the client means to a flow that is not confirmed.
enum Step {
    Forward,
    Confirms,
    Anew,
    Stray,
}

#[inline(always)]
fn step<S: FlowSlot>(packet: &Packet, flow: &S, answers: &S) -> Step {
    let state = answers.with(|entry| entry.state);
    let flags = packet.tcp.flags;
    if packet.transport != Transport::Tcp {
        return if state == FlowState::OPENING {
            Step::Forward
        } else {
            Step::Confirms
        };
    }
    if flags.opens() {
        return if state.is_closing() {
            Step::Anew
        } else {
            Step::Forward
        };
    }
    if flags.any(TcpFlags::RST) {
        flow.with(|entry| entry.state = FlowState::RESET);
        return Step::Forward;
    }
    if flags.any(TcpFlags::ACK) && matches!(state, FlowState::ANSWERED | FlowState::ESTABLISHED) {
        return Step::Confirms;
    }
    Step::Stray
}

/// True for a packet that confirms a flow: for TCP, one that acknowledges what is expected.
#[inline(always)]
fn confirms(packet: &Packet, expected: u32) -> bool {
    packet.transport != Transport::Tcp || tcp_state::confirms(packet.tcp.acknowledgment, expected)
}

/// Notes on the entry of its answers what the node has answered.
#[inline(always)]
fn answered<T: Tables>(packet: &Packet, answers: &T::Slot, tables: &T) {
    let flags = packet.tcp.flags;
    let state = if answers.with(|entry| entry.opened.turn()).is_none() {
        // Another CPU has confirmed it, and one that noted an answer at the same time has not seen that.
        tcp_state::after(FlowState::ESTABLISHED, flags)
    } else if packet.transport != Transport::Tcp {
        FlowState::ANSWERED
    } else if flags.any(TcpFlags::RST) {
        FlowState::RESET
    } else if flags.any(TcpFlags::SYN) {
        let Some(unconfirmed) = tables.unconfirmed(&packet.key, answers) else {
            return;
        };
        if !tables.expect(&unconfirmed, packet.tcp.sequence.wrapping_add(1)) {
            return;
        }
        FlowState::ANSWERED
    } else {
        return;
    };
    answers.with(|entry| entry.state = state);
}
