//! A packet of no flow and of no service.

use lb_common::{drop_reason::DropReason, service::FIRST_OWN_PORT};

use super::Found;
use crate::{
    adjacency,
    packet::{Packet, Transport},
    parse::icmp,
    tables::Tables,
};

/// Judges a packet that no service asked for: what is for the machine itself goes to the kernel, and
/// what a VIP does not offer is refused. So is what is for anybody else: the kernel would forward it where
/// an administrator has let it, and from one side to the other (H13).
#[inline(never)]
pub fn judge<T: Tables>(packet: &Packet, tables: &T) -> Found {
    match tables.vip(packet.key.destination) {
        None if adjacency::leads_elsewhere(tables, &packet.key) => {
            return Found::Refused(DropReason::NotRouted);
        }
        None => return Found::None,
        // The kernel would answer for an address of the other side (H13).
        Some(zone) if zone != packet.zone => return Found::Refused(DropReason::ZoneCrossing),
        Some(_) => {}
    }
    match packet.transport {
        // Answers to health checks that left from the VIP.
        Transport::Tcp | Transport::Udp
            if packet.key.destination_port.number() >= FIRST_OWN_PORT =>
        {
            Found::None
        }
        // A node that still answers a flow that is gone.
        Transport::Tcp
            if !packet.tcp.flags.opens() && tables.owner(packet.key.source).is_node() =>
        {
            Found::Refused(DropReason::NoFlow)
        }
        Transport::Tcp | Transport::Udp => Found::Refused(DropReason::PortClosed),
        Transport::Fragment if packet.key.protocol != icmp::PROTOCOL => {
            Found::Refused(DropReason::Fragment)
        }
        // Echo and the like: the kernel answers for its addresses.
        Transport::IcmpError | Transport::Other | Transport::Fragment => Found::None,
    }
}
