//! Whose an address is: every VIP and every node's own address is known for what it is, and no other is, also when
//! the configuration changes.

use lb_common::drop_reason::DropReason;
use lb_tests::{
    packet::{flags, tcp, udp},
    runner::{Outcome, Port, Runner, contents, host::Host, kernel::Kernel},
};

/// A pool of the largest size, the external addresses of whose nodes begin with `first`.
fn pool(first: u8, access_vip: &str) -> String {
    let mut config = format!(
        r#"
[pool]
name = "edge"
[interfaces]
external = ["ext0", "ext1"]
internal = ["int0"]
[vips]
access = "{access_vip}"
webconf = "203.0.113.200"
av = "203.0.113.201"
internal = "10.20.0.10"
"#
    );
    for node in 0..32 {
        let [access, webconf, av] = [0, 32, 64].map(|role| first + role + node);
        config += &format!(
            r#"
[[nodes]]
name = "edge{node}"
access = "203.0.113.{access}"
webconf = "203.0.113.{webconf}"
av = "203.0.113.{av}"
internal = "10.20.0.{}"
"#,
            first + node
        );
    }
    config
}

/// What becomes of a packet that nobody wants.
fn refused(runner: &mut impl Runner, address: &str) -> DropReason {
    let (at, from) = if address.starts_with("10.") {
        (Port::Int0, "10.20.0.50:40000")
    } else {
        (Port::Ext0, "198.51.100.7:40000")
    };
    let packet = tcp(from, &format!("{address}:9"), flags::SYN);
    let packet = packet.macs([2, 0, 0, 0, 1, 254], at.mac());
    match runner.receive(at, &packet.frame()) {
        Outcome::Dropped(reason) | Outcome::Answered(reason, _) => reason,
        other => panic!("{address}: {other:?}"),
    }
}

/// Asks after every address of a configuration, and of the rest of their networks.
fn know(runner: &mut impl Runner, config: &str) {
    let named = |address: &str| config.contains(&format!("\"{address}\""));
    let vips = config.split("[[nodes]]").next().unwrap_or_default();
    let (external, internal) = (2..=254, 2..=254);
    let external = external.map(|host| format!("203.0.113.{host}"));
    let internal = internal.map(|host| format!("10.20.0.{host}"));
    for address in external.chain(internal) {
        let expected = if vips.contains(&format!("\"{address}\"")) {
            DropReason::PortClosed
        } else if named(&address) {
            DropReason::Policy
        } else {
            DropReason::NotRouted
        };
        assert_eq!(refused(runner, &address), expected, "{address}");
    }
}

/// The same pool elsewhere in its network, and once more, and back: some nodes have the addresses that others had, and
/// the VIP one that was a node's.
fn changes(runner: &mut impl Runner) {
    know(runner, &pool(11, "203.0.113.10"));
    for (first, access_vip) in [
        (12, "203.0.113.11"),
        (80, "203.0.113.10"),
        (11, "203.0.113.150"),
    ] {
        let config = pool(first, access_vip);
        runner.hold(contents(&config).0);
        know(runner, &config);
    }
}

#[test]
fn every_address_is_known_for_what_it_is() {
    changes(&mut Host::new(&pool(11, "203.0.113.10")));
    changes(&mut Kernel::new(&pool(11, "203.0.113.10")));
}

/// A node that has the address of another one has its rules, not the other's.
#[test]
fn rules_come_and_go_with_their_address() {
    let before = pool(11, "203.0.113.10");
    let after = pool(43, "203.0.113.10");
    // The first is of Web Conferencing before, the second of A/V; it is Access, then Web Conferencing after.
    let reasons = |runner: &mut dyn Runner| {
        ["203.0.113.43:50000", "203.0.113.75:50000"].map(|node| {
            let media =
                udp("198.51.100.7:40000", node).macs([2, 0, 0, 0, 1, 254], Port::Ext0.mac());
            runner.receive(Port::Ext0, &media.frame())
        })
    };
    let mut host = Host::new(&before);
    let mut kernel = Kernel::new(&before);
    let runners: [&mut dyn Runner; 2] = [&mut host, &mut kernel];
    for runner in runners {
        let policy = Outcome::Dropped(DropReason::Policy);
        let passed = Outcome::Dropped(DropReason::NextHopUnresolved);
        assert_eq!(reasons(runner), [policy.clone(), passed]);
        runner.hold(contents(&after).0);
        assert_eq!(reasons(runner), [policy.clone(), policy]);
    }
}
