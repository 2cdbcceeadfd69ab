//! What the daemon asks of the kernel's network: links, addresses, routes and neighbours (rtnetlink).

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
};

use anyhow::{Context as _, Result};
use futures_util::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use lb_common::{net::Mac, next_hop::Neighbour};
use rtnetlink::{
    Handle, MulticastGroup, RouteMessageBuilder, new_multicast_connection,
    packet_core::NetlinkPayload,
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        address::{AddressAttribute, AddressMessage, AddressProtocol},
        link::{LinkAttribute, LinkMessage, LinkXdp, XdpAttached},
        neighbour::{
            NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourMessage,
            NeighbourState,
        },
        route::{RouteAddress, RouteAttribute, RouteMessage},
    },
};

use crate::datapath::Mode;

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Kernel name.
    pub name: String,
    /// Kernel index.
    pub index: u32,
    /// Ethernet address.
    pub mac: Mac,
    /// Largest IP packet (bytes).
    pub mtu: u16,
    /// Its IPv4 addresses, but for those that edgelb has put there.
    pub addresses: Vec<Ipv4Addr>,
    /// How an XDP program is attached, if one is.
    pub program: Option<Mode>,
}

/// An IPv4 address of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The address.
    pub address: Ipv4Addr,
    /// Kernel index of the interface that has it.
    pub index: u32,
    /// Whether edgelb has put it there.
    pub ours: bool,
}

/// Who has assigned an address (`IFA_PROTO`, Linux 5.18): `ip -details address` shows it. The number is
/// edgelb's choice; the kernel's own end at 3.
const OURS: AddressProtocol = AddressProtocol::Other(0xeb);

/// A neighbour as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighbourReport {
    /// Who.
    pub neighbour: Neighbour,
    /// Its Ethernet address while it is known to be good.
    pub mac: Option<Mac>,
    /// True for an entry that an administrator has fixed.
    pub permanent: bool,
    /// True for an entry that the kernel keeps resolved because edgelb has asked for it.
    pub managed: bool,
}

/// A change in the kernel's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkEvent {
    /// A neighbour has come, changed or gone.
    Neighbour(NeighbourReport),
    /// A route has come, changed or gone.
    Routes,
}

/// A connection to the kernel's network.
#[derive(Clone)]
pub struct Network {
    handle: Handle,
}

/// The changes, as they come.
pub type NetworkEvents = BoxStream<'static, NetworkEvent>;

impl Network {
    /// Connects. To be called within the runtime: a task of its own drives the connection.
    pub fn connect() -> Result<(Self, NetworkEvents)> {
        let (connection, handle, messages) =
            new_multicast_connection(&[MulticastGroup::Neigh, MulticastGroup::Ipv4Route])
                .context("cannot open a netlink socket")?;
        tokio::spawn(connection);
        let events = messages.filter_map(async |(message, _)| match message.payload {
            NetlinkPayload::InnerMessage(message) => event(&message),
            _ => None,
        });
        Ok((Self { handle }, events.boxed()))
    }

    /// The interface with this name.
    pub async fn link(&self, name: &str) -> Result<Link> {
        let mut links = self
            .handle
            .link()
            .get()
            .match_name(name.to_owned())
            .execute();
        let message = links
            .try_next()
            .await
            .ok()
            .flatten()
            .with_context(|| format!("interface {name}: there is no such interface"))?;
        let mut link = link(name, &message).with_context(|| {
            format!("interface {name}: it has no Ethernet address; only Ethernet is balanced")
        })?;
        let own = |held: &Held| held.index == link.index && !held.ours;
        let held = self.addresses().await?.into_iter().filter(own);
        link.addresses = held.map(|held| held.address).collect();
        Ok(link)
    }

    /// The interface that holds an IPv4 address, if one does.
    pub async fn holder(&self, address: Ipv4Addr) -> Result<Option<Held>> {
        let held = self.addresses().await?;
        Ok(held.into_iter().find(|held| held.address == address))
    }

