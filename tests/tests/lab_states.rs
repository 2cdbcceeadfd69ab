//! Nodes that are drained, disabled and down: who takes new flows, and what becomes of the old ones.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lb_tests::lab::{
    Lab,
    clients::{Answered, Question, ask_all, was_reset},
    health::{check, node, wait, wait_for},
    plan::{Arrangement, Host, NODES, Side, vip},
};
use nix::sys::signal::Signal;

fn up() -> Result<Lab> {
    Lab::up(Arrangement::TwoArm, |_| ())
}

fn connect(lab: &Lab, vip: Ipv4Addr) -> Result<Vec<Answered>> {
    let questions: Vec<Question> = (0..40)
        .map(|number| Question {
            from: Side::External.asker_address(number),
            to: SocketAddrV4::new(vip, 443),
        })
        .collect();
    let clients = lab.asker(Side::External);
    let answers = ask_all(clients, &lab.tls, &questions, Duration::ZERO)?;
    answers.into_iter().collect()
}

/// The nodes that took connections, without doubles.
fn nodes(connections: &[Answered]) -> Vec<&str> {
    let mut nodes: Vec<&str> = connections
        .iter()
        .map(|answered| answered.who.node.as_str())
        .collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

fn ensure_alive<'a>(lab: &Lab, connections: impl Iterator<Item = &'a mut Answered>) -> Result<()> {
    let connections: Vec<_> = connections.collect();
    lab.asker(Side::External).enter(|| {
        for answered in connections {
            let now = answered.connection.who()?;
            ensure!(now.node == answered.who.node, "{now:?}");
        }
        Ok(())
    })?
}

/// That each connection is reset with its next packet.
fn ensure_reset(lab: &Lab, connections: &mut [Answered]) -> Result<()> {
    ensure!(!connections.is_empty(), "there is none");
    lab.asker(Side::External).enter(|| {
        for answered in connections {
            let begun = Instant::now();
            let error = answered.connection.who().expect_err("it is cut");
            ensure!(was_reset(&error), "{error:#}");
            ensure!(begun.elapsed() < Duration::from_secs(1), "{error:#}");
        }
        Ok(())
    })?
}

/// How many flows a node of a service has.
fn flows(lab: &Lab, service: &str, name: &str) -> Result<u64> {
    let flows = node(lab, service, name)?.flows;
    Ok(flows.established + flows.half_open + flows.closing)
}

#[test]
fn a_drained_node_keeps_what_it_has_and_takes_no_more_over_a_restart_too() -> Result<()> {
    let mut lab = up()?;
    let mut before = connect(&lab, vip::ACCESS)?;
    ensure!(nodes(&before) == ["edge1", "edge2"]);

    let told = lab.edgelb.instance.node("drain", &["edge1"])?;
    ensure!(
        told.contains("service access-443: node edge1 is draining"),
        "{told}"
    );
    ensure!(nodes(&connect(&lab, vip::ACCESS)?) == ["edge2"]);
    ensure_alive(&lab, before.iter_mut())?;

    ensure!(!lab.edgelb.stop(Signal::SIGKILL)?.success());
    ensure!(nodes(&connect(&lab, vip::ACCESS)?) == ["edge2"]);
    lab.start_edgelb()?;
    ensure!(node(&lab, "access-443", "edge1")?.state == "draining");
    ensure!(nodes(&connect(&lab, vip::ACCESS)?) == ["edge2"]);
    ensure_alive(&lab, before.iter_mut())?;

    let told = lab.edgelb.instance.node("enable", &["edge1"])?;
    ensure!(
        told.contains("service access-443: node edge1 is up"),
        "{told}"
    );
    ensure!(nodes(&connect(&lab, vip::ACCESS)?) == ["edge1", "edge2"]);
    ensure!(lab.edgelb.instance.node("enable", &["edge1"])?.trim() == "nothing has changed");
    let refused = lab
        .edgelb
        .instance
        .node("drain", &["edge7"])
        .expect_err("it is unknown");
    ensure!(
        format!("{refused:#}").contains("the nodes are edge1, edge2"),
        "{refused:#}"
    );
    Ok(())
}

