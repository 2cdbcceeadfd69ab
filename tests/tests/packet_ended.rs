//! Flows that the daemon ends: both directions and the port go, unless a packet has come by since it looked.

use lb_common::{
    drop_reason::DropReason,
    flow::FlowKey,
    net::{Ip4, Port as PortNumber, Protocol, Zone},
    upkeep::EndedFlow,
};
use lb_daemon::datapath::{Pair, Stage};
use lb_ebpf::decide::removal;
use lb_tests::{
    case::{self, Step, dropped, forwarded, reset},
    packet::{flags, tcp},
    runner::{ONE_NODE, Port, Runner, host::Host, kernel::Kernel},
};

const CLIENT: &str = "198.51.100.1:40000";
const VIP: &str = "203.0.113.10:443";
const NODE: &str = "203.0.113.11:443";
const SOURCE: &str = "203.0.113.10:2000";

/// A pool with a single SNAT port: whether it is free, the next client shows.
fn config() -> String {
    format!("{ONE_NODE}[limits]\nsnat_ports = \"2000-2000\"\n")
}

fn question() -> FlowKey {
    FlowKey::new(
        Zone::External,
        Protocol::Tcp,
        (Ip4::from_octets([198, 51, 100, 1]), PortNumber::new(40_000)),
        (Ip4::from_octets([203, 0, 113, 10]), PortNumber::new(443)),
    )
}

fn syn(client: &str) -> Step {
    forwarded(
        Port::Ext0,
        tcp(client, VIP, flags::SYN),
        Port::Ext1,
        tcp(SOURCE, NODE, flags::SYN),
    )
}

fn handshake() -> [Step; 3] {
    let syn_ack = |from: &str, to: &str| tcp(from, to, flags::SYN | flags::ACK).numbers(5000, 1001);
    [
        syn(CLIENT),
        forwarded(
            Port::Ext1,
            syn_ack(NODE, SOURCE),
            Port::Ext0,
            syn_ack(VIP, CLIENT),
        ),
        forwarded(
            Port::Ext0,
            tcp(CLIENT, VIP, flags::ACK),
            Port::Ext1,
            tcp(SOURCE, NODE, flags::ACK),
        ),
    ]
}

/// What the daemon may ask of a runner.
trait Upkeep: Runner {
    /// True where the flow is gone.
    fn end(&mut self, ended: &EndedFlow) -> bool;

    /// The one flow that there is.
    fn flow(&self) -> Pair {
        let mut found = Vec::new();
        self.visit_flows(&mut |pair| found.push(*pair));
        let [pair] = found[..] else {
            panic!("{} flows", found.len());
        };
        pair
    }
}

impl Upkeep for Host {
    fn end(&mut self, ended: &EndedFlow) -> bool {
        removal::end(ended, &self.tables)
    }
}

impl Upkeep for Kernel {
    fn end(&mut self, ended: &EndedFlow) -> bool {
        let ended = self.datapath.end(&[*ended]);
        ended.unwrap_or_else(|error| panic!("{error}")) == 1
    }
}

/// Opens a flow as far as `steps` and ends it, first as one that was seen at other times.
fn ends(name: &str, runner: &mut impl Upkeep, stage: Stage, steps: &[Step]) {
    case::play(name, runner, steps);
    let key = question();
    let pair = runner.flow();
    assert_eq!((pair[0].key, Stage::of(&pair)), (key, stage), "{name}");
    let seen = pair.map(|cell| cell.entry.last_seen);
    let ended = |last_seen| EndedFlow {
        key,
        last_seen,
        at_once: 0,
        reserved: 0,
    };
    let taken = || {
        dropped(
            Port::Ext0,
            tcp("198.51.100.2:40000", VIP, flags::SYN),
            DropReason::SnatPortsExhausted,
        )
    };
    for earlier in [[seen[0] - 1, seen[1]], [seen[0], seen[1] - 1]] {
        assert!(
            !runner.end(&ended(earlier)),
            "{name}: a packet has come by since"
        );
        case::play(name, runner, &[taken()]);
    }
    assert!(runner.end(&ended(seen)), "{name}");
    assert!(!runner.end(&ended(seen)), "{name}: twice");
    assert_eq!(runner.flows(), (0, 0), "{name}");
    let stray = tcp(CLIENT, VIP, flags::ACK);
    case::play(
        name,
        runner,
        &[reset(Port::Ext0, stray, DropReason::NoFlow)],
    );
    case::play(name, runner, &[syn("198.51.100.2:40000")]);
    // Whatever comes by.
    let mut other = question();
    other.source = Ip4::from_octets([198, 51, 100, 2]);
    let at_once = EndedFlow {
        key: other,
        last_seen: [0; 2],
        at_once: 1,
        reserved: 0,
    };
    assert!(runner.end(&at_once), "{name}");
    assert_eq!(runner.flows(), (0, 0), "{name}");
}

#[test]
fn an_established_flow_ends_with_its_port_unless_it_was_seen_since() {
    let stage = Stage::Confirmed;
    ends("pure logic", &mut Host::new(&config()), stage, &handshake());
    ends("kernel", &mut Kernel::new(&config()), stage, &handshake());
}

#[test]
fn a_half_open_flow_ends_with_its_port_unless_it_was_seen_since() {
    let stage = Stage::HalfOpen;
    ends(
        "pure logic",
        &mut Host::new(&config()),
        stage,
        &handshake()[..1],
    );
    ends(
        "kernel",
        &mut Kernel::new(&config()),
        stage,
        &handshake()[..1],
    );
}
