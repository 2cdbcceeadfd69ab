//! The pool of the bench: the largest one, and clients without end.

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::runner::{Neighbour, Port, neighbour};

/// Nodes.
pub const NODES: u8 = 12;

/// What clients ask behind source NAT: the Access and the Web Conferencing service. With twelve nodes
/// each these have SNAT ports for 1.5 million flows.
pub const SNAT: [SocketAddrV4; 2] = [
    SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 10), 443),
    SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 20), 443),
];

/// What clients ask without source NAT: STUN and TURN of the A/V service.
pub const DNAT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 30), 3478);

/// The last octets of the addresses of the first node, in the order of the roles.
const ACCESS: u8 = 101;
const WEBCONF: u8 = 121;
const AV: u8 = 141;

/// A node's own address for media.
pub const fn av(node: u8) -> Ipv4Addr {
    Ipv4Addr::new(203, 0, 113, AV + node)
}

/// The configuration, with room for so many flows.
pub fn config(max_flows: u32, max_half_open: u32) -> String {
    let mut config = format!(
        r#"
[pool]
name = "bench"
[health]
enabled = false
[interfaces]
external = ["ext0", "ext1"]
internal = ["int0"]
[limits]
max_flows = {max_flows}
max_half_open = {max_half_open}
[vips]
access = "{}"
webconf = "{}"
av = "{}"
internal = "10.20.0.10"
"#,
        SNAT[0].ip(),
        SNAT[1].ip(),
        DNAT.ip()
    );
    for node in 0..NODES {
        config += &format!(
            r#"
[[nodes]]
name = "edge{node}"
access = "203.0.113.{}"
webconf = "203.0.113.{}"
av = "{}"
internal = "10.20.0.{}"
"#,
            ACCESS + node,
            WEBCONF + node,
            av(node),
            ACCESS + node
        );
    }
    config
}

/// Everyone whom the balancer sends packets to.
pub fn neighbours() -> Vec<Neighbour> {
    let mut neighbours = vec![neighbour(Port::Ext0, [192, 0, 2, 254])];
    for node in 0..NODES {
        for role in [ACCESS, WEBCONF, AV] {
            neighbours.push(neighbour(Port::Ext1, [203, 0, 113, role + node]));
        }
        neighbours.push(neighbour(Port::Int0, [10, 20, 0, ACCESS + node]));
    }
    neighbours
}

/// Connections that one client address has.
const PER_ADDRESS: usize = 16;

/// A client's address and port; no two numbers have the same. An address has a few connections, as that of
/// an office has.
pub fn client(number: usize) -> SocketAddrV4 {
    let first = u32::from(Ipv4Addr::new(100, 64, 0, 0));
    let address = first + (number / PER_ADDRESS) as u32;
    let port = 20_000 + (number % PER_ADDRESS) * 2003;
    SocketAddrV4::new(Ipv4Addr::from(address), port as u16)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::runner::contents;

    #[test]
    fn the_pool_is_valid_and_knows_its_neighbours() {
        let (_, plan) = contents(&config(65_536, 16_384));
        let known: Vec<_> = neighbours()
            .iter()
            .map(|known| Ipv4Addr::from(known.address))
            .collect();
        for service in &plan.services {
            assert_eq!(service.nodes.len(), usize::from(NODES));
            for node in &service.nodes {
                assert!(known.contains(node.address.ip()), "{}", node.address);
            }
        }
        for listen in SNAT.into_iter().chain([DNAT]) {
            assert!(plan.services.iter().any(|service| service.listen == listen));
        }
    }

    #[test]
    fn no_two_clients_are_the_same() {
        let clients: BTreeSet<_> = (0..100_000).map(client).collect();
        assert_eq!(clients.len(), 100_000);
    }
}
