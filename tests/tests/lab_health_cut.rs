//! A node that is cut off: when the last new flow goes to it, and that it comes back.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, SocketAddrV4},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lb_tests::lab::{
    Lab,
    clients::{Connection, Question, ask_all},
    health::{check, health, wait, wait_for},
    namespace::Namespace,
    plan::{Arrangement, Host, NODES, Side, vip},
};
use nix::libc;
use socket2::{Domain, Socket, Type};

/// The case of the issue. Flows are kept, so that it can be told afterwards where they went.
const QUICK: &str = "interval = \"500ms\"\nfall = 2\non_node_down = \"keep\"";
/// From this time after the cut on, no new flow goes to the node.
const NOTICED: Duration = Duration::from_millis(1500);
/// Time between two new flows.
const PACE: Duration = Duration::from_millis(10);

/// A client that has asked to connect, and when.
struct Opened {
    _socket: Socket,
    client: SocketAddr,
    at: Instant,
}

/// Opens a flow every [`PACE`] until it is over. None waits for an answer.
fn open_flows(clients: &Namespace, running: &AtomicBool) -> Result<Vec<Opened>> {
    clients.enter(|| {
        let mut opened = Vec::new();
        let from = SocketAddr::from((Side::External.asker_address(0), 0));
        let to = SocketAddr::from((vip::ACCESS, 443));
        while running.load(Ordering::Relaxed) {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.set_nonblocking(true)?;
            socket.bind(&from.into())?;
            let at = Instant::now();
            match socket.connect(&to.into()) {
                Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
                other => other.context("a connection at once")?,
            }
            let client = socket.local_addr()?.as_socket().context("it is IPv4")?;
            opened.push(Opened {
                _socket: socket,
                client,
                at,
            });
            thread::sleep(PACE);
        }
        Ok(opened)
    })?
}

/// The node of each client's flow.
fn nodes(lab: &Lab) -> Result<BTreeMap<SocketAddr, String>> {
    let flows = lab.edgelb.instance.flows()?.into_iter();
    Ok(flows
        .filter(|flow| flow.service == "access-443")
        .map(|flow| (SocketAddr::V4(flow.client), flow.node))
        .collect())
}

fn cut_off(arrangement: Arrangement) -> Result<()> {
    let lab = Lab::up(arrangement, |_| ())?;
    check(&lab, QUICK, "")?;
    for node in &NODES {
        ensure!(health(&lab, "access-443", node.name)?.healthy);
    }
    // Connections that are there already, to both nodes.
    let questions: Vec<Question> = (1..9)
        .map(|number| Question {
            from: Side::External.asker_address(number),
            to: SocketAddrV4::new(vip::ACCESS, 443),
        })
        .collect();
    let asked = ask_all(
        lab.asker(Side::External),
        &lab.tls,
        &questions,
        Duration::ZERO,
    )?;
    let asked = asked.into_iter().collect::<Result<Vec<_>>>()?;

    let running = AtomicBool::new(true);
    let (cut, opened) = thread::scope(|scope| -> Result<_> {
        let opening = scope.spawn(|| open_flows(lab.asker(Side::External), &running));
        thread::sleep(Duration::from_millis(500));
        lab.host(Host::Switch).ip("link set ext-edge1 down\n")?;
        let cut = Instant::now();
        let outcome = wait_for(&lab, "access-443", "edge1", "down");
        thread::sleep(
            (cut + NOTICED + Duration::from_secs(1)).saturating_duration_since(Instant::now()),
        );
        running.store(false, Ordering::Relaxed);
        let opened = opening
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        outcome?;
        Ok((cut, opened))
    })?;

    let nodes = nodes(&lab)?;
    let to_cut: Vec<&Opened> = opened
        .iter()
        .filter(|flow| nodes.get(&flow.client).is_some_and(|node| node == "edge1"))
        .collect();
    ensure!(
        opened.iter().all(|flow| nodes.contains_key(&flow.client)),
        "a client without a flow: {} of {}",
        nodes.len(),
        opened.len()
    );
    let before = to_cut.iter().filter(|flow| flow.at < cut).count();
    let last = to_cut.iter().map(|flow| flow.at).max().context("no flow")?;
    let last = last.checked_duration_since(cut).context(
        "no flow went to the node after it was cut off: the test has not seen what it is for",
    )?;
    ensure!(before > 0, "no flow went to the node before");
    let after = opened.iter().filter(|flow| flow.at > cut + NOTICED).count();
    ensure!(after > 30, "only {after} flows after {NOTICED:?}");
    ensure!(
        last < NOTICED,
        "a flow went to the node {last:?} after the cut"
    );

    // Whom it does not concern has not noticed.
    for answered in asked {
        let mut connection = answered.connection;
        if answered.who.node == "edge2" {
            connection.who()?;
        }
    }
    lab.host(Host::Switch).ip("link set ext-edge1 up\n")?;
    wait_for(&lab, "access-443", "edge1", "up")?;
    let tls = &lab.tls;
    wait("a new flow to the node that is back", || {
        let who = lab.asker(Side::External).enter(|| {
            let to = SocketAddrV4::new(vip::ACCESS, 443);
            Connection::open(Side::External.asker_address(9), to, tls)?.who()
        })??;
        Ok((who.node == "edge1").then_some(()))
    })
}

#[test]
fn a_node_that_is_cut_off_takes_no_new_flow_after_a_second_and_a_half_two_arm() -> Result<()> {
    cut_off(Arrangement::TwoArm)
}

#[test]
fn a_node_that_is_cut_off_takes_no_new_flow_after_a_second_and_a_half_one_arm() -> Result<()> {
    cut_off(Arrangement::OneArm)
}
