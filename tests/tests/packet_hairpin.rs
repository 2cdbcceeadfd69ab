//! A node that is a client of its own pool: Access, Web Conferencing and A/V, outside and inside.

use lb_tests::{
    case::{Step, forwarded, run},
    packet::{flags, tcp, udp},
    runner::{ONE_NODE, Port},
};

const SYN: u8 = flags::SYN;
const ACK: u8 = flags::ACK;

/// A connection of a node to a VIP, and the answer: the only node is its own peer, and sees the VIP.
fn connection(at: Port, client: &str, vip: &str, source: &str, node: &str) -> Vec<Step> {
    vec![
        forwarded(at, tcp(client, vip, SYN), at, tcp(source, node, SYN)),
        forwarded(
            at,
            tcp(node, source, SYN | ACK).numbers(5000, 1001),
            at,
            tcp(vip, client, SYN | ACK).numbers(5000, 1001),
        ),
        forwarded(at, tcp(client, vip, ACK), at, tcp(source, node, ACK)),
    ]
}

#[test]
fn ev3_ev6_a_node_reaches_access_and_web_conferencing() {
    let ext = Port::Ext1;
    let mut steps = connection(
        ext,
        "203.0.113.11:50000",
        "203.0.113.10:443",
        "203.0.113.10:1024",
        "203.0.113.11:443",
    );
    // SIP to its own pool is balanced; it does not leave as the VIP's own (EV5).
    steps.extend(connection(
        ext,
        "203.0.113.11:50001",
        "203.0.113.10:5061",
        "203.0.113.10:1024",
        "203.0.113.11:5061",
    ));
    steps.extend(connection(
        ext,
        "203.0.113.21:50000",
        "203.0.113.20:443",
        "203.0.113.20:1024",
        "203.0.113.21:443",
    ));
    run(ONE_NODE, &steps);
}

/// Without SNAT the other node would answer past the load balancer, and a node could not be its own peer:
/// the one case in which A/V sees the VIP. The node's port stays where it is free.
#[test]
fn ev7_ev8_a_node_reaches_a_v() {
    let steps = connection(
        Port::Ext1,
        "203.0.113.31:50000",
        "203.0.113.30:443",
        "203.0.113.30:50000",
        "203.0.113.31:443",
    );
    run(ONE_NODE, &steps);
    let (node, vip, av) = (
        "203.0.113.31:50000",
        "203.0.113.30:3478",
        "203.0.113.31:3478",
    );
    let source = "203.0.113.30:50000";
    let datagram = |from: &str, to: &str| udp(from, to);
    let at = Port::Ext1;
    run(
        ONE_NODE,
        &[
            forwarded(at, datagram(node, vip), at, datagram(source, av)),
            forwarded(at, datagram(av, source), at, datagram(vip, node)),
            forwarded(at, datagram(node, vip), at, datagram(source, av)),
        ],
    );
}

/// Health checks of the nodes leave from these ports of the VIP: their answers must not be a flow's.
#[test]
fn a_node_does_not_get_a_port_that_health_checks_use() {
    for (port, seen) in [(64_511, 64_511), (64_512, 1024), (65_535, 1024)] {
        let steps = connection(
            Port::Ext1,
            &format!("203.0.113.31:{port}"),
            "203.0.113.30:443",
            &format!("203.0.113.30:{seen}"),
            "203.0.113.31:443",
        );
        run(ONE_NODE, &steps);
    }
}

#[test]
fn iv1_iv5_a_node_reaches_the_internal_vip() {
    let mut steps = connection(
        Port::Int0,
        "10.20.0.11:50000",
        "10.20.0.10:5061",
        "10.20.0.10:1024",
        "10.20.0.11:5061",
    );
    steps.extend(connection(
        Port::Int0,
        "10.20.0.11:50001",
        "10.20.0.10:443",
        "10.20.0.10:50001",
        "10.20.0.11:443",
    ));
    run(ONE_NODE, &steps);
}
