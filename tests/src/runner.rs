//! Where a packet case runs: the pure logic over plain collections ([`host::Host`]), and the real eBPF
//! object in the real kernel ([`kernel::Kernel`]).

pub mod flow_memory;
pub mod host;
pub mod kernel;
pub mod tables;

use lb_common::{
    affinity::{Affinity, AffinityKey},
    drop_reason::DropReason,
};
use lb_daemon::{
    config::Config,
    contents::Contents,
    datapath::{Pair, Stage},
    plan::Plan,
};

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Sent out of the interface it came in by.
    Returned(Vec<u8>),
    /// Sent out of another interface.
    Redirected(Vec<u8>),
    /// Given to the machine's own network stack, unchanged.
    Passed,
    /// Dropped.
    Dropped(DropReason),
    /// Dropped, and its sender told so by a frame out of the interface it came in by.
    Answered(DropReason, Vec<u8>),
}

/// Runs packets.
pub trait Runner {
    /// Lets `frame` come in by an interface.
    fn receive(&mut self, at: Port, frame: &[u8]) -> Outcome;
    /// Calls `visit` with every flow.
    fn visit_flows(&self, visit: &mut dyn FnMut(&Pair));
    /// Flows that are confirmed, and flows that are not.
    fn flows(&self) -> (usize, usize) {
        let (mut confirmed, mut half_open) = (0, 0);
        self.visit_flows(&mut |pair| match Stage::of(pair) {
            Stage::Confirmed => confirmed += 1,
            Stage::HalfOpen => half_open += 1,
        });
        (confirmed, half_open)
    }
    /// Changes what the maps hold, as the daemon does.
    fn hold(&mut self, contents: Contents);
    /// Has a client stay with a node that drains.
    fn keep_client(&mut self, key: &AffinityKey, affinity: &Affinity);
    /// Second of the clock.
    fn now(&self) -> u32;
}

/// The interfaces of the machine under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Port {
    /// External, towards the router: 192.0.2.0/24, the default route by 192.0.2.254.
    Ext0,
    /// External, towards the nodes: 203.0.113.0/24.
    Ext1,
    /// Internal: 10.20.0.0/24.
    Int0,
}

impl Port {
    /// Every interface.
    pub const ALL: [Self; 3] = [Self::Ext0, Self::Ext1, Self::Int0];

    /// Kernel name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ext0 => "ext0",
            Self::Ext1 => "ext1",
            Self::Int0 => "int0",
        }
    }

    /// Ethernet address.
    pub const fn mac(self) -> [u8; 6] {
        [2, 0, 0, 0, self as u8 + 1, 1]
    }

    /// Own address, in a network of 24 bits.
    pub const fn own_address(self) -> [u8; 4] {
        match self {
            Self::Ext0 => [192, 0, 2, 1],
            Self::Ext1 => [203, 0, 113, 1],
            Self::Int0 => [10, 20, 0, 1],
        }
    }
}

/// A host that the machine under test knows.
pub struct Neighbour {
    /// On which interface.
    pub port: Port,
    /// Its address.
    pub address: [u8; 4],
    /// Its Ethernet address.
    pub mac: [u8; 6],
}

/// The host with this address, whose Ethernet address follows from it.
pub const fn neighbour(port: Port, address: [u8; 4]) -> Neighbour {
    Neighbour {
        port,
        address,
        mac: [2, 0, 0, 0, port as u8 + 1, address[3]],
    }
}

/// The router on the external side.
pub const ROUTER: [u8; 6] = [2, 0, 0, 0, 1, 254];
/// Another one, for tests that change routes.
pub const SECOND_ROUTER: [u8; 6] = [2, 0, 0, 0, 1, 253];

/// The known hosts: routers, two nodes with their three addresses, their internal addresses, a front
/// end. 203.0.113.99 is a node that does not answer ARP.
pub const NEIGHBOURS: [Neighbour; 11] = [
    neighbour(Port::Ext0, [192, 0, 2, 254]),
    neighbour(Port::Ext0, [192, 0, 2, 253]),
    neighbour(Port::Ext1, [203, 0, 113, 11]),
    neighbour(Port::Ext1, [203, 0, 113, 12]),
    neighbour(Port::Ext1, [203, 0, 113, 21]),
    neighbour(Port::Ext1, [203, 0, 113, 22]),
    neighbour(Port::Ext1, [203, 0, 113, 31]),
    neighbour(Port::Ext1, [203, 0, 113, 32]),
    neighbour(Port::Int0, [10, 20, 0, 11]),
    neighbour(Port::Int0, [10, 20, 0, 12]),
    neighbour(Port::Int0, [10, 20, 0, 50]),
];

/// The maps for a configuration, and its table sizes.
pub fn contents(config: &str) -> (Contents, Plan) {
    let config = Config::parse(config).unwrap_or_else(|problems| panic!("{problems:?}"));
    let plan = Plan::of(&config);
    let contents = Contents::of(&plan).unwrap_or_else(|error| panic!("{error}"));
    (contents, plan)
}

/// A pool of one node: the choice of the node is no part of most cases.
pub const ONE_NODE: &str = r#"
[pool]
name = "edge"
[interfaces]
external = ["ext0", "ext1"]
internal = ["int0"]
[vips]
access = "203.0.113.10"
webconf = "203.0.113.20"
av = "203.0.113.30"
internal = "10.20.0.10"
[[nodes]]
name = "edge1"
access = "203.0.113.11"
webconf = "203.0.113.21"
av = "203.0.113.31"
internal = "10.20.0.11"
"#;
