//! Idle flows go, and their ports come back; busy ones stay.

use std::{
    net::SocketAddrV4,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use lb_daemon::snapshot::FlowStatus;
use lb_tests::lab::{
    Lab,
    clients::Connection,
    edgelb::{self, Edgelb, Instance},
    plan::{Arrangement, Host, Side, vip},
};

/// Short times, one node, and as few ports as there are connections: the second round of connections
/// finds one only when those of the first have come back.
const SHORT: &str = "
[timeouts]
tcp_established = 4
tcp_half_open = 2
tcp_closing = 2
[limits]
snat_ports = \"2000-2003\"
";

const CLIENTS: u8 = 4;

#[test]
fn idle_flows_go_with_their_ports_and_busy_ones_stay() -> Result<()> {
    let mut lab = Lab::up(Arrangement::TwoArm, |_| ())?;
    lab.end_edgelb()?;
    let config = edgelb::config(Arrangement::TwoArm);
    let one_node: Vec<&str> = config.split("[[nodes]]").take(2).collect();
    let config = one_node.join("[[nodes]]") + SHORT;
    let instance = Instance::create(&lab.folder, "short", &config)?;
    lab.edgelb = Edgelb::start(instance, lab.host(Host::Balancer))?;

    let (mut first, open) = connect(&lab)?;
    ensure!(open.len() == usize::from(CLIENTS), "{open:#?}");
    ensure!(
        open.iter().all(|flow| flow.state == "established"),
        "{open:#?}"
    );

    // One client goes on talking, for longer than an idle flow is kept.
    let busy = &mut first[0];
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(7) {
        busy.who()?;
        thread::sleep(Duration::from_millis(500));
    }
    let left = flows(&lab)?;
    ensure!(left.len() == 1, "{left:#?}");
    ensure!(left[0].client == busy.client, "{left:#?}");
    ensure!(
        left[0].age_seconds >= 7 && left[0].idle_seconds <= 1,
        "{left:#?}"
    );

    // Closed flows go sooner than quiet ones.
    drop(first);
    thread::sleep(Duration::from_millis(3500));
    let left = flows(&lab)?;
    ensure!(left.is_empty(), "{left:#?}");

    // Every port was used; all of them are free again. The node still holds connections on three of
    // them, which the clients' kernels reset when it says so.
    let (_second, open) = connect(&lab)?;
    ensure!(open.len() == usize::from(CLIENTS), "{open:#?}");
    Ok(())
}

/// Opens the connections; returns them and the flows that edgelb has of them.
fn connect(lab: &Lab) -> Result<(Vec<Connection>, Vec<FlowStatus>)> {
    let vip = SocketAddrV4::new(vip::ACCESS, 443);
    let connections = lab.asker(Side::External).enter(|| {
        (0..CLIENTS)
            .map(|number| Connection::open(Side::External.asker_address(number), vip, &lab.tls))
            .collect::<Result<Vec<_>>>()
    })??;
    Ok((connections, flows(lab)?))
}

fn flows(lab: &Lab) -> Result<Vec<FlowStatus>> {
    lab.edgelb.instance.flows()
}
