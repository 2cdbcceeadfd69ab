//! The routes of the nodes: their default gateway is the Access VIP (H11), and the internal networks are
//! behind the internal VIP (H10).

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::config::Config;

/// A route of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Name of the node.
    pub node: String,
    /// An address of the interface that the route is for.
    pub interface_address: Ipv4Addr,
    /// Where to.
    pub network: Ipv4Net,
    /// Through which VIP.
    pub gateway: Ipv4Addr,
}

impl Route {
    /// The command of `PowerShell`; what it adds stays after a restart.
    pub fn new_net_route(&self) -> String {
        format!(
            "New-NetRoute -DestinationPrefix {} -InterfaceIndex (Get-NetIPAddress -IPAddress {}).InterfaceIndex -NextHop {}",
            self.network, self.interface_address, self.gateway
        )
    }

    /// The command of `cmd.exe`; what it adds stays after a restart.
    pub fn route_add(&self) -> String {
        format!(
            "route -p add {} mask {} {}",
            self.network.network(),
            self.network.netmask(),
            self.gateway
        )
    }
}

/// The routes of every node: the default route first, where there is an Access VIP, then those to the
/// internal networks, where there is an internal VIP.
pub fn routes(config: &Config) -> Vec<Route> {
    let mut routes = Vec::new();
    for node in &config.nodes {
        let (vips, own) = (&config.vips, &node.addresses);
        if let (Some(gateway), Some(interface_address)) = (vips.access, own.access) {
            routes.push(Route {
                node: node.name.clone(),
                interface_address,
                network: Ipv4Net::default(),
                gateway,
            });
        }
        if let (Some(gateway), Some(interface_address)) = (vips.internal, own.internal) {
            for network in &config.pool.internal_networks {
                routes.push(Route {
                    node: node.name.clone(),
                    interface_address,
                    network: *network,
                    gateway,
                });
            }
        }
    }
    routes
}
