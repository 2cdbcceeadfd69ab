//! Where a check leaves from: the VIP of its service, a port of the machine's own, and the interface
//! that leads to the node.
//!
//! The VIP is the one address in the nodes' subnet that this machine has for certain, and whom nodes
//! know as their client anyhow. SNAT never hands out the ports from [`FIRST_OWN_PORT`] on, so an answer
//! to one of them is no packet of a flow, and the data path gives it to the kernel. The socket is bound
//! to the interface: whatever the routes become, a check never leaves by the other side (H13).

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
    num::NonZeroU32,
    sync::{Arc, PoisonError, RwLock},
};

use lb_common::{
    net::{Protocol, Zone},
    service::FIRST_OWN_PORT,
};
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

use super::{failure::Failure, target::Target};
use crate::network::Network;

/// Ports that are tried for one check. One that is in use is that of a connection not long past.
const TRIES: u16 = 16;

/// The machine's interfaces and routes.
#[derive(Clone)]
pub struct Ways {
    network: Network,
    interfaces: Arc<RwLock<Vec<(u32, Zone)>>>,
}

impl Ways {
    /// `interfaces`: those that edgelb is attached to, by their index.
    pub fn new(network: Network, interfaces: Vec<(u32, Zone)>) -> Self {
        Self {
            network,
            interfaces: Arc::new(RwLock::new(interfaces)),
        }
    }

    /// Replaces the interfaces, for the checks that are running too.
    pub fn set_interfaces(&self, interfaces: Vec<(u32, Zone)>) {
        let mut held = self
            .interfaces
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *held = interfaces;
    }

    /// The interface that leads to a node, as the routes are now.
    async fn to(&self, node: Ipv4Addr, zone: Zone) -> Result<NonZeroU32, Failure> {
        let neighbour = self.network.next_hop(node).await.ok_or(Failure::NoRoute)?;
        let interfaces = self
            .interfaces
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if interfaces.contains(&(neighbour.interface, zone)) {
            NonZeroU32::new(neighbour.interface).ok_or(Failure::NoRoute)
        } else {
            Err(Failure::NoRoute)
        }
    }
}

/// The ports of the machine's own, one after the other: none comes again while the last connection from
/// it may still be remembered.
#[derive(Clone, Copy, Debug)]
pub struct Ports(u16);

impl Ports {
    /// Begins somewhere.
    pub fn new(start: u16) -> Self {
        Self(start.max(FIRST_OWN_PORT))
    }

    fn next(&mut self) -> u16 {
        let port = self.0;
        self.0 = port.checked_add(1).unwrap_or(FIRST_OWN_PORT);
        port
    }
}

/// Connects to a node over TCP.
pub async fn connect(
    target: &Target,
    ways: &Ways,
    ports: &mut Ports,
) -> Result<TcpStream, Failure> {
    let interface = ways.to(*target.address.ip(), target.zone).await?;
    let mut tries = TRIES;
    loop {
        let socket = bound(target, interface, ports).map_err(Failure::Socket)?;
        let socket = TcpSocket::from_std_stream(socket.into());
        match socket.connect(target.address.into()).await {
            Ok(stream) => {
                // Everything here is a question that waits for its answer (H12).
                stream.set_nodelay(true).map_err(Failure::Socket)?;
                return Ok(stream);
            }
            // The kernel remembers a connection from this port to this node.
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable && tries > 0 => {
                tries -= 1;
            }
            Err(error) => return Err(Failure::Connect(error)),
        }
    }
}

/// A UDP socket that hears of the node alone.
pub async fn associate(
    target: &Target,
    ways: &Ways,
    ports: &mut Ports,
) -> Result<UdpSocket, Failure> {
    let interface = ways.to(*target.address.ip(), target.zone).await?;
    let socket = bound(target, interface, ports).map_err(Failure::Socket)?;
    let socket = UdpSocket::from_std(socket.into()).map_err(Failure::Socket)?;
    socket
        .connect(target.address)
        .await
        .map_err(Failure::Connect)?;
    Ok(socket)
}

fn bound(target: &Target, interface: NonZeroU32, ports: &mut Ports) -> io::Result<Socket> {
    let kind = match target.protocol {
        Protocol::Tcp => Type::STREAM,
        Protocol::Udp => Type::DGRAM,
    };
    let socket = Socket::new(Domain::IPV4, kind.nonblocking(), None)?;
    if target.protocol == Protocol::Tcp {
        // Connections to different nodes may share a port, and a closed one is no hindrance.
        socket.set_reuse_address(true)?;
    }
    socket.bind_device_by_index_v4(Some(interface))?;
    let mut address = target.vip;
    let mut tries = TRIES;
    loop {
        let from = SocketAddrV4::new(address, ports.next());
        let error = match socket.bind(&from.into()) {
            Ok(()) => return Ok(socket),
            Err(error) => error,
        };
        match error.kind() {
            // The VIP is elsewhere: another machine balances, and this one only watches. The kernel
            // takes the address that belongs to the route.
            io::ErrorKind::AddrNotAvailable if !address.is_unspecified() => {
                address = Ipv4Addr::UNSPECIFIED;
            }
            io::ErrorKind::AddrInUse if tries > 0 => tries -= 1,
            _ => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_stay_within_those_that_snat_never_hands_out() {
        let mut ports = Ports::new(1);
        assert_eq!(ports.next(), FIRST_OWN_PORT);
        let mut ports = Ports::new(65_534);
        let found: Vec<u16> = (0..4).map(|_| ports.next()).collect();
        assert_eq!(found, [65_534, 65_535, FIRST_OWN_PORT, FIRST_OWN_PORT + 1]);
    }
}
