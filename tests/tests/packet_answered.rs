//! What the sender of a dropped packet is told: a RST where a TCP packet has no flow, an ICMP error where a
//! packet is too big or has come to the end of its life.

use lb_common::drop_reason::DropReason;
use lb_tests::{
    case::{Input, Step, answered, dropped, expired, forwarded, passed, play, reset, run},
    packet::{Spec, flags, icmp, icmp_error, tcp, udp},
    runner::{ONE_NODE, Port, ROUTER, host::Host},
};

const SYN: u8 = flags::SYN;
const ACK: u8 = flags::ACK;
const RST: u8 = flags::RST;
const CLIENT: &str = "198.51.100.7:40000";
const VIP: &str = "203.0.113.10:443";

/// Dropped, and answered.
fn without_flow(at: Port, segment: Spec) -> Step {
    reset(at, segment, DropReason::NoFlow)
}

#[test]
fn a_segment_of_no_flow_gets_a_reset_at_once() {
    run(
        ONE_NODE,
        &[
            without_flow(Port::Ext0, tcp(CLIENT, VIP, ACK).numbers(7, 5001)),
            without_flow(Port::Ext0, tcp(CLIENT, VIP, ACK).payload(b"data".to_vec())),
            without_flow(Port::Ext0, tcp(CLIENT, VIP, flags::FIN | ACK)),
            // Without an acknowledgment the RST has one, for all that the segment has.
            without_flow(Port::Ext0, tcp(CLIENT, VIP, 0).payload(b"odd".to_vec())),
            // A node that still answers a flow that is gone.
            without_flow(
                Port::Ext1,
                tcp("203.0.113.11:443", "203.0.113.10:2000", ACK),
            ),
            // A RST is never answered.
            dropped(Port::Ext0, tcp(CLIENT, VIP, RST), DropReason::NoFlow),
        ],
    );
}

#[test]
fn only_a_node_hears_of_flows_on_ports_that_are_no_service() {
    run(
        ONE_NODE,
        &[
            dropped(
                Port::Ext0,
                tcp(CLIENT, "203.0.113.10:2000", ACK),
                DropReason::PortClosed,
            ),
            dropped(
                Port::Ext1,
                tcp("203.0.113.11:443", "203.0.113.10:2000", SYN),
                DropReason::PortClosed,
            ),
        ],
    );
}

#[test]
fn without_resets_the_sender_hears_nothing() {
    let config = format!("{ONE_NODE}[policy]\nwithout_flow = \"drop\"\n");
    run(
        &config,
        &[dropped(
            Port::Ext0,
            tcp(CLIENT, VIP, ACK),
            DropReason::NoFlow,
        )],
    );
}

#[test]
fn answers_are_limited_in_each_second() {
    let config = format!("{ONE_NODE}[limits]\nanswers_per_second = 2\n");
    let mut host = Host::new(&config);
    let segment = || tcp(CLIENT, VIP, ACK);
    for _ in 0..2 {
        let steps = [
            without_flow(Port::Ext0, segment()),
            without_flow(Port::Ext0, segment()),
            dropped(Port::Ext0, segment(), DropReason::NoFlow),
        ];
        play("pure logic", &mut host, &steps);
        host.now += 1;
    }
    let none = format!("{ONE_NODE}[limits]\nanswers_per_second = 0\n");
    run(&none, &[dropped(Port::Ext0, segment(), DropReason::NoFlow)]);
}

#[test]
fn a_segment_with_ip_options_is_reset_without_them() {
    let segment = tcp(CLIENT, VIP, ACK).macs(ROUTER, Port::Ext0.mac());
    let mut frame = segment.frame();
    // Four times "no operation"; the checksum of the header is not looked at.
    frame[14] = 0x46;
    frame[16..18].copy_from_slice(&44_u16.to_be_bytes());
    frame.splice(34..34, [1, 1, 1, 1]);
    let mut step = without_flow(Port::Ext0, segment);
    step.packet = Input::Bytes(frame);
    run(ONE_NODE, &[step]);
}

/// From the address that was asked; and for what is only routed, from that of this machine.
#[test]
fn a_packet_at_the_end_of_its_life_is_answered() {
    run(
        ONE_NODE,
        &[
            expired(Port::Ext0, tcp(CLIENT, VIP, SYN).ttl(1), "203.0.113.10"),
            expired(
                Port::Ext0,
                udp(CLIENT, "203.0.113.31:50000").ttl(1),
                "192.0.2.1",
            ),
            expired(
                Port::Ext1,
                udp("203.0.113.31:50000", CLIENT).ttl(1),
                "203.0.113.1",
            ),
            expired(
                Port::Int0,
                tcp("10.20.0.50:40000", "10.20.0.10:5061", SYN).ttl(1),
                "10.20.0.10",
            ),
        ],
    );
}

#[test]
fn a_packet_too_big_for_the_next_link_is_answered_with_its_mtu() {
    let too_big = |at, from, packet: Spec| {
        let packet = packet.payload(vec![0; 1600]);
        let answer = icmp_error(from, &packet, 3, 4, [0, 0, 0x05, 0xdc]);
        answered(at, packet, DropReason::TooBig, answer)
    };
    run(
        ONE_NODE,
        &[
            forwarded(
                Port::Ext0,
                udp(CLIENT, "203.0.113.30:3478"),
                Port::Ext1,
                udp(CLIENT, "203.0.113.31:3478"),
            ),
            too_big(Port::Ext0, "203.0.113.30", udp(CLIENT, "203.0.113.30:3478")),
            too_big(Port::Ext1, "203.0.113.1", udp("203.0.113.31:3478", CLIENT)),
            too_big(Port::Ext0, "192.0.2.1", udp(CLIENT, "203.0.113.31:50000")),
        ],
    );
}

/// RFC 1122, section 3.2.2.
#[test]
fn an_error_is_never_answered_by_an_error() {
    let quote = udp("203.0.113.31:50000", CLIENT).frame()[14..42].to_vec();
    let unreachable = icmp("192.0.2.254", "203.0.113.31", 3, 1, [0; 4])
        .payload(quote)
        .ttl(1);
    run(
        ONE_NODE,
        &[dropped(Port::Ext0, unreachable, DropReason::TtlExpired)],
    );
}

#[test]
fn an_echo_to_a_vip_is_the_kernels_to_answer() {
    let echo = icmp("198.51.100.7", "203.0.113.10", 8, 0, [0, 1, 0, 1]);
    run(ONE_NODE, &[passed(Port::Ext0, echo)]);
}
