//! Crowded ports and full tables: what is refused is refused with a reason, and what is there stays.

use lb_common::drop_reason::DropReason;
use lb_ebpf::tables::Tables as _;
use lb_tests::{
    case::{self, Step, dropped, forwarded, reset},
    packet::{flags, tcp, udp},
    runner::{ONE_NODE, Port, Runner, host::Host, kernel::Kernel},
};

const VIP: &str = "203.0.113.10:443";
const NODE: &str = "203.0.113.11:443";

fn client(number: u32) -> String {
    format!("198.51.{}.{}:40000", number / 250, 1 + number % 250)
}

/// The handshake of a client whose connection leaves from the SNAT port `port`.
fn connection(number: u32, port: u32) -> [Step; 3] {
    let client = client(number);
    let source = format!("203.0.113.10:{port}");
    let syn_ack = |from: &str, to: &str| tcp(from, to, flags::SYN | flags::ACK).numbers(5000, 1001);
    [
        forwarded(
            Port::Ext0,
            tcp(&client, VIP, flags::SYN),
            Port::Ext1,
            tcp(&source, NODE, flags::SYN),
        ),
        forwarded(
            Port::Ext1,
            syn_ack(NODE, &source),
            Port::Ext0,
            syn_ack(VIP, &client),
        ),
        forwarded(
            Port::Ext0,
            tcp(&client, VIP, flags::ACK),
            Port::Ext1,
            tcp(&source, NODE, flags::ACK),
        ),
    ]
}

/// Fills the ports 1024 to 61023 of one VIP towards one node and port, then asks for one more.
fn sixty_thousand(name: &str, runner: &mut impl Runner) {
    const FLOWS: u32 = 60_000;
    for number in 0..FLOWS {
        case::play(name, runner, &connection(number, 1024 + number));
    }
    assert_eq!(runner.flows(), (FLOWS as usize, 0), "{name}");
    let one_more = tcp(&client(FLOWS), VIP, flags::SYN);
    case::play(
        name,
        runner,
        &[dropped(
            Port::Ext0,
            one_more,
            DropReason::SnatPortsExhausted,
        )],
    );
    // Nobody else was touched: every connection still has its own port.
    for number in (0..FLOWS).step_by(97) {
        case::play(name, runner, &connection(number, 1024 + number)[2..]);
    }
    assert_eq!(runner.flows(), (FLOWS as usize, 0), "{name}");
}

const SIXTY_THOUSAND_PORTS: &str = "[limits]\nsnat_ports = \"1024-61023\"\n";

#[test]
fn sixty_thousand_flows_each_have_a_port_and_the_next_is_refused_in_the_pure_logic() {
    let config = format!("{ONE_NODE}{SIXTY_THOUSAND_PORTS}");
    sixty_thousand("pure logic", &mut Host::new(&config));
}

#[test]
fn sixty_thousand_flows_each_have_a_port_and_the_next_is_refused_in_the_kernel() {
    let config = format!("{ONE_NODE}{SIXTY_THOUSAND_PORTS}");
    sixty_thousand("kernel", &mut Kernel::new(&config));
}

#[test]
fn a_port_that_comes_back_is_given_out_again() {
    let config = format!("{ONE_NODE}[limits]\nsnat_ports = \"2000-2002\"\n");
    let mut steps = Vec::new();
    for number in 0..3 {
        steps.extend(connection(number, 2000 + number));
    }
    steps.push(dropped(
        Port::Ext0,
        tcp(&client(3), VIP, flags::SYN),
        DropReason::SnatPortsExhausted,
    ));
    // The second client resets and comes again: its port is free, and the only one.
    let reset = |from: &str, to: &str| tcp(from, to, flags::RST);
    steps.push(forwarded(
        Port::Ext0,
        reset(&client(1), VIP),
        Port::Ext1,
        reset("203.0.113.10:2001", NODE),
    ));
    steps.extend(connection(1, 2001));
    case::run(&config, &steps);
}

/// The map of ports must not fill up with ports that nobody has.
#[test]
fn a_port_that_comes_back_is_marked_as_free() {
    let mut host = Host::new(ONE_NODE);
    let reset = |from: &str, to: &str| tcp(from, to, flags::RST);
    let mut steps: Vec<Step> = connection(0, 1024).into();
    steps.push(forwarded(
        Port::Ext0,
        reset(&client(0), VIP),
        Port::Ext1,
        reset("203.0.113.10:1024", NODE),
    ));
    steps.extend(connection(0, 1025));
    case::play("pure logic", &mut host, &steps);
    let marked = host.tables.snat_word(0, 1024 / 64);
    assert_eq!(marked, 0b10, "of 1024 and 1025 only the latter is in use");
}

