//! Addresses and ports as they are written in the file.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    ops::RangeInclusive,
};

use ipnet::Ipv4Net;
use lb_common::{net::Protocol, service::FIRST_OWN_PORT};

/// An address that a single host can have.
pub fn host_address(text: &str) -> Option<Ipv4Addr> {
    text.parse().ok().filter(|address| is_host(*address))
}

fn is_host(address: Ipv4Addr) -> bool {
    !lb_common::net::Ip4::from(address).is_never_a_source()
}

/// Address and port of a service on a host.
pub fn socket_address(text: &str) -> Option<SocketAddrV4> {
    text.parse()
        .ok()
        .filter(|address: &SocketAddrV4| address.port() != 0 && is_host(*address.ip()))
}

/// Address, port and protocol on which a service listens.
pub fn listen_address(text: &str) -> Option<(SocketAddrV4, Protocol)> {
    let (address, protocol) = text.split_once('/')?;
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    Some((socket_address(address)?, protocol))
}

/// A range of source ports, below those of the health checks.
pub fn port_range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (1024 <= first && first <= last && last < FIRST_OWN_PORT).then_some(first..=last)
}

/// A network of hosts, without host bits; never the default route, which is the Access VIP's (H11).
pub fn network(text: &str) -> Option<Ipv4Net> {
    text.parse().ok().filter(|network: &Ipv4Net| {
        // No host has the address 0.0.0.0, with which the default route is written.
        *network == network.trunc() && is_host(network.network())
    })
}
