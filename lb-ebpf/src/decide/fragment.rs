//! Fragments of a packet of a flow: the first has the ports, and tells them to the others.

use lb_common::fragment::{FRAGMENT_TIMEOUT, FragmentKey, FragmentPorts};

use crate::{packet::Packet, tables::Tables};

/// The flow of a fragment but the first, if the first has come before it and was of a flow.
#[inline(always)]
pub fn flow<T: Tables>(packet: &Packet, tables: &T, now: u32) -> Option<T::Slot> {
    let ports = tables
        .fragment(&key(packet))
        .filter(|ports| now.wrapping_sub(ports.at) <= FRAGMENT_TIMEOUT)?;
    let key = packet.key.with_ports(ports.source, ports.destination);
    tables.look_up(&key)
}

/// Keeps the ports of a first fragment for the others.
#[inline(never)]
pub fn remember<T: Tables>(packet: &Packet, tables: &T, now: u32) {
    let ports = FragmentPorts {
        source: packet.key.source_port,
        destination: packet.key.destination_port,
        at: now,
    };
    tables.keep_fragment(&key(packet), &ports);
}

#[inline(always)]
fn key(packet: &Packet) -> FragmentKey {
    FragmentKey {
        source: packet.key.source,
        destination: packet.key.destination,
        identification: packet.identification,
        protocol: packet.key.protocol,
        zone: packet.key.zone(),
    }
}
