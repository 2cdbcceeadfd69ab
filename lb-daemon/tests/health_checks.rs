//! The tasks that ask, over loopback: how they connect and close, what they tell, and what a change of
//! the targets does to them.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lb_common::{
    net::{Protocol, Zone},
    service::FIRST_OWN_PORT,
};
use lb_daemon::{
    config::Check,
    health::{
        Change, Checks, Ways,
        target::{Key, Target},
        verdict::Thresholds,
    },
    network::Network,
};
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream, UdpSocket},
    sync::mpsc,
    time::timeout,
};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);
/// `lo` is the first interface of every namespace.
const LOOPBACK: u32 = 1;

fn key() -> Key {
    Key {
        service: "web".to_owned(),
        node: "a".to_owned(),
    }
}

fn target(address: SocketAddrV4, protocol: Protocol, check: Check) -> Target {
    Target {
        key: key(),
        address,
        protocol,
        vip: Ipv4Addr::LOCALHOST,
        zone: Zone::External,
        check,
        interval: Duration::from_millis(100),
        timeout: Duration::from_millis(50),
        thresholds: Thresholds {
            rise: 2,
            fall: 3,
            calm: Duration::ZERO,
        },
    }
}

fn checks() -> Result<(Checks, mpsc::Receiver<Change>)> {
    let (network, _) = Network::connect()?;
    let ways = Ways::new(network, vec![(LOOPBACK, Zone::External)]);
    let (tell, changes) = mpsc::channel(16);
    Ok((Checks::new(ways, tell), changes))
}

async fn listen() -> Result<(TcpListener, SocketAddrV4)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, listener.local_addr()?.port());
    Ok((listener, address))
}

async fn accept(listener: &TcpListener) -> Result<(TcpStream, u16)> {
    let (stream, from) = timeout(PATIENCE, listener.accept())
        .await
        .context("no check comes")??;
    Ok((stream, from.port()))
}

async fn next(changes: &mut mpsc::Receiver<Change>) -> Result<Change> {
    let change = timeout(PATIENCE, changes.recv()).await;
    change.context("no change comes")?.context("no task left")
}

fn set(checks: &mut Checks, targets: Vec<Target>) -> Result<()> {
    let prepared = checks.prepare(targets)?;
    checks.set(prepared);
    Ok(())
}