    /// Every IPv4 address of this machine.
    pub async fn addresses(&self) -> Result<Vec<Held>> {
        let mut messages = self.handle.address().get().execute();
        let mut addresses = Vec::new();
        while let Some(message) = messages
            .try_next()
            .await
            .context("cannot list the addresses")?
        {
            addresses.extend(held(&message));
        }
        Ok(addresses)
    }

    /// Gives an interface an address, as a host address: the subnet is that of the interface's own
    /// address. It is marked as ours.
    pub async fn add_address(&self, index: u32, address: Ipv4Addr) -> Result<()> {
        let mut request = self.handle.address().add(index, IpAddr::V4(address), 32);
        request
            .message_mut()
            .attributes
            .push(AddressAttribute::Protocol(OURS));
        request
            .execute()
            .await
            .with_context(|| format!("cannot assign {address}"))
    }

    /// Takes an address from an interface.
    pub async fn remove_address(&self, index: u32, address: Ipv4Addr) -> Result<()> {
        let mut addresses = self
            .handle
            .address()
            .get()
            .set_link_index_filter(index)
            .set_address_filter(IpAddr::V4(address))
            .execute();
        while let Some(message) = addresses.try_next().await? {
            self.handle
                .address()
                .del(message)
                .execute()
                .await
                .with_context(|| format!("cannot take away {address}"))?;
        }
        Ok(())
    }

    /// The neighbour through which this machine reaches an address; `None` where it has no route.
    pub async fn next_hop(&self, address: Ipv4Addr) -> Option<Neighbour> {
        let query = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(address, 32)
            .build();
        let route = self
            .handle
            .route()
            .get(query)
            .execute()
            .try_next()
            .await
            .ok()??;
        let interface = output(&route)?;
        Some(Neighbour {
            interface,
            address: gateway(&route).unwrap_or(address).into(),
        })
    }

    /// Every gateway of the IPv4 routes out of these interfaces.
    pub async fn gateways(&self, interfaces: &[u32]) -> Result<Vec<Neighbour>> {
        let query = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let mut routes = self.handle.route().get(query).execute();
        let mut gateways = Vec::new();
        while let Some(route) = routes.try_next().await.context("cannot list the routes")? {
            if let (Some(interface), Some(address)) = (output(&route), gateway(&route))
                && interfaces.contains(&interface)
            {
                let neighbour = Neighbour {
                    interface,
                    address: address.into(),
                };
                if !gateways.contains(&neighbour) {
                    gateways.push(neighbour);
                }
            }
        }
        Ok(gateways)
    }

    /// Every IPv4 neighbour that the kernel knows.
    pub async fn neighbours(&self) -> Result<Vec<NeighbourReport>> {
        let mut messages = self
            .handle
            .neighbours()
            .get()
            .set_address_family(AddressFamily::Inet)
            .execute();
        let mut reports = Vec::new();
        while let Some(message) = messages
            .try_next()
            .await
            .context("cannot list the neighbours")?
        {
            reports.extend(report(&message, false));
        }
        Ok(reports)
    }

    /// Has the kernel find a neighbour and keep it resolved from here on (`NTF_EXT_MANAGED`, Linux
    /// 5.16): XDP sends past the kernel, which would let an entry that it does not use itself go.
    pub async fn keep_resolved(&self, neighbour: Neighbour) -> Result<()> {
        let address = Ipv4Addr::from(neighbour.address);
        let mut request = self
            .handle
            .neighbours()
            .add(neighbour.interface, IpAddr::V4(address))
            .state(NeighbourState::None)
            .replace();
        request
            .message_mut()
            .attributes
            .push(NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed));
        request
            .execute()
            .await
            .with_context(|| format!("cannot have the kernel resolve {address}"))
    }

    /// Takes a neighbour out of the kernel's table.
    pub async fn forget(&self, neighbour: Neighbour) -> Result<()> {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.ifindex = neighbour.interface;
        message
            .attributes
            .push(NeighbourAttribute::Destination(NeighbourAddress::Inet(
                neighbour.address.into(),
            )));
        self.handle.neighbours().del(message).execute().await?;
        Ok(())
    }
}

