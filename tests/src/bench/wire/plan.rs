//! Who has which address on the wire, and which flows there are.

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::lab::plan::{Arrangement, vip};

/// Nodes of the largest Edge pool.
pub const NODES: u32 = 12;

/// Ports of the Access VIP: with source NAT, each is a pool of source ports on each node, so that more than
/// two million flows fit.
pub const SERVICES: [u16; 3] = [443, 5061, 5269];

/// Port of the Web Conferencing VIP.
pub const WEBCONF: u16 = 443;
/// Port of the A/V VIP (STUN).
pub const STUN: u16 = 3478;
/// First port of a node's A/V address that media come to (UDP).
pub const MEDIA: u16 = 50_000;

/// Ethernet address of the end where the clients are; with one arm, the nodes too.
pub const CLIENTS_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// Ethernet address of the balancer's interface towards it.
pub const NEAR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// Ethernet address of the balancer's interface towards the nodes, with two arms.
pub const FAR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 3];
/// Ethernet address of the end where the nodes are, with two arms.
pub const NODES_MAC: [u8; 6] = [2, 0, 0, 0, 0, 4];

/// Where the clients' router is, with two arms.
pub const TRANSIT_ROUTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The balancer there.
pub const TRANSIT_BALANCER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// The clients' router in the nodes' network, with one arm.
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// The balancer in the nodes' network.
pub const BALANCER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
/// Where the clients are (RFC 2544, the network for benchmarks).
pub const CLIENTS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
/// Length of that prefix.
pub const CLIENTS_PREFIX: u8 = 15;

/// Addresses of clients.
const CLIENT_ADDRESSES: u64 = 1 << (32 - CLIENTS_PREFIX as u64);

/// Address of a node behind a VIP.
///
/// # Panics
///
/// For a VIP that the bench has no nodes behind.
pub fn node(number: u32, behind: Ipv4Addr) -> Ipv4Addr {
    let first = match behind {
        vip::ACCESS => 100,
        vip::WEBCONF => 130,
        vip::AV => 160,
        other => panic!("no nodes behind {other}"),
    };
    Ipv4Addr::new(203, 0, 113, first + (number % NODES) as u8)
}

/// All addresses of all nodes.
pub fn nodes() -> impl Iterator<Item = Ipv4Addr> {
    (0..NODES).flat_map(|number| [vip::ACCESS, vip::WEBCONF, vip::AV].map(|vip| node(number, vip)))
}

/// The client of a flow: no two flows below four thousand millions have the same.
pub fn client(flow: u64) -> SocketAddrV4 {
    let address = CLIENTS.to_bits() | (flow % CLIENT_ADDRESSES) as u32;
    let port = 1024 + (flow / CLIENT_ADDRESSES) as u16;
    SocketAddrV4::new(Ipv4Addr::from_bits(address), port)
}

/// The Access service that a flow asks.
pub fn service(flow: u64) -> SocketAddrV4 {
    let number = (flow % SERVICES.len() as u64) as usize;
    SocketAddrV4::new(vip::ACCESS, SERVICES[number])
}

/// The configuration of edgelb: the largest pool there is, and room for `flows`.
pub fn config(arrangement: Arrangement, flows: u64) -> String {
    let external = match arrangement {
        Arrangement::TwoArm => r#"["ext0", "ext1"]"#,
        Arrangement::OneArm => r#"["ext0"]"#,
    };
    let mut text = format!(
        "[pool]\nname = \"bench\"\none_side = true\n[interfaces]\nexternal = {external}\n\
         [health]\nenabled = false\n[limits]\nmax_flows = {}\n\
         [vips]\naccess = \"{}\"\nwebconf = \"{}\"\nav = \"{}\"\n",
        flows.max(16_384),
        vip::ACCESS,
        vip::WEBCONF,
        vip::AV,
    );
    for number in 0..NODES {
        text += &format!(
            "[[nodes]]\nname = \"edge{}\"\naccess = \"{}\"\nwebconf = \"{}\"\nav = \"{}\"\n",
            number + 1,
            node(number, vip::ACCESS),
            node(number, vip::WEBCONF),
            node(number, vip::AV),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use lb_daemon::config::Config;

    use super::*;

    #[test]
    fn no_two_flows_have_the_same_client() {
        let clients: HashSet<_> = (0..300_000).map(client).collect();
        assert_eq!(clients.len(), 300_000);
    }

    #[test]
    fn no_two_nodes_have_the_same_address() {
        let addresses: HashSet<_> = nodes().collect();
        assert_eq!(addresses.len(), 36);
        assert!(!addresses.contains(&ROUTER) && !addresses.contains(&BALANCER));
    }

    #[test]
    fn edgelb_takes_the_configuration() {
        for arrangement in Arrangement::ALL {
            if let Err(problems) = Config::parse(&config(arrangement, 1_000_000)) {
                panic!("{problems:?}");
            }
        }
    }
}
