//! An ICMP error about a packet of a flow: it goes the way of that packet's answers, translated as they are
//! (RFC 5508, section 4).

use lb_common::flow::{Asked, Direction};

use crate::{
    packet::Packet,
    tables::{FlowSlot, Tables},
};

/// The flow that an error goes through; none for an error about anything else, and for one about what a
/// client sent to the node itself (H4).
#[inline(always)]
pub fn flow<T: Tables>(packet: &Packet, tables: &T) -> Option<T::Slot> {
    if packet.quoted_at == 0 {
        return None;
    }
    tables.look_up(&packet.key).filter(|flow| {
        flow.with(|entry| {
            let role = entry.role;
            !role.is_dnat() || role.direction() == Direction::TO_NODE || role.asked() == Asked::Vip
        })
    })
}