/// Lets the data path use the kernel's routing table: it asks as if from `lo`, so that no other
/// interface needs forwarding and the kernel itself forwards nothing (H13).
pub fn enable_routing_look_ups() -> Result<()> {
    const SETTING: &str = "/proc/sys/net/ipv4/conf/lo/forwarding";
    fs::write(SETTING, "1").with_context(|| format!("{SETTING}: cannot be set to 1"))
}

/// Whether an interface drops packets that come in by another one than their answer leaves by
/// (`rp_filter` 1): it breaks answers that take another way (RFC 3704).
pub fn has_strict_source_check(interface: &str) -> bool {
    let read = |name: &str| {
        fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{name}/rp_filter"))
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0)
    };
    // The kernel takes the larger of the two.
    read("all").max(read(interface)) == 1_u8
}

fn event(message: &RouteNetlinkMessage) -> Option<NetworkEvent> {
    match message {
        RouteNetlinkMessage::NewNeighbour(message) => {
            report(message, false).map(NetworkEvent::Neighbour)
        }
        RouteNetlinkMessage::DelNeighbour(message) => {
            report(message, true).map(NetworkEvent::Neighbour)
        }
        RouteNetlinkMessage::NewRoute(_) | RouteNetlinkMessage::DelRoute(_) => {
            Some(NetworkEvent::Routes)
        }
        _ => None,
    }
}

fn link(name: &str, message: &LinkMessage) -> Option<Link> {
    let mut mac = None;
    let mut mtu = None;
    let mut program = None;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Xdp(xdp) => {
                program = xdp.iter().find_map(|attribute| match attribute {
                    LinkXdp::Attached(XdpAttached::None) => None,
                    LinkXdp::Attached(XdpAttached::SocketBuffer) => Some(Mode::Generic),
                    LinkXdp::Attached(_) => Some(Mode::Native),
                    _ => None,
                });
            }
            LinkAttribute::Address(address) => {
                mac = <[u8; 6]>::try_from(address.as_slice()).ok().map(Mac::new);
            }
            LinkAttribute::Mtu(bytes) => mtu = Some(u16::try_from(*bytes).unwrap_or(u16::MAX)),
            _ => {}
        }
    }
    Some(Link {
        name: name.to_owned(),
        index: message.header.index,
        mac: mac?,
        mtu: mtu?,
        addresses: Vec::new(),
        program,
    })
}

fn held(message: &AddressMessage) -> Option<Held> {
    let mut address = None;
    let mut ours = false;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(IpAddr::V4(local)) => address = Some(*local),
            AddressAttribute::Protocol(protocol) => ours = *protocol == OURS,
            _ => {}
        }
    }
    Some(Held {
        address: address?,
        index: message.header.index,
        ours,
    })
}

fn report(message: &NeighbourMessage, gone: bool) -> Option<NeighbourReport> {
    let mut address = None;
    let mut mac = None;
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(destination)) => {
                address = Some(*destination);
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => {
                mac = <[u8; 6]>::try_from(bytes.as_slice()).ok().map(Mac::new);
            }
            _ => {}
        }
    }
    let managed = message.attributes.iter().any(|attribute| {
        matches!(attribute, NeighbourAttribute::ExtFlags(flags) if flags.contains(NeighbourExtFlags::Managed))
    });
    let usable = !gone
        && matches!(
            message.header.state,
            NeighbourState::Reachable
                | NeighbourState::Stale
                | NeighbourState::Delay
                | NeighbourState::Probe
                | NeighbourState::Permanent
        );
    Some(NeighbourReport {
        neighbour: Neighbour {
            interface: message.header.ifindex,
            address: address?.into(),
        },
        mac: mac.filter(|_| usable),
        permanent: message.header.state == NeighbourState::Permanent,
        managed,
    })
}

fn output(route: &RouteMessage) -> Option<u32> {
    route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Oif(index) => Some(*index),
            _ => None,
        })
}

fn gateway(route: &RouteMessage) -> Option<Ipv4Addr> {
    route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Gateway(RouteAddress::Inet(address)) => Some(*address),
            _ => None,
        })
}
