//! `edgelb flows` of a large table: all flows are there, and nobody has to wait for a client that does not read.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddrV4, UdpSocket},
    os::unix::net::UnixStream,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use lb_daemon::{api::Question, snapshot::FlowStatus};
use lb_tests::lab::{
    Lab,
    plan::{Arrangement, Host, NODES, Side, vip},
};

/// Clients with a flow each, many more than are read at a time: every other one is confirmed.
const CLIENTS: usize = 20_000;
const PORTS: u16 = 1000;
const MEDIA: SocketAddrV4 = SocketAddrV4::new(vip::AV, 3478);
/// Longer than anything takes here, and shorter than a flow is kept.
const PATIENCE: Duration = Duration::from_secs(30);

fn client(number: usize) -> SocketAddrV4 {
    // The numbers stay below those of the addresses and ports that there are.
    let (address, port) = (number / usize::from(PORTS), number % usize::from(PORTS));
    SocketAddrV4::new(
        Side::External.asker_address(address as u8),
        20_000 + port as u16,
    )
}

fn is_confirmed(number: usize) -> bool {
    number.is_multiple_of(2)
}

/// Opens flows of these clients.
fn open(lab: &Lab, clients: impl Iterator<Item = usize> + Send) -> Result<()> {
    lab.asker(Side::External).enter(|| {
        for number in clients {
            let socket = UdpSocket::bind(client(number))?;
            socket.connect(MEDIA)?;
            socket.send(b"question")?;
            if is_confirmed(number) {
                socket.set_read_timeout(Some(Duration::from_millis(200)))?;
                // A packet may be lost where so many come at once; who has no flow then asks again.
                if socket.recv(&mut [0; 64]).is_ok() {
                    socket.send(b"question")?;
                }
            }
        }
        Ok(())
    })?
}

/// Answers on both nodes while `work` goes on.
fn with_answers(lab: &Lab, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for (number, node) in NODES.iter().enumerate() {
            let bind = || UdpSocket::bind((node.av, MEDIA.port()));
            let socket = lab.host(Host::Edge(number)).enter(bind)??;
            socket.set_read_timeout(Some(Duration::from_millis(50)))?;
            let over = &over;
            scope.spawn(move || {
                let mut question = [0; 64];
                while !over.load(Ordering::Relaxed) {
                    if let Ok((length, from)) = socket.recv_from(&mut question) {
                        let _ = socket.send_to(&question[..length], from);
                    }
                }
            });
        }
        let outcome = work();
        over.store(true, Ordering::Relaxed);
        outcome
    })
}

/// The clients of flows in a state.
fn clients_of(flows: &[FlowStatus], state: &str) -> BTreeSet<SocketAddrV4> {
    let flows = flows.iter().filter(|flow| flow.state == state);
    flows.map(|flow| flow.client).collect()
}

#[test]
fn all_flows_are_shown_and_a_client_that_does_not_read_holds_nobody_up() -> Result<()> {
    let lab = Lab::up(Arrangement::TwoArm, |_| ())?;
    let instance = &lab.edgelb.instance;
    let wanted = |confirmed| -> BTreeSet<SocketAddrV4> {
        let numbers = (0..CLIENTS).filter(|number| is_confirmed(*number) == confirmed);
        numbers.map(client).collect()
    };
    let (confirmed, asked) = (wanted(true), wanted(false));
    with_answers(&lab, || {
        let begun = Instant::now();
        let mut missing: Vec<usize> = (0..CLIENTS).collect();
        while !missing.is_empty() {
            ensure!(begun.elapsed() < PATIENCE, "{} are missing", missing.len());
            open(&lab, missing.iter().copied())?;
            let flows = instance.flows()?;
            let established = clients_of(&flows, "established");
            let half_open = clients_of(&flows, "half-open");
            missing.retain(|number| {
                let client = client(*number);
                let seen = if is_confirmed(*number) {
                    &established
                } else {
                    &half_open
                };
                !seen.contains(&client)
            });
        }
        Ok(())
    })?;

    let mut stuck = UnixStream::connect(instance.control_socket())?;
    stuck.write_all(format!("{}\n", serde_json::to_string(&Question::Flows)?).as_bytes())?;
    thread::sleep(Duration::from_millis(500));
    // Whoever waits for it waits so long.
    let (over, hears) = mpsc::channel::<()>();
    let hang_up = {
        let stuck = stuck.try_clone()?;
        thread::spawn(move || {
            let _ = hears.recv_timeout(PATIENCE);
            stuck.shutdown(Shutdown::Both)
        })
    };
    let begun = Instant::now();
    // Once more, with somebody beside who takes nothing of it.
    let flows = instance.flows()?;
    ensure!(flows.len() == CLIENTS, "{} flows", flows.len());
    ensure!(clients_of(&flows, "established") == confirmed);
    ensure!(clients_of(&flows, "half-open") == asked);
    thread::sleep(Duration::from_secs(2));
    let counted = instance.status()?.flow_table;
    ensure!(
        counted.used == confirmed.len() as u64 && counted.half_open_used == asked.len() as u64,
        "{counted:?}"
    );
    ensure!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());

    // It was not given up either: what it was sent is still there for it.
    let mut waiting = [0; 64];
    ensure!(stuck.read(&mut waiting)? > 0);
    drop(over);
    ensure!(hang_up.join().is_ok());
    instance.status().map(drop)
}
