//! Full NAT, packet by packet: rows EV1, EV3, EV4, EV6, IV1, IV3 and rule H6.

use lb_common::drop_reason::DropReason;
use lb_tests::{
    case::{Step, dropped, expired, forwarded, passed, reset, run},
    packet::{Spec, flags, tcp, udp},
    runner::{ONE_NODE, Port},
};

const SYN: u8 = flags::SYN;
const ACK: u8 = flags::ACK;
const FIN: u8 = flags::FIN;
const RST: u8 = flags::RST;

const CLIENT: &str = "198.51.100.7:40000";
const VIP: &str = "203.0.113.10:443";
const NODE: &str = "203.0.113.11:443";
/// What the node sees: the VIP and the first port of the range.
const SOURCE: &str = "203.0.113.10:1024";

/// From the client to the node, and what the node gets.
fn forth(packet: fn(&str, &str) -> Spec) -> Step {
    forwarded(
        Port::Ext0,
        packet(CLIENT, VIP),
        Port::Ext1,
        packet(SOURCE, NODE),
    )
}

/// From the node to the client, and what the client gets.
fn back(packet: fn(&str, &str) -> Spec) -> Step {
    forwarded(
        Port::Ext1,
        packet(NODE, SOURCE),
        Port::Ext0,
        packet(VIP, CLIENT),
    )
}

fn syn(from: &str, to: &str) -> Spec {
    tcp(from, to, SYN)
}

/// The answer to [`syn`]: sequence number 5000, so that 5001 acknowledges it.
fn syn_ack(from: &str, to: &str) -> Spec {
    tcp(from, to, SYN | ACK).numbers(5000, 1001)
}

fn ack(from: &str, to: &str) -> Spec {
    tcp(from, to, ACK)
}

fn data(from: &str, to: &str) -> Spec {
    tcp(from, to, ACK).payload(vec![0x5a; 301])
}

fn fin(from: &str, to: &str) -> Spec {
    tcp(from, to, FIN | ACK)
}

fn rst(from: &str, to: &str) -> Spec {
    tcp(from, to, RST)
}

fn handshake() -> Vec<Step> {
    vec![forth(syn), back(syn_ack), forth(ack)]
}

#[test]
fn ev3_h6_a_connection_from_syn_to_fin() {
    let mut steps = handshake();
    steps.extend([forth(data), back(data), forth(fin), back(fin), forth(ack)]);
    run(ONE_NODE, &steps);
}

#[test]
fn iv1_an_internal_connection_returns_by_the_interface_it_came_by() {
    let client = "10.20.0.50:50123";
    let (vip, node) = ("10.20.0.10:5061", "10.20.0.11:5061");
    let source = "10.20.0.10:1024";
    let both = |packet: fn(&str, &str) -> Spec, forth: bool| {
        let (from, to, new_from, new_to) = if forth {
            (client, vip, source, node)
        } else {
            (node, source, vip, client)
        };
        forwarded(
            Port::Int0,
            packet(from, to),
            Port::Int0,
            packet(new_from, new_to),
        )
    };
    run(
        ONE_NODE,
        &[
            both(syn, true),
            both(syn_ack, false),
            both(ack, true),
            both(data, false),
        ],
    );
}

#[test]
fn every_flow_has_a_port_of_its_own() {
    let steps: Vec<Step> = (0..100_u16)
        .map(|number| {
            forwarded(
                Port::Ext0,
                syn(&format!("198.51.100.7:{}", 40_000 + number), VIP),
                Port::Ext1,
                syn(&format!("203.0.113.10:{}", 1024 + number), NODE),
            )
        })
        .collect();
    run(ONE_NODE, &steps);
}

#[test]
fn services_of_one_vip_on_one_node_do_not_share_ports() {
    run(
        ONE_NODE,
        &[
            forth(syn),
            // EV4: another port of the node, so the same SNAT port is free there.
            forwarded(
                Port::Ext0,
                syn(CLIENT, "203.0.113.10:5061"),
                Port::Ext1,
                syn(SOURCE, "203.0.113.11:5061"),
            ),
            // EV6.
            forwarded(
                Port::Ext0,
                syn(CLIENT, "203.0.113.20:443"),
                Port::Ext1,
                syn("203.0.113.20:1024", "203.0.113.21:443"),
            ),
        ],
    );
}

#[test]
fn a_repeated_syn_is_the_same_flow() {
    run(
        ONE_NODE,
        &[
            forth(syn),
            forth(syn),
            back(syn_ack),
            forth(ack),
            forth(data),
        ],
    );
}

#[test]
fn an_acknowledgment_that_nobody_asked_for_does_not_confirm() {
    let guessed = tcp(CLIENT, VIP, ACK).numbers(1001, 5001 + 0x1_0000);
    run(
        ONE_NODE,
        &[
            forth(syn),
            reset(Port::Ext0, ack(CLIENT, VIP), DropReason::NoFlow),
            back(syn_ack),
            reset(Port::Ext0, guessed, DropReason::NoFlow),
            forth(ack),
        ],
    );
}

#[test]
fn a_syn_revives_a_flow_that_was_just_reset() {
    let anew = |packet: fn(&str, &str) -> Spec| {
        forwarded(
            Port::Ext0,
            packet(CLIENT, VIP),
            Port::Ext1,
            packet("203.0.113.10:1025", NODE),
        )
    };
    // After the handshake, by the node.
    let mut steps = handshake();
    steps.extend([back(rst), anew(syn)]);
    run(ONE_NODE, &steps);
    // During the handshake, by the node: it refuses the connection.
    run(ONE_NODE, &[forth(syn), back(rst), anew(syn)]);
    // By the client.
    let mut steps = handshake();
    steps.extend([forth(rst), anew(syn)]);
    run(ONE_NODE, &steps);
    // Closed in good order.
    let mut steps = handshake();
    steps.extend([forth(fin), back(fin), forth(ack), anew(syn)]);
    run(ONE_NODE, &steps);
}

