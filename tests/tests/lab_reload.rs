//! A configuration that changes under load: who is not concerned does not notice.

use std::{
    collections::BTreeMap,
    net::SocketAddrV4,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use lb_daemon::snapshot::FlowStatus;
use lb_tests::lab::{
    Lab,
    clients::{Answered, Connection, Question, ask_all},
    edgelb,
    namespace::run,
    plan::{Arrangement, Host, NODES, Side, vip},
    stream::Stream,
};
use nix::sys::signal::Signal;

/// Connections that are open while the configuration changes.
const LIVE: u16 = 1000;

/// A third node. It is not there: no connection is opened while it is configured.
const THIRD: &str = "[[nodes]]\nname = \"edge3\"\naccess = \"203.0.113.13\"\n\
    webconf = \"203.0.113.23\"\nav = \"203.0.113.33\"\ninternal = \"10.20.0.13\"\n";

/// A service with a VIP of its own.
const SERVICE: &str = "[[services]]\nname = \"web\"\nlisten = \"203.0.113.40:443/tcp\"\n\
    treatment = \"snat\"\nnodes = [{ name = \"edge1\", address = \"203.0.113.11:443\" }]\n";

fn connect(lab: &Lab, count: u16) -> Result<Vec<Answered>> {
    let questions: Vec<Question> = (0..count)
        .map(|number| Question {
            from: Side::External.asker_address((number % 100) as u8),
            to: SocketAddrV4::new(vip::ACCESS, 443),
        })
        .collect();
    let clients = lab.asker(Side::External);
    let answers = ask_all(clients, &lab.tls, &questions, Duration::ZERO)?;
    answers.into_iter().collect()
}

/// That every connection still leads to the node that it led to.
fn ensure_alive(lab: &Lab, connections: &mut [Answered]) -> Result<()> {
    lab.asker(Side::External).enter(|| {
        for answered in connections {
            let now = answered.connection.who()?;
            let (node, saw) = (&answered.who.node, answered.who.saw);
            ensure!(
                now.node == *node && now.saw == saw,
                "{node} {saw}, now {now:?}"
            );
        }
        Ok(())
    })?
}

/// Service, node and source of each flow, by its client.
fn flows(lab: &Lab) -> Result<BTreeMap<SocketAddrV4, (String, String, SocketAddrV4)>> {
    let flows = lab.edgelb.instance.flows()?;
    let of = |flow: FlowStatus| (flow.client, (flow.service, flow.node, flow.source));
    Ok(flows.into_iter().map(of).collect())
}

fn addresses(lab: &Lab) -> Result<String> {
    let name = lab.host(Host::Balancer).name();
    run(Command::new("ip").args(["-n", name, "-details", "address", "show"]))
}

/// Services and nodes before, behind and between the others, their weights and VIPs: 1,000 connections
/// and a stream of packets go on as if nothing had happened.
#[test]
fn changes_elsewhere_are_not_noticed_by_a_thousand_connections_and_a_stream() -> Result<()> {
    let lab = Lab::up(Arrangement::TwoArm, |_| ())?;
    let instance = &lab.edgelb.instance;
    let mut connections = connect(&lab, LIVE)?;
    let stream = Stream::start(&lab, 200)?;
    let known = flows(&lab)?;
    ensure!(
        known.len() == usize::from(LIVE) + 1,
        "{} flows",
        known.len()
    );

    let usual = edgelb::config(lab.arrangement);
    let lighter = usual.replacen("[[nodes]]", "[[nodes]]\nweight = 10", 1);
    let (head, nodes) = usual.split_at(usual.find("[[nodes]]").unwrap_or(usual.len()));
    let no_xmpp = usual.replacen("[pool]", "[pool]\nxmpp = false", 1);
    for (config, told) in [
        (lighter, "node edge1: weight 10, was 100"),
        (format!("{head}{THIRD}{nodes}"), "node edge3 added"),
        (format!("{usual}{SERVICE}"), "VIP 203.0.113.40 added"),
        // Its service comes before most others in the plan.
        (
            no_xmpp,
            "service access-5269 (203.0.113.10:5269/tcp) removed",
        ),
        (
            usual.clone(),
            "service access-5269 (203.0.113.10:5269/tcp) added",
        ),
    ] {
        instance.configure(&config)?;
        let printed = instance.reload()?;
        ensure!(printed.contains(told), "{printed}");
        // Long enough for what is gone to be freed, and to be given to what comes next.
        thread::sleep(Duration::from_millis(2500));
        ensure!(flows(&lab)? == known, "{printed}");
    }
    ensure!(instance.reload()?.trim() == "nothing has changed");

    ensure_alive(&lab, &mut connections)?;
    stream.stop()?.ensure_whole()?;
    // As many new ones, over services that have been moved about.
    connect(&lab, 50)?;
    Ok(())
}

/// A removed node's flows end; those of the other node do not notice, and neither does anybody when it
/// comes back.
#[test]
fn a_removed_node_takes_its_own_flows_along_and_no_others() -> Result<()> {
    let lab = Lab::up(Arrangement::OneArm, |_| ())?;
    let instance = &lab.edgelb.instance;
    let (mut stay, gone): (Vec<_>, Vec<_>) = connect(&lab, 100)?
        .into_iter()
        .partition(|answered| answered.who.node == NODES[0].name);
    ensure!(
        !stay.is_empty() && !gone.is_empty(),
        "one node has them all"
    );
    let usual = edgelb::config(lab.arrangement);
    let (one_node, _) = usual.split_at(usual.rfind("[[nodes]]").unwrap_or(usual.len()));

    instance.configure(one_node)?;
    let printed = instance.reload()?;
    ensure!(
        printed.contains("node edge2 removed (access-443, "),
        "{printed}"
    );
    let left = flows(&lab)?;
    ensure!(left.len() == stay.len(), "{left:#?}");
    ensure!(
        left.values().all(|(_, node, _)| node == NODES[0].name),
        "{left:#?}"
    );
    ensure_alive(&lab, &mut stay)?;
    ensure!(
        connect(&lab, 20)?
            .iter()
            .all(|answered| answered.who.node == NODES[0].name),
        "a new connection to a node that is gone"
    );

    thread::sleep(Duration::from_millis(2500));
    let forwarded = instance.status()?.packets.forwarded;
    instance.configure(&usual)?;
    instance.reload()?;
    let status = instance.status()?;
    ensure!(
        status.packets.forwarded >= forwarded,
        "what was counted is lost"
    );
    let access = &status.services[0];
    ensure!(access.nodes[1].opened == 0, "{access:#?}");
    ensure_alive(&lab, &mut stay)?;
    ensure!(
        connect(&lab, 50)?
            .iter()
            .any(|answered| answered.who.node == NODES[1].name),
        "no new connection to a node that has come back"
    );
    Ok(())
}

#[test]
fn vips_and_interfaces_come_and_go() -> Result<()> {
    let lab = Lab::up(Arrangement::TwoArm, |_| ())?;
    let instance = &lab.edgelb.instance;
    let balancer = lab.host(Host::Balancer);
    balancer.ip(
        "link add spare0 type veth peer name spare1\nlink set spare0 up\nlink set spare1 up\n",
    )?;
    let mut connections = connect(&lab, 20)?;
    let usual = edgelb::config(lab.arrangement);
    let more = format!("{usual}{SERVICE}").replacen("\"ext1\"]", "\"ext1\", \"spare0\"]", 1);

    instance.configure(&more)?;
    let printed = instance.reload()?;
    ensure!(
        printed.contains("interface spare0 (external) added"),
        "{printed}"
    );
    let found = addresses(&lab)?;
    ensure!(found.contains("203.0.113.40/32"), "{found}");
    ensure!(found.matches("prog/xdp").count() == 5, "{found}");
    let asked = SocketAddrV4::new("203.0.113.40".parse()?, 443);
    let opened = lab
        .asker(Side::External)
        .enter(|| Connection::open(Side::External.asker_address(3), asked, &lab.tls))?;
    ensure!(opened.is_ok(), "the new service does not answer");

    instance.configure(&usual)?;
    // The same by a signal, which gives no answer.
    lab.edgelb.signal(Signal::SIGHUP)?;
    let begun = Instant::now();
    while addresses(&lab)?.contains("203.0.113.40/32") || instance.status()?.interfaces.len() == 5 {
        ensure!(
            begun.elapsed() < Duration::from_secs(5),
            "{}",
            lab.edgelb.log()
        );
        thread::sleep(Duration::from_millis(20));
    }
    let found = addresses(&lab)?;
    ensure!(found.matches("prog/xdp").count() == 4, "{found}");
    ensure_alive(&lab, &mut connections)
}

/// Each of these is refused with the reason, and what runs goes on as it was.
#[test]
fn a_configuration_that_cannot_be_applied_changes_nothing() -> Result<()> {
    let lab = Lab::up(Arrangement::TwoArm, |_| ())?;
    let instance = &lab.edgelb.instance;
    let mut connections = connect(&lab, 20)?;
    let usual = edgelb::config(lab.arrangement);
    let before = (
        flows(&lab)?,
        addresses(&lab)?,
        instance.status()?.services.len(),
    );
    let router = Side::External.networks().transit_router;
    for (config, what) in [
        (usual.replacen("webconf =", "webcnof =", 1), "webcnof"),
        (
            format!("{usual}[limits]\nmax_flows = 1000\n"),
            "limits.max_flows: 1000",
        ),
        (
            usual.replacen("\"ext1\"]", "\"ext1\", \"ext7\"]", 1),
            "ext7",
        ),
        // A new node, and a VIP that somebody else has: not even the node is there afterwards.
        (
            format!(
                "{usual}{THIRD}{}",
                SERVICE.replace("203.0.113.40", &router.to_string())
            ),
            "already in use in the network",
        ),
    ] {
        instance.configure(&config)?;
        let Err(error) = instance.reload() else {
            anyhow::bail!("{what}: accepted");
        };
        let error = format!("{error:#}");
        ensure!(error.contains(what), "{error}");
        let after = (
            flows(&lab)?,
            addresses(&lab)?,
            instance.status()?.services.len(),
        );
        ensure!(after == before, "{what}");
        ensure_alive(&lab, &mut connections)?;
    }
    // A signal has no answer: the log has.
    lab.edgelb.signal(Signal::SIGHUP)?;
    thread::sleep(Duration::from_secs(1));
    let log = lab.edgelb.log();
    ensure!(
        log.matches("not reloaded, everything is as it was").count() == 5,
        "{log}"
    );
    Ok(())
}