#[test]
fn a_disabled_node_loses_its_flows_of_that_service_at_once() -> Result<()> {
    let mut lab = up()?;
    let (mut cut, mut stay): (Vec<_>, Vec<_>) = connect(&lab, vip::ACCESS)?
        .into_iter()
        .partition(|answered| answered.who.node == "edge1");
    let mut elsewhere = connect(&lab, vip::WEBCONF)?;

    let service = ["edge1", "--service", "access-443"];
    lab.edgelb.instance.node("disable", &service)?;
    ensure!(flows(&lab, "access-443", "edge1")? == 0);
    ensure_reset(&lab, &mut cut)?;
    ensure_alive(&lab, stay.iter_mut())?;
    ensure_alive(&lab, elsewhere.iter_mut())?;
    ensure!(nodes(&elsewhere) == ["edge1", "edge2"]);
    ensure!(nodes(&connect(&lab, vip::ACCESS)?) == ["edge2"]);
    ensure!(node(&lab, "webconf-443", "edge1")?.state == "up");

    // It stays so over a clean restart, and a reload.
    ensure!(lab.edgelb.stop(Signal::SIGTERM)?.success());
    lab.start_edgelb()?;
    lab.edgelb.instance.reload()?;
    ensure!(node(&lab, "access-443", "edge1")?.state == "disabled");
    ensure!(nodes(&connect(&lab, vip::ACCESS)?) == ["edge2"]);

    // Nobody is left: refused at once.
    lab.edgelb.instance.node("disable", &["edge2"])?;
    let begun = Instant::now();
    let refused = lab.asker(Side::External).enter(|| {
        let to = SocketAddr::from((vip::ACCESS, 443));
        TcpStream::connect_timeout(&to, Duration::from_secs(5))
    })?;
    let kind = refused.err().map(|error| error.kind());
    ensure!(kind == Some(ErrorKind::ConnectionRefused), "{kind:?}");
    ensure!(begun.elapsed() < Duration::from_secs(1));
    Ok(())
}

/// A datagram socket on a node that answers with the node's name.
fn answer_with_name(lab: &Lab, number: usize) -> Result<()> {
    let address = SocketAddrV4::new(NODES[number].av, 3478);
    let socket = lab
        .host(Host::Edge(number))
        .enter(|| UdpSocket::bind(address))??;
    thread::spawn(move || {
        let mut word = [0; 16];
        while let Ok((_, from)) = socket.recv_from(&mut word) {
            let _ = socket.send_to(NODES[number].name.as_bytes(), from);
        }
    });
    Ok(())
}

#[test]
fn udp_of_a_disabled_node_moves_to_another() -> Result<()> {
    let lab = up()?;
    answer_with_name(&lab, 0)?;
    answer_with_name(&lab, 1)?;
    let client = lab.asker(Side::External).enter(|| -> Result<UdpSocket> {
        let socket = UdpSocket::bind((Side::External.asker_address(0), 0))?;
        socket.connect((vip::AV, 3478))?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        Ok(socket)
    })??;
    let ask = || -> Result<String> {
        let mut word = [0; 16];
        client.send(b"who")?;
        let length = client.recv(&mut word).context("no answer")?;
        Ok(String::from_utf8_lossy(&word[..length]).into_owned())
    };
    let first = ask()?;
    ensure!(ask()? == first && ask()? == first);
    lab.edgelb.instance.node("disable", &[&first])?;
    let second = ask()?;
    ensure!(second != first, "{second}");
    // It stays there when the first one is back.
    lab.edgelb.instance.node("enable", &[&first])?;
    ensure!(ask()? == second);
    Ok(())
}

/// A node that is cut off keeps its connections where it is told to, and they go on when it is back; by
/// default they are cut.
#[test]
fn a_node_that_goes_down_keeps_its_connections_where_it_is_told_to() -> Result<()> {
    let lab = up()?;
    let quick = "interval = \"300ms\"\nfall = 2";
    for (on_node_down, kept) in [("keep", true), ("reset", false)] {
        let health = format!("{quick}\non_node_down = {on_node_down:?}");
        check(&lab, &health, "")?;
        wait_for(&lab, "access-443", "edge1", "up")?;
        let (mut on_edge1, mut stay): (Vec<_>, Vec<_>) = wait("both nodes", || {
            let connections = connect(&lab, vip::ACCESS)?;
            Ok((nodes(&connections).len() == 2).then_some(connections))
        })?
        .into_iter()
        .partition(|answered| answered.who.node == "edge1");
        let switch = lab.host(Host::Switch);
        switch.ip("link set ext-edge1 down\n")?;
        wait_for(&lab, "access-443", "edge1", "down")?;
        let left = flows(&lab, "access-443", "edge1")?;
        ensure!((left > 0) == kept, "{on_node_down}: {left} flows");
        ensure_alive(&lab, stay.iter_mut())?;
        if !kept {
            ensure_reset(&lab, &mut on_edge1)?;
        }
        switch.ip("link set ext-edge1 up\n")?;
        wait_for(&lab, "access-443", "edge1", "up")?;
        if kept {
            ensure_alive(&lab, on_edge1.iter_mut())?;
        }
    }
    Ok(())
}
