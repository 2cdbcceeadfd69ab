//! Second stage: from a packet and the tables to a verdict.
//!
//! The established path is one look-up; everything that is rarer is a subprogram of its own. BPF gives
//! the whole chain of calls 512 bytes of stack, so subprograms answer with a word and not with a
//! verdict: of a flow that they made it is the cell.

pub mod asked;
pub mod choice;
pub mod established;
pub mod forward;
pub mod fragment;
pub mod half_open;
pub mod icmp_error;
pub mod new_flow;
pub mod removal;
pub mod routed;
pub mod unclaimed;
pub mod vip_out;

use lb_common::{drop_reason::DropReason, next_hop::NextHop};

use crate::{
    adjacency,
    packet::{Packet, Transport},
    tables::{Owner, Tables},
    verdict::{Verdict, Way},
};

/// What a packet is that has found no flow at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The first of a flow, which is in this cell of the table now.
    Flow(u32),
    /// Likewise, but another CPU has entered it.
    KnownFlow,
    /// None of a flow: it is for a service, or for the machine itself.
    None,
    /// It goes on as it is, to or from a node's own address.
    Routed,
    /// The packet may not have a flow.
    Refused(DropReason),
    /// Likewise, unless it is for this machine itself.
    RefusedElsewhere(DropReason),
}

/// What a packet is to the flow that has its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A part of it.
    Own,
    /// None: it opens a new flow, and this one is gone, or it is of no flow at all.
    Foreign,
    /// One that the flow does not let through.
    Refused(DropReason),
}

/// Judges a packet; `way` is how to send it on. `now` is the second of the monotonic clock.
#[inline(always)]
pub fn decide<T: Tables>(packet: &Packet, tables: &T, now: u32, way: &mut Way) -> Verdict {
    let mut flow = match packet.transport {
        Transport::Tcp | Transport::Udp => tables.flow(&packet.key),
        Transport::IcmpError => icmp_error::flow(packet, tables),
        Transport::Fragment => fragment::flow(packet, tables, now),
        // Nothing else is a flow.
        Transport::Other => None,
    };
    if let Some(known) = &flow
        && matches!(packet.transport, Transport::Tcp | Transport::Udp)
    {
        match established::part(packet, known, tables, now) {
            Part::Own => {}
            Part::Foreign => flow = None,
            Part::Refused(reason) => return Verdict::Drop(reason),
        }
    }
    if flow.is_none() {
        flow = match find(packet, tables, now, &mut way.next_hop) {
            Found::Flow(cell) => tables.at(cell, &packet.key),
            Found::KnownFlow => tables.look_up(&packet.key),
            Found::Routed => return Verdict::Route,
            Found::Refused(reason) | Found::RefusedElsewhere(reason) => {
                return Verdict::Drop(reason);
            }
            Found::None => return Verdict::Pass,
        };
    }
    match flow {
        Some(flow) => {
            if packet.is_first_fragment {
                fragment::remember(packet, tables, now);
            }
            match forward::through(packet, &flow, tables, now, way) {
                Verdict::Forward if packet.transport == Transport::IcmpError => {
                    Verdict::ForwardError
                }
                verdict => verdict,
            }
        }
        // Opened a moment ago and pushed out since: there are far too few turns for what comes in.
        None => Verdict::Drop(DropReason::FlowTableFull),
    }
}

/// What to make of a packet of no flow: whoever knows something of it first.
#[inline(always)]
fn find<T: Tables>(packet: &Packet, tables: &T, now: u32, next_hop: &mut NextHop) -> Found {
    let destination = tables.owner(packet.key.destination);
    // What a node's own address receives is of no flow.
    if let Owner::Node(number) = destination {
        return routed::to_node(packet, number, tables, next_hop);
    }
    let is_for_vip = matches!(destination, Owner::Vip(_));
    // The number of the node's address that sends; to a VIP a node is a client like any other.
    let sender = if is_for_vip {
        0
    } else if let Owner::Node(number) = tables.owner(packet.key.source) {
        number
    } else {
        0
    };
    if matches!(packet.transport, Transport::Tcp | Transport::Udp) {
        let opened = if is_for_vip {
            new_flow::open(packet, tables, now)
        } else if packet.tcp.flags.opens() {
            // A SYN is TCP: for other protocols the flags are zero.
            vip_out::open(packet, tables, now)
        } else {
            Found::None
        };
        if opened != Found::None {
            return opened;
        }
    }
    if sender == 0 {
        return unclaimed::judge(packet, tables);
    }
    match routed::from_node(packet, sender, tables, next_hop) {
        Found::RefusedElsewhere(reason) => {
            if adjacency::leads_elsewhere(tables, &packet.key) {
                return Found::Refused(reason);
            }
        }
        found => return found,
    }
    unclaimed::judge(packet, tables)
}
