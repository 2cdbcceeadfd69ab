//! IPv4 fragments and options: to a VIP, from a node, and on routed paths.

use lb_common::drop_reason::DropReason;
use lb_tests::{
    case::{Expected, Input, Step, forwarded, fragmented, play, run},
    packet::{Spec, flags, fragments, icmp, set_ip_checksum, tcp, udp},
    runner::{ONE_NODE, Port, ROUTER, host::Host},
};

const CLIENT: &str = "198.51.100.7:40000";
const VIP: &str = "203.0.113.30:3478";
const NODE: &str = "203.0.113.31:3478";
const NODE_MAC: [u8; 6] = [2, 0, 0, 0, 2, 31];

/// A datagram that needs three fragments.
fn long(from: &str, to: &str) -> Spec {
    udp(from, to).payload((0..100).collect())
}

/// One fragment, by its number, of a packet from the router, and what becomes of it.
fn fragment(packet: Spec, number: usize, expected: Expected) -> Step {
    let packet = packet.macs(ROUTER, Port::Ext0.mac());
    Step {
        at: Port::Ext0,
        packet: Input::Bytes(fragments(&packet).swap_remove(number)),
        expected,
    }
}

#[test]
fn ev7_fragments_to_a_vip_and_from_a_node_pass() {
    let mut steps = fragmented(
        Port::Ext0,
        &long(CLIENT, VIP),
        Port::Ext1,
        &long(CLIENT, NODE),
    );
    steps.extend(fragmented(
        Port::Ext1,
        &long(NODE, CLIENT),
        Port::Ext0,
        &long(VIP, CLIENT),
    ));
    run(ONE_NODE, &steps);
}

/// With SNAT the ports are in the first fragment alone; the checksum is that of the whole datagram.
#[test]
fn h6_fragments_of_a_service_with_snat_pass() {
    let config = "[pool]\nname = \"p\"\n[interfaces]\nexternal = [\"ext0\", \"ext1\"]\n\
        [[services]]\nname = \"s\"\nlisten = \"203.0.113.10:53/udp\"\ntreatment = \"snat\"\n\
        nodes = [{ name = \"a\", address = \"203.0.113.11:53\" }]\n";
    let (vip, source, node) = ("203.0.113.10:53", "203.0.113.10:1024", "203.0.113.11:53");
    let mut steps = fragmented(
        Port::Ext0,
        &long(CLIENT, vip),
        Port::Ext1,
        &long(source, node),
    );
    steps.extend(fragmented(
        Port::Ext1,
        &long(node, source),
        Port::Ext0,
        &long(vip, CLIENT),
    ));
    run(config, &steps);
}

/// What the client sent to the node itself is answered by the node, in fragments too.
#[test]
fn h4_fragments_of_an_answer_of_the_node_stay_the_nodes() {
    let mut steps = fragmented(
        Port::Ext0,
        &long(CLIENT, VIP),
        Port::Ext1,
        &long(CLIENT, NODE),
    );
    let to_node = udp(CLIENT, NODE);
    steps.push(forwarded(Port::Ext0, to_node.clone(), Port::Ext1, to_node));
    steps.extend(fragmented(
        Port::Ext1,
        &long(NODE, CLIENT),
        Port::Ext0,
        &long(NODE, CLIENT),
    ));
    run(ONE_NODE, &steps);
}

#[test]
fn en7_fragments_of_media_pass() {
    let media = long(CLIENT, "203.0.113.31:50000");
    run(
        ONE_NODE,
        &fragmented(Port::Ext0, &media, Port::Ext1, &media),
    );
}

#[test]
fn a_fragment_before_the_first_one_is_dropped_and_counted() {
    let dropped = || Expected::Dropped(DropReason::Fragment);
    run(
        ONE_NODE,
        &[
            fragment(long(CLIENT, VIP), 1, dropped()),
            fragment(long(CLIENT, VIP), 2, dropped()),
        ],
    );
}

/// The first fragment of what no service listens on tells the others nothing.
#[test]
fn fragments_to_a_closed_port_are_dropped() {
    let closed = || long(CLIENT, "203.0.113.30:9");
    run(
        ONE_NODE,
        &[
            fragment(closed(), 0, Expected::Dropped(DropReason::PortClosed)),
            fragment(closed(), 1, Expected::Dropped(DropReason::Fragment)),
        ],
    );
}

#[test]
fn a_first_fragment_is_forgotten_after_two_minutes() {
    let mut host = Host::new(ONE_NODE);
    let all = || {
        fragmented(
            Port::Ext0,
            &long(CLIENT, VIP),
            Port::Ext1,
            &long(CLIENT, NODE),
        )
    };
    play("pure logic", &mut host, &all()[..1]);
    host.now += 120;
    play("pure logic", &mut host, &all()[1..2]);
    host.now += 1;
    let late = fragment(
        long(CLIENT, VIP),
        2,
        Expected::Dropped(DropReason::Fragment),
    );
    play("pure logic", &mut host, &[late]);
}

/// A long echo is the kernel's to put together and to answer.
#[test]
fn fragments_of_an_echo_to_a_vip_go_to_the_kernel() {
    let echo = || icmp("198.51.100.7", "203.0.113.30", 8, 0, [0, 1, 0, 1]).payload(vec![0; 100]);
    let steps: Vec<Step> = (0..3)
        .map(|number| fragment(echo(), number, Expected::Passed))
        .collect();
    run(ONE_NODE, &steps);
}

/// A packet with eight bytes of options: "no operation" and "end of options".
fn with_options(spec: &Spec) -> Vec<u8> {
    let mut frame = spec.frame();
    let length = u16::from_be_bytes([frame[16], frame[17]]) + 8;
    frame[14] = 0x47;
    frame[16..18].copy_from_slice(&length.to_be_bytes());
    frame.splice(34..34, [1, 1, 1, 1, 1, 1, 1, 0]);
    set_ip_checksum(&mut frame);
    frame
}

/// The packets come in and leave with their options.
fn with_options_too(at: Port, packet: Spec, to: Port, sent: Spec) -> Step {
    let mac = |port| if port == Port::Ext0 { ROUTER } else { NODE_MAC };
    let sent = sent.macs(to.mac(), mac(to)).ttl(63);
    Step {
        at,
        packet: Input::Bytes(with_options(&packet.macs(mac(at), at.mac()))),
        expected: Expected::SentBytes(to, with_options(&sent)),
    }
}

#[test]
fn packets_with_ip_options_are_translated_and_routed() {
    let (vip, node) = ("203.0.113.30:443", "203.0.113.31:443");
    let (syn, syn_ack) = (flags::SYN, flags::SYN | flags::ACK);
    let media = || udp(CLIENT, "203.0.113.31:50000");
    run(
        ONE_NODE,
        &[
            with_options_too(
                Port::Ext0,
                tcp(CLIENT, vip, syn),
                Port::Ext1,
                tcp(CLIENT, node, syn),
            ),
            with_options_too(
                Port::Ext1,
                tcp(node, CLIENT, syn_ack),
                Port::Ext0,
                tcp(vip, CLIENT, syn_ack),
            ),
            with_options_too(Port::Ext0, media(), Port::Ext1, media()),
        ],
    );
}
