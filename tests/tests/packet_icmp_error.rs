//! ICMP errors about packets of a flow: translated outside and inside, in both directions, so that path
//! MTU discovery works through the load balancer (RFC 1191, RFC 5508). Rules H3 and H6.

use lb_common::drop_reason::DropReason;
use lb_tests::{
    case::{Expected, Input, Step, dropped, forwarded, passed, run},
    packet::{Spec, flags, icmp, icmp_error, tcp, udp},
    runner::{ONE_NODE, Port},
};

const SYN: u8 = flags::SYN;
const ACK: u8 = flags::ACK;
const CLIENT: &str = "198.51.100.7:40000";
/// A router between client and edgelb.
const ROUTER: &str = "198.51.100.254";
const MTU_1400: [u8; 4] = [0, 0, 0x05, 0x78];

/// A packet as it was when somebody further on wrote the error.
fn old(packet: Spec) -> Spec {
    packet.ttl(63)
}

/// An error from `source` about `sent` comes in, and leaves by `to` as one from `shown` about `known`.
fn translated(at: Port, error: (&str, Spec), to: Port, shown: (&str, Spec), code: u8) -> Step {
    let rest = if code == 4 { MTU_1400 } else { [0; 4] };
    forwarded(
        at,
        icmp_error(error.0, &old(error.1), 3, code, rest),
        to,
        icmp_error(shown.0, &old(shown.1), 3, code, rest),
    )
}

/// A connection through full NAT, confirmed.
fn snat() -> Vec<Step> {
    let (vip, source, node) = ("203.0.113.10:443", "203.0.113.10:1024", "203.0.113.11:443");
    vec![
        forwarded(
            Port::Ext0,
            tcp(CLIENT, vip, SYN),
            Port::Ext1,
            tcp(source, node, SYN),
        ),
        forwarded(
            Port::Ext1,
            tcp(node, source, SYN | ACK).numbers(5000, 1001),
            Port::Ext0,
            tcp(vip, CLIENT, SYN | ACK).numbers(5000, 1001),
        ),
        forwarded(
            Port::Ext0,
            tcp(CLIENT, vip, ACK),
            Port::Ext1,
            tcp(source, node, ACK),
        ),
    ]
}

#[test]
fn h6_an_error_about_a_packet_to_the_client_reaches_the_node() {
    let mut steps = snat();
    let (to_client, from_node) = (
        || tcp("203.0.113.10:443", CLIENT, ACK),
        || tcp("203.0.113.11:443", "203.0.113.10:1024", ACK),
    );
    steps.extend([
        // "Fragmentation needed" by a router on the way, which stays itself.
        translated(
            Port::Ext0,
            (ROUTER, to_client()),
            Port::Ext1,
            (ROUTER, from_node()),
            4,
        ),
        // "Port unreachable" by the client: the node knows it as the VIP.
        translated(
            Port::Ext0,
            ("198.51.100.7", to_client()),
            Port::Ext1,
            ("203.0.113.10", from_node()),
            3,
        ),
    ]);
    run(ONE_NODE, &steps);
}

#[test]
fn h3_an_error_about_a_packet_to_the_node_reaches_the_client() {
    let mut steps = snat();
    let (to_node, from_client) = (
        || tcp("203.0.113.10:1024", "203.0.113.11:443", ACK),
        || tcp(CLIENT, "203.0.113.10:443", ACK),
    );
    steps.extend([
        // From a router between edgelb and the node, and from the node, which the client knows as the VIP.
        translated(
            Port::Ext1,
            ("203.0.113.99", to_node()),
            Port::Ext0,
            ("203.0.113.99", from_client()),
            4,
        ),
        translated(
            Port::Ext1,
            ("203.0.113.11", to_node()),
            Port::Ext0,
            ("203.0.113.10", from_client()),
            3,
        ),
    ]);
    run(ONE_NODE, &steps);
}

/// Also while the handshake is not complete.
#[test]
fn an_error_about_a_half_open_flow_is_translated() {
    let mut steps = snat();
    steps.truncate(1);
    steps.push(translated(
        Port::Ext1,
        (
            "203.0.113.11",
            tcp("203.0.113.10:1024", "203.0.113.11:443", SYN),
        ),
        Port::Ext0,
        ("203.0.113.10", tcp(CLIENT, "203.0.113.10:443", SYN)),
        1,
    ));
    run(ONE_NODE, &steps);
}