/// Waits until something is known of the target.
async fn until_checked(checks: &Checks) -> Result<()> {
    for _ in 0..200 {
        let report = checks.report(&key()).map(|(_, report)| report);
        if report.is_some_and(|report| report.checked.is_some()) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    anyhow::bail!("no check is over")
}

#[tokio::test]
async fn one_connection_at_a_time_from_a_port_of_the_machines_own_and_closed_with_fin() -> Result<()>
{
    let (mut checks, _changes) = checks()?;
    let (listener, address) = listen().await?;
    let mut eager = target(address, Protocol::Tcp, Check::Tcp);
    eager.interval = Duration::from_millis(20);
    eager.timeout = Duration::from_secs(1);
    set(&mut checks, vec![eager])?;
    let mut ports = Vec::new();
    for _ in 0..4 {
        let (mut stream, port) = accept(&listener).await?;
        ports.push(port);
        // Said late: what nobody waits for must not become a RST.
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"220 ready\r\n").await?;
        // No other connection comes while this one is open, although it is time for the next check.
        let other = timeout(Duration::from_millis(100), listener.accept()).await;
        ensure!(other.is_err(), "a second connection: {other:?}");
        let read = stream.read(&mut [0; 16]).await;
        ensure!(matches!(read, Ok(0)), "not closed by FIN: {read:?}");
    }
    ensure!(
        ports.iter().all(|port| *port >= FIRST_OWN_PORT),
        "{ports:?}"
    );
    ports.dedup();
    ensure!(ports.len() == 4, "a port came twice in a row: {ports:?}");
    ensure!(checks.answers(&key()));
    let (_, report) = checks.report(&key()).context("it is asked")?;
    ensure!(
        report.failure.is_none() && report.latency.is_some(),
        "{report:?}"
    );
    checks.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_node_that_refuses_is_down_at_once_and_up_again_after_rise_good_checks() -> Result<()> {
    let (mut checks, mut changes) = checks()?;
    let (listener, address) = listen().await?;
    drop(listener);
    ensure!(checks.answers(&key()), "who is not asked is healthy");
    set(
        &mut checks,
        vec![target(address, Protocol::Tcp, Check::Tcp)],
    )?;
    ensure!(checks.answers(&key()), "nothing is known yet");
    let change = next(&mut changes).await?;
    ensure!(!change.healthy && change.key == key(), "{change:?}");
    let reason = change.reason.unwrap_or_default();
    ensure!(reason.contains("Connection refused"), "{reason}");
    ensure!(!checks.answers(&key()));

    let _listener = TcpListener::bind(address).await?;
    let change = next(&mut changes).await?;
    ensure!(change.healthy && change.reason.is_none(), "{change:?}");
    let (_, report) = checks.report(&key()).context("it is asked")?;
    ensure!(report.failure.is_some(), "the last failure is kept");
    checks.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_node_that_is_silent_over_udp_is_down_and_says_why() -> Result<()> {
    let (mut checks, mut changes) = checks()?;
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, silent.local_addr()?.port());
    set(
        &mut checks,
        vec![target(address, Protocol::Udp, Check::MsTurn)],
    )?;
    let change = next(&mut changes).await?;
    let reason = change.reason.unwrap_or_default();
    ensure!(reason == "no answer within 50ms", "{reason}");
    let mut request = [0; 64];
    let (length, from) = silent.recv_from(&mut request).await?;
    ensure!(length == 28 && from.port() >= FIRST_OWN_PORT, "{from}");
    checks.stop().await;
    // Where nobody listens at all, the node's kernel says so.
    drop(silent);
    let (mut checks, mut changes) = self::checks()?;
    set(
        &mut checks,
        vec![target(address, Protocol::Udp, Check::Stun)],
    )?;
    let reason = next(&mut changes).await?.reason.unwrap_or_default();
    ensure!(reason.contains("Connection refused"), "{reason}");
    Ok(())
}

#[tokio::test]
async fn no_check_leaves_by_an_interface_of_the_other_side() -> Result<()> {
    let (mut checks, mut changes) = checks()?;
    let (listener, address) = listen().await?;
    let mut wrong = target(address, Protocol::Tcp, Check::Tcp);
    wrong.zone = Zone::Internal;
    set(&mut checks, vec![wrong])?;
    let reason = next(&mut changes).await?.reason.unwrap_or_default();
    ensure!(reason.contains("no route to it"), "{reason}");
    let come = timeout(Duration::from_millis(300), listener.accept()).await;
    ensure!(come.is_err(), "{come:?}");
    Ok(())
}

#[tokio::test]
async fn where_the_vip_is_not_on_this_machine_the_kernel_takes_another_address() -> Result<()> {
    let (mut checks, _changes) = checks()?;
    let (listener, address) = listen().await?;
    let mut target = target(address, Protocol::Tcp, Check::Tcp);
    target.vip = Ipv4Addr::new(203, 0, 113, 10);
    set(&mut checks, vec![target])?;
    let (stream, port) = accept(&listener).await?;
    ensure!(stream.peer_addr()?.ip() == Ipv4Addr::LOCALHOST && port >= FIRST_OWN_PORT);
    Ok(())
}

#[tokio::test]
async fn a_target_that_stays_keeps_its_task_and_its_state() -> Result<()> {
    let (mut checks, mut changes) = checks()?;
    let (listener, address) = listen().await?;
    drop(listener);
    let down = target(address, Protocol::Tcp, Check::Tcp);
    set(&mut checks, vec![down.clone()])?;
    next(&mut changes).await?;
    let since = |checks: &Checks| {
        let (_, report) = checks.report(&key()).context("it is asked")?;
        ensure!(!report.verdict.is_healthy());
        Ok(report.verdict.since())
    };
    let before = since(&checks)?;

    set(&mut checks, vec![down.clone()])?;
    ensure!(since(&checks)? == before, "the same target");
    let mut patient = down.clone();
    patient.interval = Duration::from_millis(200);
    set(&mut checks, vec![patient])?;
    ensure!(since(&checks)? == before, "asked more rarely");
    // Another place may have another state.
    let (_listener, elsewhere) = listen().await?;
    set(
        &mut checks,
        vec![target(elsewhere, Protocol::Tcp, Check::Tcp)],
    )?;
    ensure!(checks.answers(&key()));
    until_checked(&checks).await?;

    // A file that cannot be used changes nothing.
    let ca = Some("/nowhere/ca.pem".into());
    let tls = lb_daemon::config::Tls {
        server_name: None,
        ca,
    };
    let refused = set(
        &mut checks,
        vec![target(address, Protocol::Tcp, Check::Tls(tls))],
    );
    let refused = refused.expect_err("there is no such file");
    ensure!(
        format!("{refused:#}").contains("/nowhere/ca.pem"),
        "{refused:#}"
    );
    let (kept, _) = checks.report(&key()).context("it is still asked")?;
    ensure!(kept.check == Check::Tcp && kept.address == elsewhere);

    set(&mut checks, Vec::new())?;
    ensure!(checks.report(&key()).is_none());
    Ok(())
}

#[tokio::test]
async fn who_is_not_asked_any_more_hears_nothing_more() -> Result<()> {
    let (mut checks, _changes) = checks()?;
    let (listener, address) = listen().await?;
    set(
        &mut checks,
        vec![target(address, Protocol::Tcp, Check::Tcp)],
    )?;
    drop(accept(&listener).await?);
    checks.stop().await;
    // One may have been on its way.
    let mut more = 0;
    while let Ok(accepted) = timeout(Duration::from_millis(400), listener.accept()).await {
        let (mut stream, _) = accepted?;
        let read = stream.read(&mut [0; 1]).await;
        ensure!(!matches!(&read, Err(error) if error.kind() == ErrorKind::ConnectionReset));
        more += 1;
    }
    ensure!(more <= 1, "{more} checks after the end");
    Ok(())
}
