//! What stays true of the flow table whatever comes in: properties of `decide` over random packets.

use std::collections::HashSet;

use lb_common::flow::{Direction, FlowKey};
use lb_daemon::datapath::Stage;
use lb_ebpf::tables::{FlowSlot as _, Tables as _};
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
            let mut keys = HashSet::new();
            for pair in host.tables.flows() {
                let [question, answer] = &pair;
                prop_assert_eq!(&question.key.answer_to(&question.entry.rewrite), &answer.key);
                prop_assert_eq!(&answer.key.answer_to(&answer.entry.rewrite), &question.key);
                prop_assert_eq!(question.entry.role.direction(), Direction::TO_NODE);
                prop_assert_eq!(answer.entry.role.direction(), Direction::TO_CLIENT);
                // Nobody else has them; the key of the answers is the SNAT port.
                prop_assert!(keys.insert(question.key) && keys.insert(answer.key), "one port, two flows");
                let is_opening = pair.iter().any(|cell| cell.entry.state.is_opening());
                let is_half_open = Stage::of(&pair) == Stage::HalfOpen;
                prop_assert!(is_half_open || !is_opening, "confirmed, and still {:?}", pair);
                for cell in &pair {
                    let found = host.tables.look_up(&cell.key).map(|slot| slot.with(|entry| *entry));
                    prop_assert_eq!(found, Some(cell.entry));
                }
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
