//! Second stage: from a packet and the tables to a verdict.
//!
//! The established path is one look-up; everything that is rarer is a subprogram of its own. BPF gives
//! the whole chain of calls 512 bytes of stack, so subprograms answer with a word and not with a
//! verdict: the flow that they found or made is looked up again.

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
    tables::{Owner, Table, Tables},
    verdict::{Verdict, Way},
};

/// Where the flow of a packet is to be found, or why it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// In the established table.
    Established,
    /// In the half-open table.
    HalfOpen,
    /// In the half-open table, and this packet moves it to the other.
    Claimed,
    /// In neither: it is for a service, or for the machine itself.
    None,
    /// In neither: it goes on as it is, to or from a node's own address.
    Routed,
    /// The packet may not have one.
    Refused(DropReason),
    /// Likewise, unless it is for this machine itself.
    RefusedElsewhere(DropReason),
}

/// Judges a packet; `way` is how to send it on. `now` is the second of the monotonic clock.
#[inline(always)]
pub fn decide<T: Tables>(packet: &Packet, tables: &T, now: u32, way: &mut Way) -> Verdict {
    let known = match packet.transport {
        Transport::Tcp | Transport::Udp => tables
            .established(&packet.key)
            .filter(|flow| established::goes_on(packet, flow, tables, now)),
        Transport::IcmpError => icmp_error::flow(packet, tables),
        Transport::Fragment => fragment::flow(packet, tables, now),
        // Nothing else is a flow.
        Transport::Other => None,
    };
    let flow = if known.is_some() {
        known
    } else {
        match find(packet, tables, now, &mut way.next_hop) {
            Found::Established => tables.flow(Table::Established, &packet.key),
            // In both cases another CPU may just have confirmed the flow: it was looked for in the
            // established table too early, and in the half-open one too late.
            Found::HalfOpen => tables
                .flow(Table::HalfOpen, &packet.key)
                .or_else(|| tables.flow(Table::Established, &packet.key)),
            Found::Refused(DropReason::NoFlow) => {
                match tables.flow(Table::Established, &packet.key) {
                    Some(flow) => Some(flow),
                    None => return Verdict::Drop(DropReason::NoFlow),
                }
            }
            Found::Routed => return Verdict::Route,
            Found::Refused(reason) | Found::RefusedElsewhere(reason) => {
                return Verdict::Drop(reason);
            }
            Found::None | Found::Claimed => return Verdict::Pass,
        }
    };
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
        // Found a moment ago and pushed out since: the table is far too small for what comes in.
        None => Verdict::Drop(DropReason::FlowTableFull),
    }
}

/// What to make of a packet of no established flow: whoever knows something of it first.
#[inline(always)]
fn find<T: Tables>(packet: &Packet, tables: &T, now: u32, next_hop: &mut NextHop) -> Found {
    let destination = tables.owner(packet.key.destination);
    // What a node's own address receives is of no flow.
    if let Owner::Node(number) = destination {
        return routed::to_node(packet, number, tables, next_hop);
    }
    let is_for_vip = matches!(destination, Owner::Vip(_));
    // The number of the node's address that sends; to a VIP a node is a client like any other.
    let sender = match tables.owner(packet.key.source) {
        Owner::Node(number) if !is_for_vip => number,
        _ => 0,
    };
    if may_be_of_flow(packet, tables, sender) {
        match half_open::advance(packet, tables, now) {
            Found::None => {}
            Found::Claimed => {
                let found = half_open::confirm(packet, tables);
                if found == Found::Established {
                    half_open::closed(packet, tables);
                }
                return found;
            }
            found => return found,
        }
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

/// True where a packet may be of a flow, or open one. Of a node's datagrams to clients only those from a port that is
/// balanced to it are.
#[inline(always)]
fn may_be_of_flow<T: Tables>(packet: &Packet, tables: &T, sender: u32) -> bool {
    match packet.transport {
        Transport::Udp if sender != 0 => {
            let port = packet.key.source_port;
            tables.node_address(sender, |address| address.may_answer_from(port)) != Some(false)
        }
        Transport::Tcp | Transport::Udp => true,
        Transport::IcmpError | Transport::Other | Transport::Fragment => false,
    }
}
