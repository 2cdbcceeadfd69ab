//! What stays true of the flow tables whatever comes in: properties of `decide` over random packets.

use std::collections::HashSet;

use lb_common::flow::{Direction, FlowKey, FlowState};
use lb_ebpf::tables::{Table, Tables as _};
use lb_tests::{
    packet::{Spec, decode, flags, tcp},
    runner::{ONE_NODE, Outcome, Port, ROUTER, Runner, host::Host},
};
use proptest::prelude::*;

const NODE: [u8; 6] = [2, 0, 0, 0, 2, 11];

/// A packet of one of a few clients, or an answer of the node to one of a few SNAT ports.
#[derive(Clone, Copy, Debug)]
struct Random {
    of_node: bool,
    peer: u16,
    flags: u8,
    right_numbers: bool,
}

fn random() -> impl Strategy<Value = Random> {
    let plausible = prop::sample::select(vec![
        flags::SYN,
        flags::SYN | flags::ACK,
        flags::ACK,
        flags::ACK,
        flags::FIN | flags::ACK,
        flags::RST,
    ]);
    let flags = prop_oneof![9 => plausible, 1 => any::<u8>().prop_map(|bits| bits & 0x17)];
    (any::<bool>(), 0..4_u16, flags, prop::bool::weighted(0.9)).prop_map(
        |(of_node, peer, flags, right_numbers)| Random {
            of_node,
            peer,
            flags,
            right_numbers,
        },
    )
}

impl Random {
    fn packet(self) -> (Port, Spec) {
        let number = if self.right_numbers { 5000 } else { 77 };
        if self.of_node {
            let to = format!("203.0.113.10:{}", 1024 + self.peer);
            let answer = tcp("203.0.113.11:443", &to, self.flags).numbers(number, 1001);
            (Port::Ext1, answer.macs(NODE, Port::Ext1.mac()))
        } else {
            let from = format!("198.51.100.7:{}", 40_000 + self.peer);
            let question = tcp(&from, "203.0.113.10:443", self.flags).numbers(1001, number + 1);
            (Port::Ext0, question.macs(ROUTER, Port::Ext0.mac()))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_flow_is_always_two_entries_that_undo_each_other(packets in prop::collection::vec(random(), 1..60)) {
        let mut host = Host::new(ONE_NODE);
        for packet in packets {
            let (port, spec) = packet.packet();
            let outcome = host.receive(port, &spec.frame());
            if let Outcome::Redirected(frame) = &outcome {
                let text = decode(frame);
                prop_assert!(!text.contains("BAD"), "{}", text);
            }
            let entries = host.tables.established();
            let mut ports = HashSet::new();
            for (key, entry) in &entries {
                let peer_key = key.answer_to(&entry.rewrite);
                let peer = entries.iter().find(|(known, _)| *known == peer_key);
                let Some((_, peer)) = peer else {
                    return Err(TestCaseError::fail(format!("{key:?} has no other half")));
                };
                prop_assert_eq!(&peer_key.answer_to(&peer.rewrite), key);
                prop_assert!(entry.role.direction() != peer.role.direction());
                if entry.role.direction() == Direction::TO_NODE {
                    prop_assert!(ports.insert(entry.rewrite.source_port), "one port, two flows");
                }
                prop_assert!(entry.state != FlowState::OPENING && entry.state != FlowState::ANSWERED);
                prop_assert!(host.tables.flow(Table::HalfOpen, key).is_none(), "in both tables");
            }
        }
    }

    /// What the node answers reaches the client that asked, from the VIP that was asked.
    #[test]
    fn there_and_back_is_where_one_came_from(client in any::<[u8; 4]>(), port in 1_u16..) {
        prop_assume!(client[0] != 0 && client[0] != 127 && client[0] < 224);
        // Not an address of the lab's own.
        prop_assume!(client[..3] != [203, 0, 113] && client[..3] != [10, 20, 0]);
        let mut host = Host::new(ONE_NODE);
        let [a, b, c, d] = client;
        let client = format!("{a}.{b}.{c}.{d}:{port}");
        let vip = "203.0.113.10:443";
        let syn = tcp(&client, vip, flags::SYN).macs(ROUTER, Port::Ext0.mac());
        let outcome = host.receive(Port::Ext0, &syn.frame());
        prop_assert!(matches!(outcome, Outcome::Redirected(_)), "{outcome:?}");
        let answer = tcp("203.0.113.11:443", "203.0.113.10:1024", flags::SYN | flags::ACK);
        let outcome = host.receive(Port::Ext1, &answer.macs(NODE, Port::Ext1.mac()).frame());
        let expected = tcp(vip, &client, flags::SYN | flags::ACK).ttl(63);
        prop_assert_eq!(outcome, Outcome::Redirected(expected.macs(Port::Ext0.mac(), ROUTER).frame()));
    }
}

/// The zone is no part of what a packet says of itself.
#[test]
fn keys_of_the_two_sides_differ() {
    use lb_common::net::{Ip4, Port as Number, Protocol, Zone};
    let ends = (Ip4::from_octets([198, 51, 100, 7]), Number::new(40_000));
    let key = |zone| FlowKey::new(zone, Protocol::Tcp, ends, ends);
    assert_ne!(key(Zone::External), key(Zone::Internal));
}