/// Without SNAT only the node's address and the VIP change; the UDP checksum in the quote follows.
#[test]
fn h7_errors_about_flows_without_snat() {
    let (vip, node) = ("203.0.113.30:3478", "203.0.113.31:3478");
    run(
        ONE_NODE,
        &[
            forwarded(Port::Ext0, udp(CLIENT, vip), Port::Ext1, udp(CLIENT, node)),
            // The node is not listening.
            translated(
                Port::Ext1,
                ("203.0.113.31", udp(CLIENT, node)),
                Port::Ext0,
                ("203.0.113.30", udp(CLIENT, vip)),
                3,
            ),
            // The client has gone.
            translated(
                Port::Ext0,
                ("198.51.100.7", udp(vip, CLIENT)),
                Port::Ext1,
                ("198.51.100.7", udp(node, CLIENT)),
                3,
            ),
        ],
    );
}

#[test]
fn ev5_an_error_about_a_connection_of_a_node_reaches_the_node() {
    let (node, vip, partner) = (
        "203.0.113.11:50000",
        "203.0.113.10:50000",
        "198.51.100.7:5061",
    );
    run(
        ONE_NODE,
        &[
            forwarded(
                Port::Ext1,
                tcp(node, partner, SYN),
                Port::Ext0,
                tcp(vip, partner, SYN),
            ),
            translated(
                Port::Ext0,
                ("198.51.100.7", tcp(vip, partner, SYN)),
                Port::Ext1,
                ("198.51.100.7", tcp(node, partner, SYN)),
                3,
            ),
        ],
    );
}

/// What belongs to no flow is as it was: routed to a node, or the machine's own.
#[test]
fn errors_about_other_packets_are_not_touched() {
    let about_media = icmp_error(ROUTER, &udp("203.0.113.31:50000", CLIENT), 3, 4, MTU_1400);
    let about_own = icmp_error(
        ROUTER,
        &tcp("203.0.113.10:65000", CLIENT, ACK),
        3,
        4,
        MTU_1400,
    );
    run(
        ONE_NODE,
        &[
            forwarded(Port::Ext0, about_media.clone(), Port::Ext1, about_media),
            passed(Port::Ext0, about_own),
        ],
    );
}

/// A host of the other side can forge the addresses, but not where it is (H13).
#[test]
fn h13_an_error_from_the_other_side_is_none_of_the_flows() {
    let mut steps = snat();
    let forged = icmp_error(
        ROUTER,
        &tcp("203.0.113.10:443", CLIENT, ACK),
        3,
        4,
        MTU_1400,
    );
    steps.push(dropped(Port::Int0, forged, DropReason::ZoneCrossing));
    run(ONE_NODE, &steps);
}

#[test]
fn a_quote_must_be_of_the_receivers_own_packet_and_long_enough() {
    let quote = tcp("203.0.113.20:443", CLIENT, ACK).frame()[14..42].to_vec();
    let error = |payload: Vec<u8>| icmp(ROUTER, "203.0.113.10", 3, 4, MTU_1400).payload(payload);
    let mut options = quote.clone();
    options[0] = 0x4f;
    run(
        ONE_NODE,
        &[
            dropped(Port::Ext0, error(quote.clone()), DropReason::IcmpQuote),
            dropped(
                Port::Ext0,
                error(quote[..27].to_vec()),
                DropReason::IcmpHeader,
            ),
            dropped(Port::Ext0, error(options), DropReason::IcmpHeader),
            dropped(Port::Ext0, error(Vec::new()), DropReason::IcmpHeader),
        ],
    );
}

/// The quoted packet may have IP options of its own.
#[test]
fn a_quote_with_ip_options_is_translated() {
    let with_options = |packet: Spec| {
        let frame = old(packet).frame();
        let mut quote = frame[14..34].to_vec();
        quote[0] = 0x46;
        quote.extend([1, 1, 1, 1]);
        quote.extend_from_slice(&frame[34..42]);
        quote
    };
    let error =
        |to: &str, packet: Spec| icmp(ROUTER, to, 3, 4, MTU_1400).payload(with_options(packet));
    let mut steps = snat();
    steps.push(Step {
        at: Port::Ext0,
        packet: Input::Packet(error("203.0.113.10", tcp("203.0.113.10:443", CLIENT, ACK))),
        expected: Expected::Sent(
            Port::Ext1,
            error(
                "203.0.113.11",
                tcp("203.0.113.11:443", "203.0.113.10:1024", ACK),
            ),
        ),
    });
    run(ONE_NODE, &steps);
}
