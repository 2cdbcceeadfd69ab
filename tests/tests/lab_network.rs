//! The network around edgelb changes: flows follow within a second.

use std::{
    net::SocketAddrV4,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lb_tests::lab::{
    Lab,
    clients::{Question, ask_all},
    namespace::{Namespace, run},
    plan::{Arrangement, Host, NODES, Side, vip},
    stream::{Outcome, Stream},
};
use nix::sys::signal::Signal;

/// How long flows may take to follow, in packets of a stream: it sends one each millisecond.
const SECOND: u32 = 1000;

fn connect(lab: &Lab) -> Result<()> {
    let questions: Vec<Question> = (0..20)
        .map(|number| Question {
            from: Side::External.asker_address(number),
            to: SocketAddrV4::new(vip::ACCESS, 443),
        })
        .collect();
    let clients = lab.asker(Side::External);
    for answer in ask_all(clients, &lab.tls, &questions, Duration::ZERO)? {
        answer?;
    }
    Ok(())
}

/// That a stream has paused for no longer than `limit` packets, once, and has lost nothing else.
fn ensure_followed(outcome: &Outcome, limit: u32) -> Result<()> {
    for tally in [outcome.to_node, outcome.to_client] {
        ensure!(tally.sent > 1500, "{outcome:?}");
        ensure!(tally.longest_gap <= limit, "{outcome:?}");
        ensure!(
            tally.lost <= limit as usize && tally.out_of_order == 0,
            "{outcome:?}"
        );
    }
    Ok(())
}

/// The nodes' number of the one that a stream goes to.
fn node_of_stream(lab: &Lab) -> Result<usize> {
    let flows = lab.edgelb.instance.flows()?;
    let flow = flows.iter().find(|flow| flow.service == "av-3478");
    let name = &flow.context("there is no stream")?.node;
    let number = NODES.iter().position(|node| node.name == name);
    number.context("it goes to no node")
}

/// The Ethernet address of an interface.
fn ethernet_address(host: &Namespace, interface: &str) -> Result<String> {
    let show =
        run(Command::new("ip").args(["-n", host.name(), "-br", "link", "show", "dev", interface]))?;
    let address = show.split_whitespace().nth(2);
    Ok(address.context("it has an address")?.to_owned())
}

/// Whether a packet of the stream goes to an Ethernet address within a second, as `host` sees it.
fn is_sent_to(host: &Namespace, interface: &str, address: &str) -> Result<bool> {
    let captured = host
        .command("timeout")?
        // At once: in blocks, a packet may come to it after that second only.
        .args(["1", "tcpdump", "--immediate-mode", "-n", "-c", "1"])
        .args(["-i", interface, "-w", "/dev/null"])
        .arg(format!("udp and port 3478 and ether dst {address}"))
        .output()?;
    let said = String::from_utf8_lossy(&captured.stderr);
    ensure!(said.contains(" captured"), "tcpdump: {said}");
    Ok(!said.contains("0 packets captured"))
}

#[test]
fn a_node_with_another_ethernet_address_is_followed_and_the_old_one_gets_nothing() -> Result<()> {
    const NEW: &str = "02:00:00:00:00:77";
    let lab = Lab::up(Arrangement::TwoArm, |_| ())?;
    let stream = Stream::start(&lab, 200)?;
    thread::sleep(Duration::from_millis(500));
    let node = lab.host(Host::Edge(node_of_stream(&lab)?));
    let old = ethernet_address(node, "ext")?;
    // On edgelb's own interface nothing is seen of what XDP sends. What the switch does not know, it floods.
    let switch = lab.host(Host::Switch);
    let arm = "ext-edgelb";
    ensure!(
        is_sent_to(switch, arm, &old)?,
        "nothing is sent to the node"
    );
    // It says so itself, as whoever takes an address over does.
    node.sysctl(&[("net/ipv4/conf/ext/arp_notify", "1")])?;
    node.ip(&format!("link set ext address {NEW}\n"))?;
    thread::sleep(Duration::from_secs(1));
    ensure!(
        !is_sent_to(switch, arm, &old)?,
        "the old address is sent to"
    );
    ensure!(
        is_sent_to(switch, arm, NEW)?,
        "the new address is not sent to"
    );
    thread::sleep(Duration::from_secs(1));
    ensure_followed(&stream.stop()?, SECOND)
}

#[test]
fn another_default_gateway_is_followed_and_the_old_one_gets_nothing() -> Result<()> {
    let lab = Lab::up(Arrangement::OneArm, |_| ())?;
    let router = lab.host(Host::Router);
    // A second way to the same router, with an address of its own on either layer.
    router.sysctl(&[("net/ipv4/conf/all/arp_ignore", "1")])?;
    router.ip(
        "link add link ext name other address 02:00:00:00:00:88 type macvlan mode bridge\n\
         link set other up\naddr add 203.0.113.3/32 dev other\n",
    )?;
    let old = ethernet_address(router, "ext")?;
    let stream = Stream::start(&lab, 200)?;
    thread::sleep(Duration::from_millis(500));
    ensure!(
        is_sent_to(router, "ext", &old)?,
        "nothing is sent to the gateway"
    );

    lab.host(Host::Balancer)
        .ip("route replace 0.0.0.0/0 via 203.0.113.3 dev ext0\n")?;
    thread::sleep(Duration::from_secs(1));
    ensure!(
        !is_sent_to(router, "ext", &old)?,
        "the old gateway is sent to"
    );
    thread::sleep(Duration::from_millis(500));
    ensure_followed(&stream.stop()?, SECOND)?;
    connect(&lab)
}

#[test]
fn an_interface_that_goes_down_and_up_is_used_again_within_a_second() -> Result<()> {
    let lab = Lab::up(Arrangement::TwoArm, |_| ())?;
    let stream = Stream::start(&lab, 200)?;
    thread::sleep(Duration::from_millis(500));
    let balancer = lab.host(Host::Balancer);
    balancer.ip("link set ext1 down\n")?;
    thread::sleep(Duration::from_millis(300));
    balancer.ip("link set ext1 up\n")?;
    thread::sleep(Duration::from_secs(3));
    ensure_followed(&stream.stop()?, 300 + SECOND)?;
    connect(&lab)
}

#[test]
fn a_link_that_flaps_is_used_again_within_a_second() -> Result<()> {
    let lab = Lab::up(Arrangement::TwoArm, |_| ())?;
    let stream = Stream::start(&lab, 200)?;
    thread::sleep(Duration::from_millis(500));
    let switch = lab.host(Host::Switch);
    for _ in 0..3 {
        switch.ip("link set ext-edgelb down\n")?;
        thread::sleep(Duration::from_millis(50));
        switch.ip("link set ext-edgelb up\n")?;
        thread::sleep(Duration::from_millis(50));
    }
    thread::sleep(Duration::from_secs(3));
    ensure_followed(&stream.stop()?, 300 + SECOND)?;
    connect(&lab)
}

/// Neither nodes nor router are there when edgelb starts; the kernel has given up on them by the time
/// they come.
#[test]
fn edgelb_starts_before_anybody_answers_arp() -> Result<()> {
    let mut lab = Lab::up(Arrangement::TwoArm, |_| ())?;
    lab.end_edgelb()?;
    let links = |state: &str| -> Result<()> {
        lab.host(Host::Switch).ip(&format!(
            "link set ext-edge1 {state}\nlink set ext-edge2 {state}\n"
        ))?;
        // ARP alone: a router whose link is down would take the routes along.
        lab.host(Host::Router).ip(&format!(
            "link set ext arp {}\n",
            if state == "up" { "on" } else { "off" }
        ))
    };
    links("down")?;
    lab.host(Host::Balancer).ip("neigh flush all\n")?;
    let instance = lab.edgelb.instance.clone();
    let mut edgelb = lb_tests::lab::edgelb::Edgelb::start(instance, lab.host(Host::Balancer))?;
    thread::sleep(Duration::from_millis(3500));
    links("up")?;
    let begun = Instant::now();
    connect(&lab)?;
    // A SYN that came too early is sent again after a second.
    ensure!(
        begun.elapsed() < Duration::from_millis(2500),
        "{:?}",
        begun.elapsed()
    );
    let stream = Stream::start(&lab, 200)?;
    thread::sleep(Duration::from_secs(3));
    // The A/V address of the node may have been asked for last.
    ensure_followed(&stream.stop()?, SECOND)?;
    ensure!(edgelb.stop(Signal::SIGTERM)?.success());
    Ok(())
}
