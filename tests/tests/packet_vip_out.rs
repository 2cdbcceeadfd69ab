//! Connections that a node opens and that leave from the VIP: rows EV2, EV5, IV2 and IV6.

use lb_common::drop_reason::DropReason;
use lb_tests::{
    case::{Step, dropped, forwarded, run},
    packet::{Spec, flags, tcp, udp},
    runner::{ONE_NODE, Port},
};

const SYN: u8 = flags::SYN;
const ACK: u8 = flags::ACK;

/// A pool of two nodes.
fn two_nodes() -> String {
    format!(
        "{ONE_NODE}[[nodes]]\nname = \"edge2\"\naccess = \"203.0.113.12\"\n\
         webconf = \"203.0.113.22\"\nav = \"203.0.113.32\"\ninternal = \"10.20.0.12\"\n"
    )
}

/// A connection from `node` to `other`, that `other` sees come from `vip`: opened, confirmed, used.
fn connection(
    (node, node_side): (&str, Port),
    vip: &str,
    (other, other_side): (&str, Port),
) -> Vec<Step> {
    let syn_ack = |from: &str, to: &str| tcp(from, to, SYN | ACK).numbers(5000, 1001);
    let forth = |packet: &dyn Fn(&str, &str) -> Spec| {
        forwarded(
            node_side,
            packet(node, other),
            other_side,
            packet(vip, other),
        )
    };
    let back = |packet: &dyn Fn(&str, &str) -> Spec| {
        forwarded(
            other_side,
            packet(other, vip),
            node_side,
            packet(other, node),
        )
    };
    vec![
        forth(&|from, to| tcp(from, to, SYN)),
        back(&syn_ack),
        forth(&|from, to| tcp(from, to, ACK)),
        back(&|from, to| tcp(from, to, ACK).payload(vec![1; 100])),
        forth(&|from, to| tcp(from, to, ACK).payload(vec![2; 100])),
    ]
}

#[test]
fn ev2_xmpp_federation_leaves_from_the_access_vip() {
    run(
        ONE_NODE,
        &connection(
            ("203.0.113.11:50123", Port::Ext1),
            "203.0.113.10:50123",
            ("198.51.100.7:5269", Port::Ext0),
        ),
    );
}

#[test]
fn ev5_sip_federation_leaves_from_the_access_vip_and_keeps_its_port() {
    // 65,000: beyond the ports that are given out, but the node's own.
    for port in [1025, 50_123, 65_000] {
        run(
            ONE_NODE,
            &connection(
                (&format!("203.0.113.11:{port}"), Port::Ext1),
                &format!("203.0.113.10:{port}"),
                ("198.51.100.7:5061", Port::Ext0),
            ),
        );
    }
}

#[test]
fn iv2_iv6_connections_to_the_inside_leave_from_the_internal_vip() {
    for other in ["10.20.0.50:5061", "10.20.0.50:443"] {
        run(
            ONE_NODE,
            &connection(
                ("10.20.0.11:50123", Port::Int0),
                "10.20.0.10:50123",
                (other, Port::Int0),
            ),
        );
    }
}

#[test]
fn two_nodes_with_one_port_to_one_partner_do_not_meet() {
    let partner = ("198.51.100.7:5061", Port::Ext0);
    let mut steps = connection(
        ("203.0.113.11:50123", Port::Ext1),
        "203.0.113.10:50123",
        partner,
    );
    let syn = tcp("203.0.113.12:50123", partner.0, SYN);
    // The port is the data path's choice: whatever it is, it is the same for the same node.
    let mut host = lb_tests::runner::host::Host::new(&two_nodes());
    lb_tests::case::play("pure logic", &mut host, &steps);
    let frame = syn
        .clone()
        .macs([2, 0, 0, 0, 2, 12], Port::Ext1.mac())
        .frame();
    let outcome = lb_tests::runner::Runner::receive(&mut host, Port::Ext1, &frame);
    let lb_tests::runner::Outcome::Redirected(sent) = outcome else {
        panic!("{outcome:?}");
    };
    let port = u16::from_be_bytes([sent[34], sent[35]]);
    assert!(port != 50_123 && (1024..64_512).contains(&port), "{port}");
    steps.extend(connection(
        ("203.0.113.12:50123", Port::Ext1),
        &format!("203.0.113.10:{port}"),
        partner,
    ));
    run(&two_nodes(), &steps);
}

#[test]
fn en1_en2_en3_of_the_same_node_stay_as_they_are() {
    let mut steps = connection(
        ("203.0.113.11:50123", Port::Ext1),
        "203.0.113.10:50123",
        ("198.51.100.7:5061", Port::Ext0),
    );
    for other in ["198.51.100.7:80", "198.51.100.7:53"] {
        let syn = || tcp("203.0.113.11:50123", other, SYN);
        steps.push(forwarded(Port::Ext1, syn(), Port::Ext0, syn()));
    }
    let query = || udp("203.0.113.11:50123", "198.51.100.7:53");
    steps.push(forwarded(Port::Ext1, query(), Port::Ext0, query()));
    run(ONE_NODE, &steps);
}

#[test]
fn nobody_else_leaves_from_a_vip() {
    let policy = DropReason::Policy;
    let partner = "198.51.100.7:5061";
    let media = || tcp("203.0.113.31:50123", "198.51.100.7:5269", SYN);
    run(
        ONE_NODE,
        &[
            // H8: an A/V address is never translated.
            forwarded(Port::Ext1, media(), Port::Ext0, media()),
            dropped(Port::Ext1, tcp("203.0.113.21:50123", partner, SYN), policy),
            dropped(Port::Ext1, udp("203.0.113.11:50123", partner), policy),
            // No connection, no answer.
            dropped(Port::Ext1, tcp("203.0.113.11:50123", partner, ACK), policy),
            dropped(
                Port::Ext0,
                tcp(partner, "203.0.113.10:50123", SYN | ACK),
                DropReason::PortClosed,
            ),
        ],
    );
}
