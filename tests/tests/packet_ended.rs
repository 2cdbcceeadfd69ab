//! Flows that the daemon ends: both directions and the port go, unless a packet has come by since it looked.

use lb_common::{
    drop_reason::DropReason,
    flow::{FlowEntry, FlowKey},
    net::{Ip4, Port as PortNumber, Protocol, Zone},
    upkeep::EndedFlow,
};
use lb_daemon::datapath::FlowTable;
use lb_ebpf::{
    decide::removal,
    tables::{FlowSlot as _, Table, Tables as _},
};
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
    fn entry(&self, table: FlowTable, key: &FlowKey) -> FlowEntry;
    /// True where the flow is gone.
    fn end(&mut self, ended: &EndedFlow) -> bool;
}

impl Upkeep for Host {
    fn entry(&self, table: FlowTable, key: &FlowKey) -> FlowEntry {
        let table = match table {
            FlowTable::Established => Table::Established,
            FlowTable::HalfOpen => Table::HalfOpen,
        };
        let slot = self.tables.flow(table, key);
        slot.unwrap_or_else(|| panic!("no flow"))
            .with(|entry| *entry)
    }

    fn end(&mut self, ended: &EndedFlow) -> bool {
        removal::end(ended, &self.tables)
    }
}

impl Upkeep for Kernel {
    fn entry(&self, table: FlowTable, key: &FlowKey) -> FlowEntry {
        let mut found = None;
        self.datapath
            .walk_flows(table, |known, entry| {
                if known == key {
                    found = Some(*entry);
                }
            })
            .unwrap_or_else(|error| panic!("{error}"));
        found.unwrap_or_else(|| panic!("no flow"))
    }

    fn end(&mut self, ended: &EndedFlow) -> bool {
        let ended = self.datapath.end(&[*ended]);
        ended.unwrap_or_else(|error| panic!("{error}")) == 1
    }
}

/// Opens a flow as far as `steps` and ends it, first as one that was seen at other times.
fn ends(name: &str, runner: &mut impl Upkeep, table: FlowTable, steps: &[Step]) {
    case::play(name, runner, steps);
    let key = question();
    let entry = runner.entry(table, &key);
    let answer = key.answer_to(&entry.rewrite);
    let seen = [entry.last_seen, runner.entry(table, &answer).last_seen];
    let ended = |last_seen| EndedFlow {
        key,
        last_seen,
        at_once: 0,
        is_half_open: u32::from(table == FlowTable::HalfOpen),
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
        is_half_open: 1,
    };
    assert!(runner.end(&at_once), "{name}");
    assert_eq!(runner.flows(), (0, 0), "{name}");
}

#[test]
fn an_established_flow_ends_with_its_port_unless_it_was_seen_since() {
    let table = FlowTable::Established;
    ends("pure logic", &mut Host::new(&config()), table, &handshake());
    ends("kernel", &mut Kernel::new(&config()), table, &handshake());
}

#[test]
fn a_half_open_flow_ends_with_its_port_unless_it_was_seen_since() {
    let table = FlowTable::HalfOpen;
    ends(
        "pure logic",
        &mut Host::new(&config()),
        table,
        &handshake()[..1],
    );
    ends(
        "kernel",
        &mut Kernel::new(&config()),
        table,
        &handshake()[..1],
    );
}
