//! `[policy]`: what may pass besides the rows of the requirements, and the mode that only counts.

use lb_common::drop_reason::DropReason;
use lb_tests::{
    case::{Step, dropped, forwarded, play, run},
    packet::{Spec, flags, tcp, udp},
    runner::{ONE_NODE, Port, host::Host},
};

const SYN: u8 = flags::SYN;
const OUTSIDE: &str = "198.51.100.7:40000";

fn routed(at: Port, packet: Spec, to: Port) -> Step {
    forwarded(at, packet.clone(), to, packet)
}

#[test]
fn a_rule_of_the_configuration_lets_its_ports_pass_in_its_direction() {
    let config = format!(
        "{ONE_NODE}[[policy.allow]]\nrole = \"access\"\ndirection = \"in\"\nports = \"8443-8444/tcp\"\n\
         [[policy.allow]]\nrole = \"webconf\"\ndirection = \"out\"\nports = \"123/udp\"\n"
    );
    let closed = |at, from: &str, to: &str| dropped(at, tcp(from, to, SYN), DropReason::Policy);
    run(
        &config,
        &[
            routed(
                Port::Ext0,
                tcp(OUTSIDE, "203.0.113.11:8443", SYN),
                Port::Ext1,
            ),
            routed(
                Port::Ext1,
                tcp("203.0.113.11:8444", OUTSIDE, SYN | flags::ACK),
                Port::Ext0,
            ),
            routed(
                Port::Ext1,
                udp("203.0.113.21:50000", "198.51.100.7:123"),
                Port::Ext0,
            ),
            routed(
                Port::Ext0,
                udp("198.51.100.7:123", "203.0.113.21:50000"),
                Port::Ext1,
            ),
            // Another role, another port, the other way round.
            closed(Port::Ext0, OUTSIDE, "203.0.113.21:8443"),
            closed(Port::Ext0, OUTSIDE, "203.0.113.11:8445"),
            closed(Port::Ext1, "203.0.113.11:8443", OUTSIDE),
            // The rows of the requirements stay.
            routed(
                Port::Ext1,
                tcp("203.0.113.11:50000", "198.51.100.7:80", SYN),
                Port::Ext0,
            ),
        ],
    );
}

#[test]
fn while_the_policy_is_observed_what_no_rule_names_passes_and_is_counted() {
    let config = format!("{ONE_NODE}[policy]\nmode = \"observe\"\n");
    let steps = || {
        [
            routed(
                Port::Ext0,
                tcp(OUTSIDE, "203.0.113.11:3389", SYN),
                Port::Ext1,
            ),
            routed(
                Port::Ext1,
                tcp("203.0.113.11:3389", OUTSIDE, SYN | flags::ACK),
                Port::Ext0,
            ),
            // Named by a rule.
            routed(
                Port::Ext0,
                tcp(OUTSIDE, "203.0.113.31:443", SYN),
                Port::Ext1,
            ),
            // H13 is no matter of ports.
            dropped(
                Port::Int0,
                tcp("10.20.0.50:40000", "203.0.113.31:443", SYN),
                DropReason::ZoneCrossing,
            ),
            // A VIP has nowhere to send it.
            dropped(
                Port::Ext0,
                tcp(OUTSIDE, "203.0.113.10:3389", SYN),
                DropReason::PortClosed,
            ),
        ]
    };
    run(&config, &steps());
    let mut host = Host::new(&config);
    play("pure logic", &mut host, &steps());
    assert_eq!(host.tables.observed.get(), 2);
}
