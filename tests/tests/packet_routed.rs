//! The nodes' own addresses: routed, never translated, without state. Rows EN1 to EN11 and IN1 to IN8,
//! rules H4, H8, H9 and H13.

use lb_common::drop_reason::DropReason;
use lb_tests::{
    case::{Step, dropped, expired, forwarded, run},
    packet::{Spec, flags, icmp, icmp_error, set_ip_checksum, tcp, udp},
    runner::{ONE_NODE, Port},
};

const SYN: u8 = flags::SYN;
const ACK: u8 = flags::ACK;

/// Somebody on the Internet.
const OUTSIDE: &str = "198.51.100.7";
/// The same on the inside: the front end.
const INSIDE: &str = "10.20.0.50";

/// A row: who opens, from where, to where; all of it external, or all of it internal.
struct Row {
    id: &'static str,
    udp: bool,
    from: (&'static str, u16),
    to: (&'static str, u16),
}

const fn row(
    id: &'static str,
    udp: bool,
    from: (&'static str, u16),
    to: (&'static str, u16),
) -> Row {
    Row { id, udp, from, to }
}

const ACCESS: &str = "203.0.113.11";
const AV: &str = "203.0.113.31";
const NODE: &str = "10.20.0.11";

const ROWS: [Row; 21] = [
    row("EN1", false, (ACCESS, 51_000), (OUTSIDE, 80)),
    row("EN2", false, (ACCESS, 51_000), (OUTSIDE, 53)),
    row("EN3", true, (ACCESS, 51_000), (OUTSIDE, 53)),
    row("EN4", false, (AV, 50_000), (OUTSIDE, 443)),
    row("EN4", false, (AV, 59_999), (OUTSIDE, 40_000)),
    row("EN5", true, (AV, 50_000), (OUTSIDE, 3478)),
    row("EN5", true, (AV, 59_999), (OUTSIDE, 40_000)),
    row("EN6", false, (OUTSIDE, 40_000), (AV, 50_000)),
    row("EN7", true, (OUTSIDE, 40_000), (AV, 59_999)),
    row("EN8", true, (AV, 3478), (OUTSIDE, 3478)),
    row("EN9", true, (OUTSIDE, 40_000), (AV, 3478)),
    row("EN10", false, (OUTSIDE, 40_000), (AV, 443)),
    row("EN11", false, (AV, 51_000), (OUTSIDE, 443)),
    row("IN1", false, (INSIDE, 40_000), (NODE, 23_456)),
    row("IN2", false, (INSIDE, 40_000), (NODE, 4443)),
    row("IN3", false, (INSIDE, 40_000), (NODE, 8057)),
    row("IN4", true, (INSIDE, 40_000), (NODE, 3478)),
    row("IN5", false, (INSIDE, 40_000), (NODE, 443)),
    row("IN6", false, (INSIDE, 40_000), (NODE, 50_001)),
    row("IN7", false, (INSIDE, 40_000), (NODE, 50_002)),
    row("IN8", false, (INSIDE, 40_000), (NODE, 50_003)),
];

/// The interface that an address is behind.
fn side(address: &str) -> Port {
    match address {
        OUTSIDE => Port::Ext0,
        ACCESS | AV => Port::Ext1,
        _ => Port::Int0,
    }
}

/// A packet of a row as it is, from one interface to the other.
fn as_it_is(row: &Row, answer: bool, tcp_flags: u8) -> Step {
    let (from, to) = if answer {
        (row.to, row.from)
    } else {
        (row.from, row.to)
    };
    let text = |(address, port): (&str, u16)| format!("{address}:{port}");
    let packet = || -> Spec {
        if row.udp {
            udp(&text(from), &text(to))
        } else {
            tcp(&text(from), &text(to), tcp_flags)
        }
    };
    forwarded(side(from.0), packet(), side(to.0), packet())
}

#[test]
fn en1_to_en11_and_in1_to_in8_pass_as_they_are_in_both_directions() {
    let steps: Vec<Step> = ROWS
        .iter()
        .flat_map(|row| {
            [
                as_it_is(row, false, SYN),
                as_it_is(row, true, SYN | ACK),
                as_it_is(row, false, ACK),
                as_it_is(row, true, ACK),
            ]
        })
        .collect();
    run(ONE_NODE, &steps);
}

/// With one arm, the other direction often takes another way.
#[test]
fn h4_h9_one_direction_alone_passes_too() {
    for answer in [false, true] {
        let steps: Vec<Step> = ROWS
            .iter()
            .flat_map(|row| [as_it_is(row, answer, ACK), as_it_is(row, answer, ACK)])
            .collect();
        run(ONE_NODE, &steps);
    }
}

/// Every row of the two tables of nodes has a packet above.
#[test]
fn no_row_is_left_out() {
    let mut ids: Vec<&str> = ROWS.iter().map(|row| row.id).collect();
    ids.dedup();
    let mut wanted: Vec<String> = (1..=11).map(|number| format!("EN{number}")).collect();
    wanted.extend((1..=8).map(|number| format!("IN{number}")));
    assert_eq!(ids, wanted);
}

#[test]
fn what_no_row_names_is_dropped() {
    let policy = DropReason::Policy;
    let syn = |from: &str, to: &str| tcp(from, to, SYN);
    run(
        ONE_NODE,
        &[
            dropped(
                Port::Ext0,
                syn("198.51.100.7:40000", "203.0.113.11:3389"),
                policy,
            ),
            dropped(
                Port::Ext0,
                syn("198.51.100.7:40000", "203.0.113.21:443"),
                policy,
            ),
            dropped(
                Port::Ext0,
                udp("198.51.100.7:40000", "203.0.113.31:49999"),
                policy,
            ),
            dropped(
                Port::Ext1,
                syn("203.0.113.11:50000", "198.51.100.7:25"),
                policy,
            ),
            dropped(
                Port::Ext1,
                udp("203.0.113.31:40000", "198.51.100.7:53"),
                policy,
            ),
            // Web Conferencing and logging of the inside are not reached on the wrong port.
            dropped(
                Port::Int0,
                syn("10.20.0.50:40000", "10.20.0.11:50004"),
                policy,
            ),
            // Answers are no way in: nobody opens a connection to a node from port 80.
            dropped(
                Port::Ext0,
                syn("198.51.100.7:80", "203.0.113.11:40000"),
                policy,
            ),
            dropped(
                Port::Ext0,
                syn("198.51.100.7:443", "203.0.113.31:40000"),
                policy,
            ),
        ],
    );
}

#[test]
fn a_pool_without_xmpp_has_no_xmpp_gateway() {
    let config = ONE_NODE.replace("name = \"edge\"", "name = \"edge\"\nxmpp = false");
    let asked = tcp("10.20.0.50:40000", "10.20.0.11:23456", SYN);
    run(&config, &[dropped(Port::Int0, asked, DropReason::Policy)]);
}

#[test]
fn h13_nothing_is_routed_from_one_side_to_the_other() {
    let crossing = DropReason::ZoneCrossing;
    let syn = |from: &str, to: &str| tcp(from, to, SYN);
    run(
        ONE_NODE,
        &[
            dropped(
                Port::Ext0,
                syn("198.51.100.7:40000", "10.20.0.11:443"),
                crossing,
            ),
            dropped(
                Port::Int0,
                syn("10.20.0.50:40000", "203.0.113.31:443"),
                crossing,
            ),
            // Forged sources.
            dropped(
                Port::Int0,
                udp("203.0.113.31:50000", "198.51.100.7:40000"),
                crossing,
            ),
            dropped(
                Port::Ext0,
                tcp("10.20.0.11:443", "10.20.0.50:40000", ACK),
                crossing,
            ),
            // A node's own packet whose route leads to the other side.
            dropped(
                Port::Ext1,
                udp("203.0.113.31:50000", "10.20.0.50:40000"),
                crossing,
            ),
        ],
    );
}

#[test]
fn a_routed_packet_at_the_end_of_its_life_is_dropped() {
    let media = udp("198.51.100.7:40000", "203.0.113.31:50000").ttl(1);
    run(ONE_NODE, &[expired(Port::Ext0, media, "192.0.2.1")]);
}

/// The packet of `spec`, with some bytes replaced and its IP checksum made right again.
fn changed(spec: &Spec, changes: &[(usize, u8)]) -> Vec<u8> {
    let mut frame = spec.frame();
    for (at, byte) in changes {
        frame[*at] = *byte;
    }
    set_ip_checksum(&mut frame);
    frame
}

/// Both runners must send `frame` on as it is, but for the way and the time to live.
fn passes(changes: &[(usize, u8)]) {
    use lb_tests::runner::{Outcome, Runner, host::Host, kernel::Kernel};
    let media = udp("198.51.100.7:40000", "203.0.113.31:50000");
    let before = media.clone().macs([2, 0, 0, 0, 1, 254], Port::Ext0.mac());
    let after = media.ttl(63).macs(Port::Ext1.mac(), [2, 0, 0, 0, 2, 31]);
    let (before, after) = (changed(&before, changes), changed(&after, changes));
    let expected = Outcome::Redirected(after);
    assert_eq!(Host::new(ONE_NODE).receive(Port::Ext0, &before), expected);
    assert_eq!(Kernel::new(ONE_NODE).receive(Port::Ext0, &before), expected);
}

#[test]
fn fragments_of_media_pass() {
    passes(&[(20, 0x20)]);
    passes(&[(21, 0xb9)]);
}

#[test]
fn errors_about_media_pass_and_other_icmp_does_not() {
    let media = udp("203.0.113.31:50000", "198.51.100.7:40000").ttl(63);
    let from = |at, packet: Spec, to| forwarded(at, packet.clone(), to, packet);
    let mut steps: Vec<Step> = [3, 11, 12]
        .into_iter()
        .map(|kind| icmp_error("192.0.2.254", &media, kind, 0, [0; 4]))
        .map(|error| from(Port::Ext0, error, Port::Ext1))
        .collect();
    // The node is not listening.
    let question = udp("198.51.100.7:40000", "203.0.113.31:50000").ttl(63);
    let unreachable = icmp_error("203.0.113.31", &question, 3, 3, [0; 4]);
    steps.push(from(Port::Ext1, unreachable, Port::Ext0));
    let echo = icmp("198.51.100.7", "203.0.113.31", 8, 0, [0, 1, 0, 1]);
    steps.push(dropped(Port::Ext0, echo, DropReason::Policy));
    run(ONE_NODE, &steps);
}
