//! Rows EV7 and IV4, rules H2, H3, H4 and H7: a client that asks the VIP and the node from one socket is
//! answered by the one that it asked.

use lb_tests::{
    case::{Step, forwarded, play, run},
    packet::{Spec, flags, tcp, udp},
    runner::{ONE_NODE, Port, host::Host},
};

const CLIENT: &str = "198.51.100.7:40000";
const VIP: &str = "203.0.113.30:3478";
const NODE: &str = "203.0.113.31:3478";

/// Message types of MS-TURN and of RFC 8489.
const ALLOCATE: u16 = 0x0003;
const ALLOCATE_ERROR: u16 = 0x0113;
const BINDING: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const DATA_INDICATION: u16 = 0x0115;

/// A STUN message with 4 bytes after the header.
fn stun(kind: u16, id: [u8; 16]) -> Vec<u8> {
    let mut message = kind.to_be_bytes().to_vec();
    message.extend([0, 4]);
    message.extend(id);
    message.extend(*b"attr");
    message
}

/// An id of RFC 3489 and MS-TURN.
const fn old(number: u8) -> [u8; 16] {
    [number; 16]
}

/// An id of RFC 8489: the cookie, and 12 bytes.
const fn new(number: u8) -> [u8; 16] {
    let mut id = [number; 16];
    (id[0], id[1], id[2], id[3]) = (0x21, 0x12, 0xa4, 0x42);
    id
}

fn datagram(from: &str, to: &str, data: Vec<u8>) -> Spec {
    udp(from, to).payload(data)
}

/// The client asks the VIP.
fn asks_vip(data: Vec<u8>) -> Step {
    forwarded(
        Port::Ext0,
        datagram(CLIENT, VIP, data.clone()),
        Port::Ext1,
        datagram(CLIENT, NODE, data),
    )
}

/// The client asks the node.
fn asks_node(data: Vec<u8>) -> Step {
    let packet = datagram(CLIENT, NODE, data);
    forwarded(Port::Ext0, packet.clone(), Port::Ext1, packet)
}

/// What the node sends leaves from the VIP.
fn from_vip(data: Vec<u8>) -> Step {
    forwarded(
        Port::Ext1,
        datagram(NODE, CLIENT, data.clone()),
        Port::Ext0,
        datagram(VIP, CLIENT, data),
    )
}

/// What the node sends leaves as it is.
fn from_node(data: Vec<u8>) -> Step {
    let packet = datagram(NODE, CLIENT, data);
    forwarded(Port::Ext1, packet.clone(), Port::Ext0, packet)
}

#[test]
fn ev7_h3_h4_both_requests_in_flight_are_answered_by_whom_they_asked() {
    for id in [old, new] {
        run(
            ONE_NODE,
            &[
                asks_vip(stun(ALLOCATE, id(1))),
                asks_node(stun(ALLOCATE, id(2))),
                from_node(stun(ALLOCATE_ERROR, id(2))),
                from_vip(stun(ALLOCATE_ERROR, id(1))),
                // A repeated answer, and the other way round.
                from_vip(stun(ALLOCATE_ERROR, id(1))),
                asks_node(stun(BINDING, id(3))),
                asks_vip(stun(BINDING, id(4))),
                from_node(stun(BINDING_SUCCESS, id(3))),
                from_vip(stun(BINDING_SUCCESS, id(4))),
                from_node(stun(BINDING_SUCCESS, id(3))),
            ],
        );
    }
}

/// Also where the flow of the VIP begins after the node was asked.
#[test]
fn h4_a_node_asked_first_answers_itself() {
    run(
        ONE_NODE,
        &[
            asks_node(stun(ALLOCATE, old(1))),
            asks_vip(stun(ALLOCATE, old(2))),
            from_node(stun(ALLOCATE_ERROR, old(1))),
            from_vip(stun(ALLOCATE_ERROR, old(2))),
        ],
    );
}

/// With one arm, what a client asks the node does not come by, and the answer does.
#[test]
fn h4_h9_an_answer_to_what_never_came_by_is_the_nodes() {
    let channel_data = || b"\x40\x00\x00\x04data".to_vec();
    run(
        ONE_NODE,
        &[
            asks_vip(stun(ALLOCATE, old(1))),
            from_vip(channel_data()),
            from_node(stun(ALLOCATE_ERROR, old(2))),
            // The client has moved on to the node.
            from_node(channel_data()),
            from_vip(stun(ALLOCATE_ERROR, old(1))),
            from_node(channel_data()),
            asks_vip(stun(ALLOCATE, old(3))),
            from_vip(channel_data()),
        ],
    );
}

#[test]
fn h9_what_is_no_answer_follows_the_address_that_was_used_last() {
    let channel_data = || b"\x40\x00\x00\x04data".to_vec();
    let indication = || stun(DATA_INDICATION, old(9));
    run(
        ONE_NODE,
        &[
            asks_vip(stun(ALLOCATE, old(1))),
            from_vip(channel_data()),
            from_vip(indication()),
            asks_node(channel_data()),
            from_node(channel_data()),
            from_node(indication()),
            // An answer is an answer all the same.
            from_vip(stun(ALLOCATE_ERROR, old(1))),
            from_node(channel_data()),
            asks_vip(channel_data()),
            from_vip(indication()),
        ],
    );
}

