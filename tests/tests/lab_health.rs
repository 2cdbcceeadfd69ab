//! The checks of a whole pool, against real peers: what they see, how they close, and what follows.

use std::{
    fs,
    io::ErrorKind,
    net::{Ipv4Addr, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lb_tests::lab::{
    Lab,
    capture::{Capture, Captured},
    edgelb::Edgelb,
    health::{av, check, health, node, wait_for},
    ms_turn::MsTurn,
    plan::{Arrangement, Host, NODES, Side, vip},
};
use nix::sys::signal::Signal;

/// As quick as the issue's own case.
const QUICK: &str = "interval = \"500ms\"\nfall = 2\nrise = 2";

/// Service, VIP, port and protocol, and how its nodes are asked.
const SERVICES: [(&str, Ipv4Addr, &str); 10] = [
    ("access-443", vip::ACCESS, "tls"),
    ("access-5061", vip::ACCESS, "tls"),
    ("access-5269", vip::ACCESS, "tcp"),
    ("webconf-443", vip::WEBCONF, "tls"),
    ("av-3478", vip::AV, "ms-turn"),
    ("av-443", vip::AV, "ms-turn"),
    ("internal-5061", vip::INTERNAL, "tls"),
    ("internal-5062", vip::INTERNAL, "tls"),
    ("internal-3478", vip::INTERNAL, "ms-turn"),
    ("internal-443", vip::INTERNAL, "ms-turn"),
];

/// First port of a VIP that SNAT never hands out.
const FIRST_OWN_PORT: u16 = 64_512;

/// Every service of an Edge pool is checked in its own way, from its VIP, and no connection ends in a
/// RST: the logs of the nodes stay clean.
fn a_whole_pool(arrangement: Arrangement) -> Result<()> {
    let lab = Lab::up(arrangement, |_| ())?;
    let _av = [av(&lab, 0)?, av(&lab, 1)?];
    let edge = lab.host(Host::Edge(0));
    let mut captures = Vec::new();
    for side in Side::ALL {
        let (name, interface) = (Host::Edge(0).name(), side.interface());
        captures.push(Capture::start(edge, name, interface, &lab.folder)?);
    }
    check(&lab, QUICK, "")?;
    for (service, _, method) in SERVICES {
        for node in &NODES {
            let health = health(&lab, service, node.name)?;
            ensure!(
                health.check == method && health.healthy,
                "{service}: {health:?}"
            );
            ensure!(health.last_error.is_none(), "{service}: {health:?}");
        }
    }
    // Some more of them.
    thread::sleep(Duration::from_secs(2));
    for (service, ..) in SERVICES {
        let checked = health(&lab, service, NODES[0].name)?.checked_ago_ms;
        ensure!(
            checked.is_some_and(|ago| ago < 1000),
            "{service}: {checked:?}"
        );
    }
    // No check is under way when the captures end.
    check(&lab, "enabled = false", "")?;
    thread::sleep(Duration::from_millis(500));
    for captured in Capture::stop_all(captures)? {
        clean(&captured)?;
    }
    let log = fs::read_to_string(lab.folder.file(NODES[0].name).join("error.log"))?;
    for line in log.lines() {
        let clean = ["[notice]", "[info]", "[debug]"];
        ensure!(clean.iter().any(|level| line.contains(level)), "{line}");
    }
    // Clients see nothing of all this.
    let status = lab.edgelb.instance.status()?;
    ensure!(
        status.drops.is_empty(),
        "the data path has dropped {:?}",
        status.drops
    );
    Ok(())
}

/// That checks came from VIPs and the machine's own ports, and closed without RST.
fn clean(captured: &Captured) -> Result<()> {
    let mut asked = 0;
    for packet in captured.packets()? {
        ensure!(packet.sound, "{}", packet.text);
        ensure!(!packet.text.contains("Flags [R"), "{}", packet.text);
        if vip::ALL.contains(&packet.source) {
            asked += 1;
            let transport = packet.text.lines().nth(1).unwrap_or_default();
            let port = transport
                .trim_start()
                .split(' ')
                .next()
                .and_then(|source| source.rsplit('.').next())
                .and_then(|port| port.parse::<u16>().ok());
            ensure!(
                port.is_some_and(|port| port >= FIRST_OWN_PORT),
                "{transport}"
            );
        } else {
            ensure!(vip::ALL.contains(&packet.destination), "{}", packet.text);
        }
    }
    ensure!(
        asked > 30,
        "on {} only {asked} packets of checks",
        captured.link
    );
    Ok(())
}

#[test]
fn a_whole_pool_is_checked_and_nobody_is_reset_two_arm() -> Result<()> {
    a_whole_pool(Arrangement::TwoArm)
}

#[test]
fn a_whole_pool_is_checked_and_nobody_is_reset_one_arm() -> Result<()> {
    a_whole_pool(Arrangement::OneArm)
}

/// A service of a node that ends takes no flows, and neither does what is gated on it; its other services
/// go on.
#[test]
fn a_service_that_ends_and_what_is_gated_on_it() -> Result<()> {
    let lab = Lab::up(Arrangement::OneArm, |_| ())?;
    let mut first = av(&lab, 0)?.map(Some);
    let _second = av(&lab, 1)?;
    let gated = "\n[[health.services]]\nname = \"webconf-443\"\ngate = \"av-443\"\n";
    check(&lab, &format!("{QUICK}{gated}"), "")?;
    for (service, ..) in SERVICES {
        health(&lab, service, "edge1")?;
    }

    // The external one: 443 refuses from here on, and 3478 is unreachable.
    first[0].take();
    let down = wait_for(&lab, "av-443", "edge1", "down")?;
    let error = down.health.and_then(|health| health.last_error);
    ensure!(
        error
            .as_deref()
            .is_some_and(|error| error.contains("refused")),
        "{error:?}"
    );
    wait_for(&lab, "av-3478", "edge1", "down")?;
    let webconf = wait_for(&lab, "webconf-443", "edge1", "down")?;
    let own = webconf.health.context("it is checked")?;
    ensure!(
        own.healthy && own.gate.as_deref() == Some("av-443"),
        "{own:?}"
    );
    for (service, name) in [
        ("access-443", "edge1"),
        ("internal-3478", "edge1"),
        ("internal-443", "edge1"),
        ("av-443", "edge2"),
        ("webconf-443", "edge2"),
    ] {
        ensure!(
            node(&lab, service, name)?.state == "up",
            "{service}, {name}"
        );
    }

    first[0] = Some(MsTurn::start(lab.host(Host::Edge(0)), NODES[0].av)?);
    for service in ["av-443", "av-3478", "webconf-443"] {
        wait_for(&lab, service, "edge1", "up")?;
    }
    drop(first);
    let log = lab.edgelb.log();
    for told in [
        "check of av-443, node edge1: cannot connect: Connection refused",
        "service webconf-443: node edge1 is down",
        "service webconf-443: node edge1 is up",
    ] {
        ensure!(log.contains(told), "{told}\n{log}");
    }
    Ok(())
}

/// With nobody up, new flows are refused, or go to the last that was up.
#[test]
fn when_nobody_is_up() -> Result<()> {
    let lab = Lab::up(Arrangement::TwoArm, |_| ())?;
    let last = "\n[[health.services]]\nname = \"av-443\"\non_all_down = \"last\"\n";
    // Nobody has an A/V service.
    check(&lab, &format!("{QUICK}{last}"), "")?;
    for service in ["av-443", "internal-443"] {
        for node in &NODES {
            wait_for(&lab, service, node.name, "down")?;
        }
    }
    let ask = |from: Side, vip: Ipv4Addr| -> Result<Option<ErrorKind>> {
        lab.asker(from).enter(|| {
            let to = (vip, 443).into();
            let asked = TcpStream::connect_timeout(&to, Duration::from_secs(2));
            asked.err().map(|error| error.kind())
        })
    };
    // Whether somebody answers is not the question.
    ask(Side::External, vip::AV)?;
    // Refused at once, over TCP and over UDP.
    let refused = Some(ErrorKind::ConnectionRefused);
    ensure!(
        ask(Side::Internal, vip::INTERNAL)? == refused,
        "TCP is not refused"
    );
    let answer = lab.asker(Side::Internal).enter(|| -> Result<_> {
        let socket = UdpSocket::bind((Side::Internal.asker_address(4), 0))?;
        socket.connect((vip::INTERNAL, 3478))?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        socket.send(b"is anybody there")?;
        Ok(socket.recv(&mut [0; 16]))
    })??;
    ensure!(
        answer.is_err_and(|error| Some(error.kind()) == refused),
        "UDP is not refused"
    );
    let opened = |service: &str| -> Result<u64> {
        let nodes = NODES.iter().map(|known| node(&lab, service, known.name));
        nodes.map(|node| Ok(node?.opened)).sum()
    };
    ensure!(opened("av-443")? > 0, "nobody was asked");
    ensure!(opened("internal-443")? == 0, "somebody was asked");
    let drops = lab.edgelb.instance.status()?.drops;
    ensure!(
        drops.iter().any(|drop| drop.reason == "no-node"),
        "{drops:?}"
    );
    Ok(())
}

/// A restart is no outage, and a reload keeps what is known.
#[test]
fn what_is_known_stays_over_a_reload_and_a_restart() -> Result<()> {
    let mut lab = Lab::up(Arrangement::OneArm, |_| ())?;
    check(&lab, QUICK, "")?;
    wait_for(&lab, "av-443", "edge1", "down")?;
    thread::sleep(Duration::from_millis(1500));
    check(&lab, &format!("{QUICK}\ncalm = \"2m\""), "")?;
    let known = node(&lab, "av-443", "edge1")?;
    ensure!(known.state == "down", "{known:?}");
    let health = known.health.context("it is checked")?;
    ensure!(health.for_seconds >= 1, "{health:?}");

    ensure!(lab.edgelb.stop(Signal::SIGTERM)?.success());
    // So slow that nothing is decided when it is asked.
    let slow = "interval = \"10s\"\ntimeout = \"10s\"";
    lab.edgelb
        .instance
        .configure(&lb_tests::lab::health::config(&lab, slow, ""))?;
    lab.host(Host::Switch).ip("link set ext-edge1 down\n")?;
    lab.edgelb = Edgelb::start(lab.edgelb.instance.clone(), lab.host(Host::Balancer))?;
    ensure!(node(&lab, "access-443", "edge1")?.state == "up");
    ensure!(node(&lab, "av-443", "edge1")?.state == "down");
    // The end of checks that nobody answers is not waited for.
    ensure!(lab.edgelb.stop(Signal::SIGTERM)?.success());
    Ok(())
}

/// The machine needs no address of its own in the nodes' subnet: a VIP is enough.
#[test]
fn a_vip_is_address_enough_to_check_from() -> Result<()> {
    let lab = Lab::up(Arrangement::OneArm, |_| ())?;
    let networks = Side::External.networks();
    lab.host(Host::Balancer).ip(&format!(
        "addr del {}/{} dev ext0\nroute add {} dev ext0\n",
        networks.balancer, networks.nodes.prefix, networks.nodes
    ))?;
    check(&lab, QUICK, "")?;
    for node in &NODES {
        let health = health(&lab, "access-443", node.name)?;
        ensure!(health.healthy && health.latency_us.is_some(), "{health:?}");
    }
    Ok(())
}

/// A file of certificates that is not there is told at the start, and refuses a reload.
#[test]
fn certificates_that_cannot_be_read_are_told_in_one_error() -> Result<()> {
    let mut lab = Lab::up(Arrangement::OneArm, |_| ())?;
    let strict = format!(
        "{QUICK}\n[[health.services]]\nname = \"access-443\"\ncheck = \"tls\"\nca = \"/nowhere/ca.pem\"\n"
    );
    let refused = check(&lab, &strict, "").expect_err("there is no such file");
    ensure!(
        format!("{refused:#}").contains("/nowhere/ca.pem"),
        "{refused:#}"
    );
    ensure!(node(&lab, "access-443", "edge1")?.health.is_none());

    lab.end_edgelb()?;
    let instance = lab.edgelb.instance.clone();
    let (status, printed) = instance.run(lab.host(Host::Balancer))?;
    ensure!(!status.success(), "{printed}");
    let errors = printed.lines().filter(|line| line.starts_with("edgelb: "));
    let errors: Vec<&str> = errors.collect();
    ensure!(
        errors.len() == 1 && errors[0].contains("/nowhere/ca.pem"),
        "{printed}"
    );
    ensure!(!instance.pin_dir().exists(), "{printed}");
    Ok(())
}
