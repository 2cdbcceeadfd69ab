//! H13: nothing passes between the external and the internal side, whatever the protocol: not by a flow,
//! not by a node's address, not by the kernel.

use lb_common::drop_reason::DropReason;
use lb_tests::{
    case::{Expected, Input, Step, dropped, passed, run},
    packet::{Spec, flags, fragments, icmp, icmp_error, set_ip_checksum, tcp, udp},
    runner::{ONE_NODE, Port},
};

/// Who asks, and the Ethernet address it comes from.
struct Side {
    at: Port,
    host: &'static str,
    mac: [u8; 6],
}

const OUTSIDE: Side = Side {
    at: Port::Ext0,
    host: "198.51.100.7",
    mac: [2, 0, 0, 0, 1, 254],
};
const INSIDE: Side = Side {
    at: Port::Int0,
    host: "10.20.0.50",
    mac: [2, 0, 0, 0, 3, 50],
};

/// A packet of every kind from one host to another.
fn every_protocol(side: &Side, to: &str) -> Vec<(&'static str, Vec<u8>)> {
    let ends = |port| (format!("{}:40000", side.host), format!("{to}:{port}"));
    let made = |spec: Spec| spec.macs(side.mac, side.at.mac()).frame();
    let (from, sip) = ends(5061);
    let (_, stun) = ends(3478);
    let echo = made(icmp(side.host, to, 8, 0, [0, 1, 0, 1]));
    let quote = udp(&stun, &from);
    let mut gre = echo.clone();
    gre[23] = 47;
    set_ip_checksum(&mut gre);
    let long = udp(&from, &stun).payload(vec![0; 100]);
    let parts = fragments(&long.macs(side.mac, side.at.mac()));
    vec![
        ("tcp", made(tcp(&from, &sip, flags::SYN))),
        ("tcp in use", made(tcp(&from, &sip, flags::ACK))),
        ("udp", made(udp(&from, &stun))),
        ("first fragment", parts[0].clone()),
        ("later fragment", parts[2].clone()),
        ("icmp echo", echo),
        (
            "icmp error",
            made(icmp_error(side.host, &quote, 3, 4, [0; 4])),
        ),
        ("gre", gre),
    ]
}

/// Every packet of every protocol from `side` to `to` is dropped for this reason.
fn nothing_passes(side: &Side, to: &str, reason: DropReason) {
    let steps: Vec<Step> = every_protocol(side, to)
        .into_iter()
        .map(|(_, frame)| Step {
            at: side.at,
            packet: Input::Bytes(frame),
            expected: Expected::Dropped(reason),
        })
        .collect();
    run(ONE_NODE, &steps);
}

#[test]
fn h13_nothing_from_outside_reaches_the_inside() {
    // A host of the organisation, which the kernel would know the way to; a node; the VIP.
    nothing_passes(&OUTSIDE, "10.20.0.50", DropReason::NotRouted);
    nothing_passes(&OUTSIDE, "10.20.0.11", DropReason::ZoneCrossing);
    nothing_passes(&OUTSIDE, "10.20.0.10", DropReason::ZoneCrossing);
}

#[test]
fn h13_nothing_from_inside_reaches_the_outside() {
    nothing_passes(&INSIDE, "198.51.100.7", DropReason::NotRouted);
    nothing_passes(&INSIDE, "203.0.113.31", DropReason::ZoneCrossing);
    nothing_passes(&INSIDE, "203.0.113.30", DropReason::ZoneCrossing);
}

/// Nor is anything routed on one side that is neither for a node nor from one.
#[test]
fn the_machine_is_no_router() {
    let to_neighbour = tcp("198.51.100.7:40000", "203.0.113.99:443", flags::SYN);
    run(
        ONE_NODE,
        &[dropped(Port::Ext0, to_neighbour, DropReason::NotRouted)],
    );
}

/// Traffic for the machine itself is the kernel's.
#[test]
fn what_is_for_the_machine_itself_goes_to_the_kernel() {
    run(
        ONE_NODE,
        &[
            passed(
                Port::Ext0,
                tcp("198.51.100.7:40000", "192.0.2.1:22", flags::SYN),
            ),
            passed(Port::Int0, udp("10.20.0.50:40000", "10.20.0.1:161")),
            passed(
                Port::Ext1,
                icmp("203.0.113.11", "203.0.113.1", 8, 0, [0; 4]),
            ),
        ],
    );
}
