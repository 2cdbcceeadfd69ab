//! Clients, a balancer and nodes: three namespaces and two cables, or two and one.

use std::{fmt::Write as _, process::Command};

use anyhow::{Context as _, Result};
use lb_common::bench_wire::names;

use super::{instruments::Instruments, plan};
use crate::lab::{
    folder::Folder,
    links::{self, End},
    namespace::{Namespace, run},
    plan::Arrangement,
};

/// The clients' interface.
pub const CLIENTS: &str = "inet";
/// The balancer's interface towards the clients; with one arm, its only one.
pub const NEAR: &str = "ext0";
/// The balancer's interface towards the nodes.
pub const FAR: &str = "ext1";
/// The nodes' interface.
pub const NODES: &str = "dmz";

/// A wire with a place for a balancer in it; it goes when this is dropped.
pub struct Topology {
    /// Where the clients are; with one arm, the nodes too.
    pub clients: Namespace,
    /// Where the balancer is.
    pub balancer: Namespace,
    /// Where the nodes are, with two arms.
    pub nodes: Option<Namespace>,
    /// How the balancer is placed.
    pub arrangement: Arrangement,
}

impl Topology {
    /// Builds it. Every interface has a queue for each of `cpus`, as a NIC would.
    pub fn build(
        folder: &Folder,
        name: &str,
        arrangement: Arrangement,
        cpus: usize,
    ) -> Result<Self> {
        let host = |role: &str| -> Result<Namespace> {
            let host = Namespace::create(format!("{}-{name}-{role}", folder.name()))?;
            quiet(&host)?;
            Ok(host)
        };
        let topology = Self {
            clients: host("clients")?,
            balancer: host("balancer")?,
            nodes: match arrangement {
                Arrangement::TwoArm => Some(host("nodes")?),
                Arrangement::OneArm => None,
            },
            arrangement,
        };
        topology.lay_cables(cpus)?;
        topology.address()?;
        Ok(topology)
    }

    /// Puts the instruments at both ends.
    pub fn equip(&self, instruments: &mut Instruments) -> Result<()> {
        for end in self.far_ends() {
            instruments.attach(names::FAR_END, end)?;
        }
        Ok(())
    }

    /// Where the nodes are, in either arrangement.
    pub fn nodes(&self) -> &Namespace {
        self.nodes.as_ref().unwrap_or(&self.clients)
    }

    /// The balancer's interfaces.
    pub fn balancer_ends(&self) -> Vec<End<'_>> {
        let at = &self.balancer;
        match self.arrangement {
            Arrangement::TwoArm => [NEAR, FAR].map(|interface| End { at, interface }).into(),
            Arrangement::OneArm => vec![End {
                at,
                interface: NEAR,
            }],
        }
    }

    fn far_ends(&self) -> Vec<End<'_>> {
        let mut ends = vec![End {
            at: &self.clients,
            interface: CLIENTS,
        }];
        ends.extend(self.nodes.as_ref().map(|at| End {
            at,
            interface: NODES,
        }));
        ends
    }

    fn lay_cables(&self, cpus: usize) -> Result<()> {
        let far_ends = self.far_ends();
        let near_ends = self.balancer_ends();
        let macs = [
            [plan::CLIENTS_MAC, plan::NEAR_MAC],
            [plan::NODES_MAC, plan::FAR_MAC],
        ];
        for ((far, near), macs) in far_ends.into_iter().zip(near_ends).zip(macs) {
            links::connect([far, near])?;
            for (end, mac) in [far, near].into_iter().zip(macs) {
                end.at.ip(&format!(
                    "link set {} address {}\n",
                    end.interface,
                    hex(mac)
                ))?;
                queues(end, cpus)?;
            }
        }
        Ok(())
    }

    fn address(&self) -> Result<()> {
        let clients = format!("{}/{}", plan::CLIENTS, plan::CLIENTS_PREFIX);
        let gateway = crate::lab::plan::vip::ACCESS;
        // Any program of the clients may bind to any of their addresses.
        let mut at_clients = format!("route add local {clients} dev lo\n");
        let mut at_nodes = String::new();
        let nodes = if self.nodes.is_some() { NODES } else { CLIENTS };
        for address in plan::nodes() {
            let _ = writeln!(at_nodes, "addr add {address}/24 dev {nodes}");
        }
        let (router, router_mac, towards_nodes, nodes_mac) = match self.arrangement {
            Arrangement::TwoArm => {
                let (router, balancer) = (plan::TRANSIT_ROUTER, plan::TRANSIT_BALANCER);
                let _ = writeln!(at_clients, "addr add {router}/24 dev {CLIENTS}");
                let _ = writeln!(
                    at_clients,
                    "route add 203.0.113.0/24 via {balancer} dev {CLIENTS} src {}",
                    plan::client(1).ip()
                );
                let _ = writeln!(at_nodes, "route add default via {gateway} dev {NODES}");
                self.balancer.ip(&format!(
                    "addr add {balancer}/24 dev {NEAR}\naddr add {}/24 dev {FAR}\n",
                    plan::BALANCER
                ))?;
                (router, plan::CLIENTS_MAC, FAR, plan::NODES_MAC)
            }
            Arrangement::OneArm => {
                let _ = writeln!(at_clients, "addr add {}/24 dev {CLIENTS}", plan::ROUTER);
                self.balancer
                    .ip(&format!("addr add {}/24 dev {NEAR}\n", plan::BALANCER))?;
                (plan::ROUTER, plan::CLIENTS_MAC, NEAR, plan::CLIENTS_MAC)
            }
        };
        self.clients.ip(&at_clients)?;
        self.nodes().ip(&at_nodes)?;
        // The far ends answer nothing while they count: everyone is known beforehand.
        let mut at_balancer = format!(
            "neighbour add {router} lladdr {} dev {NEAR} nud permanent\nroute add {clients} via {router}\n",
            hex(router_mac)
        );
        for address in plan::nodes() {
            let _ = writeln!(
                at_balancer,
                "neighbour add {address} lladdr {} dev {towards_nodes} nud permanent",
                hex(nodes_mac)
            );
        }
        self.balancer.ip(&at_balancer)
    }
}

/// A namespace whose kernel does nothing of its own accord, and forwards nothing yet.
fn quiet(host: &Namespace) -> Result<()> {
    host.sysctl(&[
        ("net/ipv4/ip_forward", "0"),
        ("net/ipv4/conf/all/rp_filter", "0"),
        ("net/ipv4/conf/default/rp_filter", "0"),
        ("net/ipv4/conf/all/send_redirects", "0"),
        ("net/ipv4/conf/default/send_redirects", "0"),
        ("net/ipv4/conf/default/accept_redirects", "0"),
        ("net/ipv4/ip_local_port_range", "1024 64511"),
    ])?;
    host.ip("link set lo up\n")
}

/// Gives an interface as many queues as there are CPUs.
fn queues(end: End<'_>, cpus: usize) -> Result<()> {
    let cpus = cpus.to_string();
    run(end
        .at
        .command("ethtool")?
        .args(["-L", end.interface, "rx", &cpus, "tx", &cpus]))
    .map(drop)
    .with_context(|| format!("queues of {}", end.interface))
}

/// Has an interface without a program take frames that XDP sends: they come in like those of a NIC, by NAPI.
pub fn receive_by_napi(end: End<'_>) -> Result<()> {
    let mut command: Command = end.at.command("ethtool")?;
    run(command.args(["-K", end.interface, "gro", "on"])).map(drop)
}

fn hex(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
