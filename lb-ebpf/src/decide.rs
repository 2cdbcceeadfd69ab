//! Second stage: from a packet and the tables to a verdict.
//!
//! The established path is one look-up; everything that is rarer is a subprogram of its own. BPF gives
//! the whole chain of calls 512 bytes of stack, so subprograms answer with a word and not with a
//! verdict: the flow that they found or made is looked up again.

pub mod established;
pub mod forward;
pub mod half_open;
pub mod new_flow;
pub mod removal;
pub mod unclaimed;

use lb_common::drop_reason::DropReason;

use crate::{
    packet::{Packet, Transport},
    tables::{Table, Tables},
    verdict::Verdict,
};

/// Where the flow of a packet is to be found, or why it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// In the established table.
    Established,
    /// In the half-open table.
    HalfOpen,
    /// In neither: it is for a service, or for the machine itself.
    None,
    /// The packet may not have one.
    Refused(DropReason),
}

/// Judges a packet. `now` is the second of the monotonic clock.
#[inline(always)]
pub fn decide<T: Tables>(packet: &Packet, tables: &T, now: u32) -> Verdict {
    if !matches!(packet.transport, Transport::Tcp(_) | Transport::Udp) {
        return match unclaimed::judge(packet, tables) {
            Found::Refused(reason) => Verdict::Drop(reason),
            _ => Verdict::Pass,
        };
    }
    let flow = match tables.flow(Table::Established, &packet.key) {
        Some(flow) if established::goes_on(packet, &flow, tables) => Some(flow),
        _ => {
            let found = match half_open::advance(packet, tables) {
                Found::None => new_flow::open(packet, tables, now),
                found => found,
            };
            match found {
                Found::Established => tables.flow(Table::Established, &packet.key),
                Found::HalfOpen => tables.flow(Table::HalfOpen, &packet.key),
                Found::Refused(reason) => return Verdict::Drop(reason),
                Found::None => return Verdict::Pass,
            }
        }
    };
    match flow {
        Some(flow) => forward::through(packet, &flow, tables, now),
        // Found a moment ago and pushed out since: the table is far too small for what comes in.
        None => Verdict::Drop(DropReason::FlowTableFull),
    }
}