/// Edges ask each other from 3478 to 3478 (EN8, EN9): never an answer to a balanced flow, even where the
/// other edge has asked the VIP from the same port.
#[test]
fn en8_a_nodes_own_request_keeps_its_address() {
    run(
        ONE_NODE,
        &[
            asks_vip(stun(ALLOCATE, old(1))),
            from_node(stun(BINDING, new(5))),
            from_vip(stun(ALLOCATE_ERROR, old(1))),
        ],
    );
}

/// A message whose length does not fit the datagram is data.
#[test]
fn what_only_looks_like_an_answer_is_data() {
    let mut cut = stun(ALLOCATE_ERROR, old(2));
    cut.truncate(22);
    run(
        ONE_NODE,
        &[
            asks_vip(stun(ALLOCATE, old(1))),
            asks_node(stun(ALLOCATE, old(2))),
            from_node(stun(ALLOCATE_ERROR, old(2))),
            asks_vip(b"data".to_vec()),
            from_vip(cut),
        ],
    );
}

/// The same for TCP/443 (EV8, EN10), where the client has a source port for each.
#[test]
fn ev8_h3_h4_connections_to_the_vip_and_to_the_node_at_once() {
    let (to_vip, to_node) = ("198.51.100.7:40001", "198.51.100.7:40002");
    let (vip, node) = ("203.0.113.30:443", "203.0.113.31:443");
    let (syn, syn_ack) = (flags::SYN, flags::SYN | flags::ACK);
    run(
        ONE_NODE,
        &[
            forwarded(
                Port::Ext0,
                tcp(to_vip, vip, syn),
                Port::Ext1,
                tcp(to_vip, node, syn),
            ),
            forwarded(
                Port::Ext0,
                tcp(to_node, node, syn),
                Port::Ext1,
                tcp(to_node, node, syn),
            ),
            forwarded(
                Port::Ext1,
                tcp(node, to_node, syn_ack),
                Port::Ext0,
                tcp(node, to_node, syn_ack),
            ),
            forwarded(
                Port::Ext1,
                tcp(node, to_vip, syn_ack),
                Port::Ext0,
                tcp(vip, to_vip, syn_ack),
            ),
        ],
    );
}

/// RFC 8489, section 6.2.1: nobody waits for an answer after a minute.
#[test]
fn an_old_transaction_is_over() {
    let mut host = Host::new(ONE_NODE);
    let mut play = |steps: &[Step], seconds: u32| {
        play("pure logic", &mut host, steps);
        host.now += seconds;
    };
    play(&[asks_vip(stun(ALLOCATE, old(1)))], 0);
    play(&[asks_node(stun(ALLOCATE, old(2)))], 60);
    play(&[from_vip(stun(ALLOCATE_ERROR, old(1)))], 1);
    play(&[from_node(stun(ALLOCATE_ERROR, old(1)))], 0);
}

/// An answer of the node to what was asked of the node is none of the flow's: it does not keep it alive.
#[test]
fn an_answer_of_the_node_does_not_refresh_the_flow() {
    let mut host = Host::new(ONE_NODE);
    let refreshed = |host: &Host| {
        let flows = host.tables.flows();
        flows
            .iter()
            .flatten()
            .map(|cell| cell.entry.last_seen)
            .max()
    };
    play(
        "pure logic",
        &mut host,
        &[
            asks_vip(stun(ALLOCATE, old(1))),
            from_vip(stun(ALLOCATE_ERROR, old(1))),
            asks_vip(stun(ALLOCATE, old(2))),
        ],
    );
    let before = refreshed(&host);
    assert_eq!(before, Some(host.now));
    host.now += 5;
    play(
        "pure logic",
        &mut host,
        &[
            asks_node(stun(ALLOCATE, old(3))),
            from_node(stun(ALLOCATE_ERROR, old(3))),
        ],
    );
    assert_eq!(refreshed(&host), before);
}

/// What answers for a VIP is known by the port that it leaves from; a node may have more than one such port.
#[test]
fn a_node_answers_for_each_service_without_snat() {
    let config = format!(
        "{ONE_NODE}[[services]]\nname = \"voice\"\nlisten = \"203.0.113.30:5000/udp\"\ntreatment = \"dnat\"\n\
         nodes = [{{ name = \"edge1\", address = \"203.0.113.31:5000\" }}]\n"
    );
    let steps: Vec<Step> = [3478, 5000]
        .into_iter()
        .flat_map(|port| {
            let (vip, node) = (
                format!("203.0.113.30:{port}"),
                format!("203.0.113.31:{port}"),
            );
            let asks = forwarded(
                Port::Ext0,
                udp(CLIENT, &vip),
                Port::Ext1,
                udp(CLIENT, &node),
            );
            let answers = forwarded(
                Port::Ext1,
                udp(&node, CLIENT),
                Port::Ext0,
                udp(&vip, CLIENT),
            );
            [asks, answers]
        })
        .collect();
    run(&config, &steps);
}
