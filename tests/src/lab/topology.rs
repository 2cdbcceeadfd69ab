//! The hosts and the cables between them, in both arrangements.

use anyhow::{Context as _, Result};

use super::{
    folder::Folder,
    links::{self, End, VethPeer},
    namespace::Namespace,
    plan::{self, Arrangement, Host, NODES, PARTNER_AV, Side},
};

/// All hosts of a lab, connected and with their addresses and routes. edgelb is not running yet, so the
/// VIPs are nowhere.
pub struct Topology {
    hosts: Vec<(Host, Namespace)>,
}

impl Topology {
    /// Builds it.
    pub fn build(arrangement: Arrangement, folder: &Folder) -> Result<Self> {
        let mut hosts = Vec::new();
        for host in Host::ALL {
            let namespace = Namespace::create(format!("{}-{}", folder.name(), host.name()))?;
            prepare(host, &namespace).with_context(|| host.name())?;
            hosts.push((host, namespace));
        }
        let topology = Self { hosts };
        topology.uplink()?;
        let mut peer = VethPeer::load()?;
        for side in Side::ALL {
            links::add_switch(topology.host(Host::Switch), side.interface())?;
            for number in 0..NODES.len() {
                topology.node(number, side)?;
            }
            topology.balancer(arrangement, side)?;
            for (interface, far_end) in far_ends(arrangement, side) {
                let (host, far_interface) = far_end;
                peer.attach(
                    topology.end(host, &far_interface),
                    &folder.pin(&format!("veth-peer-{interface}")),
                )?;
            }
        }
        Ok(topology)
    }

    /// A host.
    ///
    /// # Panics
    ///
    /// For a node that the plan does not have.
    pub fn host(&self, host: Host) -> &Namespace {
        self.hosts
            .iter()
            .find_map(|(known, namespace)| (*known == host).then_some(namespace))
            .unwrap_or_else(|| panic!("there is no {host:?} in the plan"))
    }

    /// Leaves everything in place when this is dropped.
    pub fn keep(&mut self) {
        for (_, namespace) in &mut self.hosts {
            namespace.keep();
        }
    }

    fn end<'a>(&'a self, host: Host, interface: &'a str) -> End<'a> {
        End {
            at: self.host(host),
            interface,
        }
    }

    /// Clients and router: nothing here depends on edgelb.
    fn uplink(&self) -> Result<()> {
        links::connect([
            self.end(Host::Clients, "inet"),
            self.end(Host::Router, "inet"),
        ])?;
        let prefix = plan::UPLINK.prefix;
        let askers = Side::External.networks().askers;
        self.host(Host::Clients).ip(&format!(
            "addr add {PARTNER_AV}/32 dev lo\naddr add {}/{prefix} dev inet\nroute add default via {} src {}\n",
            plan::UPLINK_CLIENTS,
            plan::UPLINK_ROUTER,
            Side::External.asker_address(0),
        ))?;
        self.host(Host::Router).ip(&format!(
            "addr add {}/{prefix} dev inet\nroute add {askers} via {}\n",
            plan::UPLINK_ROUTER,
            plan::UPLINK_CLIENTS,
        ))
    }

    /// A node on one side, with its only route to whatever is beyond: through the VIP (H10, H11).
    fn node(&self, number: usize, side: Side) -> Result<()> {
        let host = Host::Edge(number);
        let networks = side.networks();
        self.plug_in(host, side)?;
        let interface = side.interface();
        let mut lines = String::new();
        for address in NODES[number].addresses(side) {
            lines += &format!(
                "addr add {address}/{} dev {interface}\n",
                networks.nodes.prefix
            );
        }
        lines += &format!("route add {} via {}\n", networks.beyond, networks.gateway);
        self.host(host).ip(&lines)
    }

    /// edgelb and the router of one side.
    fn balancer(&self, arrangement: Arrangement, side: Side) -> Result<()> {
        let networks = side.networks();
        let router = side.router();
        let prefix = networks.nodes.prefix;
        match *arrangement.interfaces(side) {
            [near, far] => {
                links::connect([
                    self.end(Host::Balancer, near),
                    self.end(router, side.interface()),
                ])?;
                links::connect([
                    self.end(Host::Balancer, far),
                    self.end(Host::Switch, &switch_port(Host::Balancer, side)),
                ])?;
                self.join(Host::Balancer, side)?;
                let transit = networks.transit.prefix;
                self.host(Host::Balancer).ip(&format!(
                    "addr add {}/{transit} dev {near}\naddr add {}/{prefix} dev {far}\nroute add {} via {}\n",
                    networks.transit_balancer, networks.balancer, networks.beyond, networks.transit_router,
                ))?;
                self.host(router).ip(&format!(
                    "addr add {}/{transit} dev {}\nroute add {} via {}\n",
                    networks.transit_router,
                    side.interface(),
                    networks.nodes,
                    networks.transit_balancer,
                ))
            }
            [only] => {
                links::connect([
                    self.end(Host::Balancer, only),
                    self.end(Host::Switch, &switch_port(Host::Balancer, side)),
                ])?;
                self.join(Host::Balancer, side)?;
                self.plug_in(router, side)?;
                self.host(Host::Balancer).ip(&format!(
                    "addr add {}/{prefix} dev {only}\nroute add {} via {}\n",
                    networks.balancer, networks.beyond, networks.router,
                ))?;
                self.host(router).ip(&format!(
                    "addr add {}/{prefix} dev {}\n",
                    networks.router,
                    side.interface(),
                ))
            }
            ref interfaces => unreachable!("{interfaces:?}: one or two arms"),
        }
    }

    /// Connects a host to the switch of a side.
    fn plug_in(&self, host: Host, side: Side) -> Result<()> {
        links::connect([
            self.end(host, side.interface()),
            self.end(Host::Switch, &switch_port(host, side)),
        ])?;
        self.join(host, side)
    }

    fn join(&self, host: Host, side: Side) -> Result<()> {
        self.host(Host::Switch).ip(&format!(
            "link set {} master {}\n",
            switch_port(host, side),
            side.interface()
        ))
    }
}

/// The switch's port towards a host.
fn switch_port(host: Host, side: Side) -> String {
    format!("{}-{}", side.interface(), host.name())
}

/// What is at the far end of each of edgelb's cables.
fn far_ends(arrangement: Arrangement, side: Side) -> Vec<(&'static str, (Host, String))> {
    let switch = (Host::Switch, switch_port(Host::Balancer, side));
    match *arrangement.interfaces(side) {
        [near, far] => vec![
            (near, (side.router(), side.interface().to_owned())),
            (far, switch),
        ],
        [only] => vec![(only, switch)],
        _ => Vec::new(),
    }
}

/// What is the same wherever the host is.
fn prepare(host: Host, namespace: &Namespace) -> Result<()> {
    let forwarding = if host == Host::Router { "1" } else { "0" };
    // A new namespace has the settings of the machine that the lab runs on, whatever they are.
    namespace.sysctl(&[
        ("net/ipv4/ip_forward", forwarding),
        ("net/ipv4/conf/all/rp_filter", "0"),
        ("net/ipv4/conf/default/rp_filter", "0"),
    ])?;
    namespace.ip("link set lo up\n")?;
    for side in Side::ALL {
        if side.asker() == host {
            // The whole network is this host: a program may bind to any of its addresses.
            namespace.ip(&format!(
                "route add local {} dev lo\n",
                side.networks().askers
            ))?;
            // Servers look for theirs among those of the interfaces.
            namespace.ip(&format!("addr add {}/32 dev lo\n", side.partner()))?;
        }
    }
    Ok(())
}
