//! The data path's clock: a flow is as old as its latest packet, also where many packets come within a tick.

use std::{thread, time::Duration};

use lb_tests::{
    case::{self, Step, forwarded},
    packet::{flags, tcp},
    runner::{ONE_NODE, Port, Runner as _, kernel::Kernel},
};

const CLIENT: &str = "198.51.100.1:40000";
const VIP: &str = "203.0.113.10:443";
const NODE: &str = "203.0.113.11:443";
const SOURCE: &str = "203.0.113.10:1024";

/// A pool with a single SNAT port.
fn config() -> String {
    format!("{ONE_NODE}[limits]\nsnat_ports = \"1024-1024\"\n")
}

fn syn() -> Step {
    forwarded(
        Port::Ext0,
        tcp(CLIENT, VIP, flags::SYN),
        Port::Ext1,
        tcp(SOURCE, NODE, flags::SYN),
    )
}

fn syn_ack() -> Step {
    let syn_ack = |from: &str, to: &str| tcp(from, to, flags::SYN | flags::ACK).numbers(5000, 1001);
    forwarded(
        Port::Ext1,
        syn_ack(NODE, SOURCE),
        Port::Ext0,
        syn_ack(VIP, CLIENT),
    )
}

fn data() -> Step {
    forwarded(
        Port::Ext0,
        tcp(CLIENT, VIP, flags::ACK),
        Port::Ext1,
        tcp(SOURCE, NODE, flags::ACK),
    )
}

/// What the data path keeps of the clock is good for a tick, not for ever. In the kernel alone: elsewhere there is
/// no such clock.
#[test]
fn a_flow_was_seen_when_its_latest_packet_came() {
    let mut kernel = Kernel::new(&config());
    case::play("kernel", &mut kernel, &[syn(), syn_ack(), data()]);
    for _ in 0..4 {
        thread::sleep(Duration::from_millis(700));
        let before = kernel.now();
        case::play("kernel", &mut kernel, &[data(), data()]);
        let after = kernel.now();
        let mut latest = 0;
        kernel.visit_flows(&mut |pair| {
            let seen = pair.iter().map(|cell| cell.entry.last_seen);
            latest = seen.fold(latest, u32::max);
        });
        // The clock of the latest tick may be a second behind at its end.
        assert!(
            (before - 1..=after).contains(&latest),
            "seen in second {latest}, and it came between {before} and {after}"
        );
    }
}