#[test]
fn a_port_that_is_marked_as_free_by_mistake_stays_with_its_flow() {
    let config = format!("{ONE_NODE}[limits]\nsnat_ports = \"2000-2007\"\n");
    let mut host = Host::new(&config);
    for number in (0..8).filter(|number| *number != 4) {
        case::play("pure logic", &mut host, &connection(number, 2000 + number));
        if number == 3 {
            // Port 2004 has its turn in vain.
            host.tables.snat_cursor(0);
        }
    }
    // It is the turn of port 2000 again, which the flow table still holds.
    host.tables.snat_release(0, 2000 / 64, 1 << (2000 % 64));
    let [syn, ..] = connection(8, 2004);
    case::play("pure logic", &mut host, &[syn]);
    let [.., ack] = connection(0, 2000);
    case::play("pure logic", &mut host, &[ack]);
}

#[test]
fn a_full_flow_table_refuses_the_next_flow_and_keeps_the_others() {
    let config = format!("{ONE_NODE}[limits]\nmax_flows = 16\n");
    let mut steps = Vec::new();
    for number in 0..16 {
        steps.extend(connection(number, 1024 + number));
    }
    // The handshake goes through; the flow that it confirms has no place.
    let [syn, syn_ack, ack] = connection(16, 1040);
    let lb_tests::case::Input::Packet(ack) = ack.packet else {
        unreachable!("`connection` makes packets");
    };
    steps.extend([
        syn,
        syn_ack,
        reset(Port::Ext0, ack, DropReason::FlowTableFull),
    ]);
    for number in 0..16 {
        let [_, _, ack] = connection(number, 1024 + number);
        steps.push(ack);
    }
    case::run(&config, &steps);
}

#[test]
fn the_half_open_flow_that_was_opened_longest_ago_makes_room() {
    let config = format!("{ONE_NODE}[limits]\nmax_half_open = 16\n");
    let mut steps = Vec::new();
    // The first is confirmed in time, and stays.
    steps.extend(connection(0, 1024));
    for number in 1..18 {
        let [syn, ..] = connection(number, 1024 + number);
        steps.push(syn);
    }
    let late = tcp(NODE, "203.0.113.10:1025", flags::SYN | flags::ACK).numbers(5000, 1001);
    steps.push(reset(Port::Ext1, late, DropReason::NoFlow));
    for number in 2..18 {
        let [_, syn_ack, ack] = connection(number, 1024 + number);
        steps.extend([syn_ack, ack]);
    }
    let [.., ack] = connection(0, 1024);
    steps.push(ack);
    case::run(&config, &steps);
}

/// A flood of SYNs from forged addresses churns half-open flows and nothing else.
#[test]
fn a_syn_flood_pushes_out_no_established_flow() {
    let config = format!("{ONE_NODE}[limits]\nmax_half_open = 1024\n");
    let mut kernel = Kernel::new(&config);
    for number in 0..100 {
        case::play("kernel", &mut kernel, &connection(number, 1024 + number));
    }
    // More SYNs than the pool has ports: those of flows that were pushed out are used again.
    for number in 0..80_000_u32 {
        let forged = format!(
            "10.{}.{}.{}:1234",
            number >> 16,
            (number >> 8) & 255,
            number & 255
        );
        let syn = tcp(&forged, VIP, flags::SYN).macs([2, 0, 0, 0, 1, 254], Port::Ext0.mac());
        let outcome = kernel.receive(Port::Ext0, &syn.frame());
        assert!(
            matches!(outcome, lb_tests::runner::Outcome::Redirected(_)),
            "SYN {number}: {outcome:?}"
        );
    }
    assert_eq!(kernel.flows().0, 100);
    for number in 0..100 {
        case::play(
            "kernel",
            &mut kernel,
            &connection(number, 1024 + number)[2..],
        );
    }
}

#[test]
fn udp_flows_that_nobody_answers_take_no_place_in_the_established_table() {
    let config = r#"
        [pool]
        name = "dns"
        [interfaces]
        external = ["ext0", "ext1"]
        [[services]]
        name = "dns"
        listen = "203.0.113.40:53/udp"
        treatment = "snat"
        nodes = [{ name = "a", address = "203.0.113.11:53" }]
    "#;
    let mut host = Host::new(config);
    for number in 0..1000 {
        let sent = udp(
            &format!("203.0.113.40:{}", 1024 + number),
            "203.0.113.11:53",
        );
        let asked = udp(&client(number), "203.0.113.40:53");
        case::play(
            "pure logic",
            &mut host,
            &[forwarded(Port::Ext0, asked, Port::Ext1, sent)],
        );
    }
    assert_eq!(host.flows(), (0, 1000));
}
