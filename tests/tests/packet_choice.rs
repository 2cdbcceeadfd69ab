//! Which node takes a new flow: spread by weight, by the client's address, or to the less busy one.

use std::collections::BTreeMap;

use lb_tests::{
    case::{Step, forwarded, run},
    packet::{flags, tcp, udp},
    runner::{Outcome, Port, ROUTER, Runner as _, host::Host},
};

const SYN: u8 = flags::SYN;

/// Three nodes of a service without SNAT, with these weights and `[balancing]`; all of one network.
fn config(weights: [u16; 3], balancing: &str) -> String {
    let nodes: Vec<String> = (1..)
        .zip(weights)
        .map(|(number, weight)| {
            format!("{{ name = \"n{number}\", address = \"203.0.113.{number}1:443\", weight = {weight} }}")
        })
        .collect();
    format!(
        "[pool]\nname = \"p\"\n[interfaces]\nexternal = [\"ext0\", \"ext1\"]\n{balancing}\
         [limits]\nmax_half_open = 200000\n\
         [[services]]\nname = \"s\"\nlisten = \"203.0.113.10:443/tcp\"\ntreatment = \"dnat\"\nnodes = [{}]\n",
        nodes.join(", ")
    )
}

/// Opens flows from many clients; how many each node got.
fn opened(host: &mut Host, flows: u32) -> BTreeMap<[u8; 4], u32> {
    let mut nodes = BTreeMap::new();
    for number in 0..flows {
        let [_, a, b, c] = (number / 7).to_be_bytes();
        let from = format!("198.{}.{b}.{c}:{}", 18 + a, 20_000 + number % 7);
        let packet = tcp(&from, "203.0.113.10:443", SYN).macs(ROUTER, Port::Ext0.mac());
        let outcome = host.receive(Port::Ext0, &packet.frame());
        let Outcome::Redirected(frame) = outcome else {
            panic!("{outcome:?}");
        };
        let node = [frame[30], frame[31], frame[32], frame[33]];
        *nodes.entry(node).or_default() += 1;
    }
    nodes
}

/// Every node's share is its weight's, but for this part of it.
fn assert_spread(nodes: &BTreeMap<[u8; 4], u32>, weights: [u16; 3], tolerance: f64) {
    let (flows, weight): (u32, u16) = (nodes.values().sum(), weights.iter().sum());
    for (number, own) in (1..).zip(weights) {
        let fair = f64::from(flows) * f64::from(own) / f64::from(weight);
        let got = f64::from(
            nodes
                .get(&[203, 0, 113, number * 10 + 1])
                .copied()
                .unwrap_or(0),
        );
        assert!(
            (got - fair).abs() <= fair * tolerance,
            "node {number}: {got} of {fair}"
        );
    }
}

#[test]
fn a_hundred_thousand_flows_are_spread_by_weight() {
    for weights in [[100, 100, 100], [100, 200, 300]] {
        let mut host = Host::new(&config(weights, ""));
        assert_spread(&opened(&mut host, 100_000), weights, 0.05);
    }
}

/// The flows stay open, so the counts are the load; it follows the weights closely.
#[test]
fn least_connections_evens_the_load_out() {
    let balancing = "[balancing]\nbalance = \"least-connections\"\n";
    for weights in [[100, 100, 100], [100, 200, 300]] {
        let mut host = Host::new(&config(weights, balancing));
        assert_spread(&opened(&mut host, 20_000), weights, 0.01);
    }
}

/// One node goes: only its flows find another, and few of the others'.
#[test]
fn a_node_that_goes_moves_only_its_own_share() {
    let three = config([100, 100, 100], "");
    let two = three.replace(
        ", { name = \"n3\", address = \"203.0.113.31:443\", weight = 100 }",
        "",
    );
    assert_ne!(three, two);
    let of = |config: &str| {
        let mut host = Host::new(config);
        opened(&mut host, 50_000);
        let mut nodes = BTreeMap::new();
        for [question, _] in host.tables.flows() {
            let key = &question.key;
            let client = (key.source.octets(), key.source_port.number());
            nodes.insert(client, question.entry.rewrite.destination.octets());
        }
        nodes
    };
    let (before, after) = (of(&three), of(&two));
    assert_eq!(before.len(), 50_000);
    let moved = before
        .iter()
        .filter(|(client, node)| **node != [203, 0, 113, 31] && after[*client] != **node)
        .count();
    assert!(
        moved <= before.len() / 50,
        "{moved} flows of nodes that stay have moved"
    );
}

const POOL: &str = r#"
[pool]
name = "edge"
one_side = true
[interfaces]
external = ["ext0", "ext1"]
[vips]
av = "203.0.113.30"
[[nodes]]
name = "edge1"
av = "203.0.113.31"
[[nodes]]
name = "edge2"
av = "203.0.113.32"
"#;

/// A/V: what a client sends over UDP and over TCP reaches the same node, whatever its ports.
#[test]
fn ev7_ev8_all_flows_of_a_client_reach_the_same_node() {
    let mut used = Vec::new();
    for client in 1..=20_u8 {
        let mut host = Host::new(POOL);
        let mut node_of = |packet: lb_tests::packet::Spec| {
            let packet = packet.macs(ROUTER, Port::Ext0.mac());
            match host.receive(Port::Ext0, &packet.frame()) {
                Outcome::Redirected(frame) => frame[33],
                other => panic!("{other:?}"),
            }
        };
        let from = |port: u16| format!("198.51.100.{client}:{port}");
        let node = node_of(udp(&from(40_000), "203.0.113.30:3478"));
        for port in 40_001..40_010 {
            assert_eq!(node_of(udp(&from(port), "203.0.113.30:3478")), node);
            assert_eq!(node_of(tcp(&from(port), "203.0.113.30:443", SYN)), node);
        }
        used.push(node);
    }
    assert!(used.contains(&31) && used.contains(&32), "{used:?}");
}

/// The kernel chooses as the pure logic does.
#[test]
fn both_runners_choose_the_same_node() {
    for said in [
        "balance = \"hash\"",
        "affinity = \"source-ip\"",
        "balance = \"least-connections\"",
    ] {
        let balancing = format!("[balancing]\n{said}\n");
        let config = config([100, 100, 100], &balancing)
            .replace(".11:", ".12:")
            .replace(".21:", ".22:")
            .replace(".31:", ".32:");
        let mut host = Host::new(&config);
        let steps: Vec<Step> = (0..20)
            .map(|number| {
                let from = format!("198.51.100.{number}:40000");
                let packet = tcp(&from, "203.0.113.10:443", SYN);
                let frame = packet.clone().macs(ROUTER, Port::Ext0.mac()).frame();
                let Outcome::Redirected(sent) = host.receive(Port::Ext0, &frame) else {
                    panic!("{from}: not sent on");
                };
                let to = format!("203.0.113.{}:443", sent[33]);
                forwarded(Port::Ext0, packet, Port::Ext1, tcp(&from, &to, SYN))
            })
            .collect();
        run(&config, &steps);
    }
}