#[test]
fn a_syn_within_a_live_flow_goes_to_its_node() {
    let mut steps = handshake();
    steps.extend([forth(syn), back(ack), forth(data)]);
    run(ONE_NODE, &steps);
}

#[test]
fn udp_is_confirmed_by_the_second_packet_of_the_client() {
    let config = r#"
        [pool]
        name = "dns"
        [interfaces]
        external = ["ext0", "ext1"]
        [[services]]
        name = "dns"
        listen = "203.0.113.40:53/udp"
        treatment = "snat"
        nodes = [{ name = "a", address = "203.0.113.11:53" }]
    "#;
    let (vip, node, source) = ("203.0.113.40:53", "203.0.113.11:53", "203.0.113.40:1024");
    let forth = || forwarded(Port::Ext0, udp(CLIENT, vip), Port::Ext1, udp(source, node));
    let back = || forwarded(Port::Ext1, udp(node, source), Port::Ext0, udp(vip, CLIENT));
    run(
        config,
        &[forth(), forth(), back(), forth(), back(), forth()],
    );
}

#[test]
fn a_packet_at_the_end_of_its_life_is_dropped() {
    let mut steps = handshake();
    for ttl in [0, 1] {
        steps.push(expired(
            Port::Ext0,
            data(CLIENT, VIP).ttl(ttl),
            "203.0.113.10",
        ));
    }
    steps.push(forwarded(
        Port::Ext0,
        data(CLIENT, VIP).ttl(2),
        Port::Ext1,
        data(SOURCE, NODE).ttl(2),
    ));
    run(ONE_NODE, &steps);
}

#[test]
fn what_a_vip_does_not_offer_is_dropped() {
    let no_flow = DropReason::NoFlow;
    let closed = DropReason::PortClosed;
    run(
        ONE_NODE,
        &[
            dropped(Port::Ext0, syn(CLIENT, "203.0.113.10:22"), closed),
            dropped(Port::Ext0, udp(CLIENT, "203.0.113.10:443"), closed),
            reset(Port::Ext0, ack(CLIENT, VIP), no_flow),
            reset(Port::Ext0, syn_ack(CLIENT, VIP), no_flow),
            dropped(Port::Ext0, rst(CLIENT, VIP), no_flow),
            reset(Port::Ext0, tcp(CLIENT, VIP, SYN | FIN), no_flow),
            reset(Port::Ext0, tcp(CLIENT, VIP, 0), no_flow),
            reset(Port::Ext1, ack(NODE, SOURCE), no_flow),
        ],
    );
}

#[test]
fn a_vip_is_no_client() {
    let forged = syn("203.0.113.20:40000", VIP);
    run(
        ONE_NODE,
        &[dropped(Port::Ext0, forged, DropReason::Ipv4Source)],
    );
}

#[test]
fn h13_a_vip_is_not_reached_from_the_other_side() {
    let crossing = DropReason::ZoneCrossing;
    run(
        ONE_NODE,
        &[
            dropped(Port::Int0, syn("10.20.0.50:40000", VIP), crossing),
            dropped(Port::Ext0, syn(CLIENT, "10.20.0.10:5061"), crossing),
        ],
    );
}

#[test]
fn h13_a_flow_is_not_spoken_in_from_the_other_side() {
    let mut steps = handshake();
    // Forged: the addresses of the flow, from the inside.
    steps.push(dropped(
        Port::Int0,
        data(CLIENT, VIP),
        DropReason::ZoneCrossing,
    ));
    steps.push(dropped(
        Port::Int0,
        data(NODE, SOURCE),
        DropReason::ZoneCrossing,
    ));
    run(ONE_NODE, &steps);
}

#[test]
fn a_node_that_does_not_answer_arp_gets_nothing() {
    let config = ONE_NODE.replace("203.0.113.11", "203.0.113.99");
    run(
        &config,
        &[dropped(
            Port::Ext0,
            syn(CLIENT, VIP),
            DropReason::NextHopUnresolved,
        )],
    );
}

#[test]
fn the_machine_itself_gets_what_is_its_own() {
    let mut steps = handshake();
    steps.extend([
        passed(Port::Ext0, syn(CLIENT, "192.0.2.1:22")),
        // Answers to health checks that left from the VIP.
        passed(Port::Ext1, syn_ack(NODE, "203.0.113.10:64512")),
        passed(Port::Ext1, syn_ack(NODE, "203.0.113.10:65535")),
        // Flooded by a switch: for somebody else.
        passed(
            Port::Ext0,
            syn(CLIENT, VIP).macs([2, 0, 0, 0, 9, 9], [2, 0, 0, 0, 9, 8]),
        ),
        passed(
            Port::Ext0,
            data(CLIENT, VIP).macs([2, 0, 0, 0, 9, 9], [2, 0, 0, 0, 9, 8]),
        ),
        passed(
            Port::Ext0,
            udp(CLIENT, "224.0.0.18:112").macs([2, 0, 0, 0, 9, 9], [1, 0, 0x5e, 0, 0, 18]),
        ),
    ]);
    run(ONE_NODE, &steps);
}
