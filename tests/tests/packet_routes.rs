//! What is remembered of the way to a destination, and for how long: until the routes change, on both runners, and
//! not a packet longer.

use std::{net::Ipv4Addr, process::Command};

use lb_common::{
    net::{Ip4, Zone},
    route_cache::{GENERATIONS, WAYS, Wanted},
};
use lb_tests::{
    packet::{Spec, udp},
    runner::{ONE_NODE, Outcome, Port, ROUTER, Runner, SECOND_ROUTER, host::Host, kernel::Kernel},
};

/// A client that hears of a node.
const CLIENT: &str = "198.51.100.7:40000";
/// Another one.
const OTHER: &str = "198.51.100.8:40000";

/// Media of a node.
fn media(to: &str) -> Spec {
    udp("203.0.113.31:50000", to)
}

/// Lets media to a client come in, which must leave towards a router.
fn leaves_by(runner: &mut impl Runner, client: &str, router: [u8; 6]) {
    let before = media(client).macs([2, 0, 0, 0, 2, 31], Port::Ext1.mac());
    let after = media(client).ttl(63).macs(Port::Ext0.mac(), router);
    let outcome = runner.receive(Port::Ext1, &before.frame());
    assert_eq!(outcome, Outcome::Redirected(after.frame()), "to {client}");
}

/// `ip` in the namespace of this thread.
fn ip(arguments: &str) {
    let status = Command::new("ip")
        .args(arguments.split_whitespace())
        .status();
    assert!(status.is_ok_and(|status| status.success()), "{arguments}");
}

#[test]
fn a_route_that_changes_counts_from_the_next_packet_on() {
    let mut host = Host::new(ONE_NODE);
    for _ in 0..2 {
        leaves_by(&mut host, CLIENT, ROUTER);
    }
    host.tables.gateway.set(Ip4::from_octets([192, 0, 2, 253]));
    host.tables.generation.set(1);
    for _ in 0..2 {
        leaves_by(&mut host, CLIENT, SECOND_ROUTER);
    }

    let mut kernel = Kernel::new(ONE_NODE);
    for _ in 0..2 {
        leaves_by(&mut kernel, CLIENT, ROUTER);
    }
    ip("route replace default via 192.0.2.253");
    kernel.datapath.raise_route_generation().expect("raised");
    for _ in 0..2 {
        leaves_by(&mut kernel, CLIENT, SECOND_ROUTER);
    }
}

/// A word of the cache holds the low bits of its generation only. When these come round, what it says is long
/// forgotten, though its next hop is as good as then.
#[test]
fn an_old_way_is_forgotten_before_the_number_of_its_generation_comes_round() {
    let mut kernel = Kernel::new(ONE_NODE);
    leaves_by(&mut kernel, CLIENT, ROUTER);
    ip("route replace default via 192.0.2.253");
    ip("route add 198.51.100.8/32 via 192.0.2.254");
    let generation = u64::from(kernel.datapath.route_generation().expect("read"));
    kernel
        .datapath
        .start_route_generation(generation + 2 * GENERATIONS)
        .expect("started");
    leaves_by(&mut kernel, OTHER, ROUTER);
    leaves_by(&mut kernel, CLIENT, SECOND_ROUTER);
}

/// More destinations than a line of the cache has room for: each finds its way, whether it is remembered or not.
#[test]
fn destinations_in_one_line_keep_apart() {
    let line = |address: &Ip4| Wanted::new(*address, Zone::External, 0).line();
    let first = u32::from(Ipv4Addr::new(100, 64, 0, 0));
    let addresses = (first..).map(|number| Ip4::from(Ipv4Addr::from(number)));
    let clients: Vec<String> = addresses
        .filter(|address| line(address) == 7)
        .take(WAYS + 2)
        .map(|address| format!("{address:?}:40000"))
        .collect();
    let mut kernel = Kernel::new(ONE_NODE);
    let (near, far) = clients.split_at(WAYS / 2);
    for client in near {
        ip(&format!(
            "route add {}/32 via 192.0.2.253",
            client.trim_end_matches(":40000")
        ));
    }
    for _ in 0..3 {
        for client in near {
            leaves_by(&mut kernel, client, SECOND_ROUTER);
        }
        for client in far {
            leaves_by(&mut kernel, client, ROUTER);
        }
    }
}
