//! What can stand in the balancer's place.

use std::fmt::{self, Write as _};

use anyhow::Result;
use lb_common::bench_wire::names;

use super::{
    instruments::Instruments,
    plan,
    setup::Ends,
    topology::{FAR, NEAR, Topology, receive_by_napi},
};
use crate::lab::{
    namespace::{Namespace, run},
    plan::{Arrangement, vip},
};

/// Whoever forwards packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// The least that XDP could do: new Ethernet addresses, and off.
    Bare,
    /// edgelb, as it is shipped.
    Edgelb,
    /// The kernel as a router: no translation, no state.
    Routing,
    /// nftables: the same full NAT, by conntrack.
    Nftables,
    /// `HAProxy`, for TCP: a connection to the client and another to the node.
    Haproxy,
    /// nginx with its stream module, likewise.
    Nginx,
}

impl Contender {
    /// Those that forward packets.
    pub const ALL: [Self; 4] = [Self::Bare, Self::Edgelb, Self::Routing, Self::Nftables];

    /// As it is called in the report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bare => BARE,
            Self::Edgelb => "edgelb",
            Self::Routing => "kernel routing",
            Self::Nftables => "nftables full NAT",
            Self::Haproxy => "HAProxy",
            Self::Nginx => "nginx stream",
        }
    }

    /// A word for file names.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Edgelb => "edgelb",
            Self::Routing => "routing",
            Self::Nftables => "nft",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
        }
    }

    /// Whether clients ask a VIP, and not the nodes themselves.
    pub const fn has_vips(self) -> bool {
        !matches!(self, Self::Bare | Self::Routing)
    }

    /// Whether it knows the flows that it forwards.
    pub const fn has_flows(self) -> bool {
        matches!(self, Self::Edgelb | Self::Nftables)
    }
}

/// The floor of a comparison.
pub const BARE: &str = "bare XDP";

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Puts the least of balancers into its place.
pub fn forward_bare(topology: &Topology, instruments: &mut Instruments) -> Result<()> {
    let ends = topology.balancer_ends();
    match topology.arrangement {
        Arrangement::TwoArm => {
            let far = topology
                .balancer
                .enter(|| nix::net::if_::if_nametoindex(FAR))??;
            instruments.set_onward(far, [plan::NODES_MAC, plan::FAR_MAC])?;
            // A frame sent by XDP is taken only where there is a program or NAPI.
            receive_by_napi(ends[1])?;
            instruments.attach(names::REDIRECT, ends[0])
        }
        Arrangement::OneArm => {
            instruments.set_onward(0, [plan::CLIENTS_MAC, plan::NEAR_MAC])?;
            instruments.attach(names::REFLECT, ends[0])
        }
    }
}

/// Makes a router of the balancer's kernel.
pub fn route(topology: &Topology, ends: Ends) -> Result<()> {
    if ends == Ends::Instruments {
        for end in topology.balancer_ends() {
            receive_by_napi(end)?;
        }
    }
    topology.balancer.sysctl(&[("net/ipv4/ip_forward", "1")])
}

/// Gives the VIPs to the balancer's kernel: nodes and clients ask for them by ARP.
pub fn hold_vips(balancer: &Namespace) -> Result<()> {
    let vips = [vip::ACCESS, vip::WEBCONF, vip::AV];
    let lines = vips.map(|vip| format!("addr add {vip}/32 dev {NEAR}\n"));
    balancer.ip(&lines.concat())
}

/// Has nftables do what edgelb does: a node by a hash of the client, and the VIP in the client's place.
pub fn translate_by_nftables(topology: &Topology) -> Result<()> {
    hold_vips(&topology.balancer)?;
    let mut command = topology.balancer.command("nft")?;
    run(command.arg(ruleset())).map(drop)
}

/// The rules, for `nft`.
fn ruleset() -> String {
    let mut nodes = String::new();
    for number in 0..plan::NODES {
        let _ = write!(nodes, "{number} : {}, ", plan::node(number, vip::ACCESS));
    }
    let ports: String = plan::SERVICES.map(|port| format!("{port}, ")).concat();
    format!(
        "table ip bench {{\n\
         chain in {{ type nat hook prerouting priority dstnat;\n\
         ip daddr {vip} tcp dport {{ {ports} }} dnat ip to jhash ip saddr . tcp sport mod {count} map {{ {nodes} }}\n}}\n\
         chain out {{ type nat hook postrouting priority srcnat;\n\
         ct status dnat snat ip to {vip}\n}}\n}}\n",
        vip = vip::ACCESS,
        count = plan::NODES,
    )
}
