//! The load: clients that come and go, clients that stay, and a stream of numbered packets.

use std::{
    collections::BTreeMap,
    net::{SocketAddrV4, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::Result;
use rustls::ClientConfig;

use super::new_flows;
use crate::lab::{
    Lab,
    clients::{Connection, was_reset},
    namespace::Entrance,
    plan::{Host, NODES, Side, vip},
};

/// Clients that open connections at the same time.
const OPENERS: u8 = 4;
/// Connections that are held.
const HELD: u8 = 40;
/// Time between two rounds of the connections that are held: nginx closes one after 1000 questions.
const ROUND: Duration = Duration::from_millis(50);
/// Clients of the streams, so that each node has some.
const STREAMS: u8 = 4;
/// Time between two packets of each stream.
const PACE: Duration = Duration::from_millis(4);
/// How long a packet, or the opening of a connection, may be on its way.
pub const ON_THE_WAY: Duration = Duration::from_millis(300);
/// What is asked.
pub(super) const ACCESS: SocketAddrV4 = SocketAddrV4::new(vip::ACCESS, 443);
const AV: SocketAddrV4 = SocketAddrV4::new(vip::AV, 3478);

/// What clients noticed.
#[derive(Clone, Debug, Default)]
pub struct Noticed {
    /// New connections.
    pub opened: u32,
    /// When each node got its last new flow, answered or not.
    pub(super) last: BTreeMap<String, Instant>,
    /// Connections that were held and have been reset.
    pub reset: u32,
    /// Connections that were held and have ended in any other way.
    pub lost: u32,
    /// Packets of the stream.
    pub packets: u32,
    answered: u32,
}

impl Noticed {
    /// Packets that were not answered.
    pub fn packets_lost(&self) -> u32 {
        self.packets.saturating_sub(self.answered)
    }

    /// When a node got its last new flow.
    pub fn last_flow_to(&self, node: &str) -> Option<Instant> {
        self.last.get(node).copied()
    }
}

/// The load; it ends when this is dropped, too.
pub struct Load {
    running: Arc<AtomicBool>,
    sending: Arc<AtomicBool>,
    noticed: Arc<Mutex<Noticed>>,
    failures: Arc<Mutex<Vec<Instant>>>,
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Load {
    /// Starts it.
    pub fn start(lab: &Lab) -> Result<Self> {
        let mut load = Self {
            running: Arc::new(AtomicBool::new(true)),
            sending: Arc::new(AtomicBool::new(true)),
            noticed: Arc::default(),
            failures: Arc::default(),
            threads: Vec::new(),
        };
        let clients = lab.asker(Side::External).entrance()?;
        for number in 0..OPENERS {
            let (clients, tls) = (clients.try_clone()?, Arc::clone(&lab.tls));
            load.spawn(clients, move |load| {
                open(load, 60 + number, &tls);
                Ok(())
            });
        }
        let (holder, tls) = (clients.try_clone()?, Arc::clone(&lab.tls));
        load.spawn(holder, move |load| {
            hold(load, &tls);
            Ok(())
        });
        let opener = clients.try_clone()?;
        load.spawn(opener, |load| new_flows::open(load, 70));
        let (watcher, edgelb) = (clients.try_clone()?, lab.edgelb.instance.clone());
        load.spawn(watcher, move |load| {
            new_flows::watch(load, &edgelb);
            Ok(())
        });
        for (number, node) in NODES.iter().enumerate() {
            let socket = lab
                .host(Host::Edge(number))
                .enter(|| UdpSocket::bind((node.av, AV.port())))??;
            let host = lab.host(Host::Edge(number)).entrance()?;
            load.spawn(host, move |load| echo(load, &socket));
        }
        load.spawn(clients, stream);
        Ok(load)
    }

    fn spawn(
        &mut self,
        place: Entrance,
        work: impl FnOnce(&Shared) -> Result<()> + Send + 'static,
    ) {
        let shared = Shared {
            running: Arc::clone(&self.running),
            sending: Arc::clone(&self.sending),
            noticed: Arc::clone(&self.noticed),
            failures: Arc::clone(&self.failures),
        };
        self.threads.push(thread::spawn(move || {
            place.enter()?;
            work(&shared)
        }));
    }

    /// From here on counts anew.
    pub fn begin(&mut self) {
        *lock(&self.noticed) = Noticed::default();
        self.sending.store(true, Ordering::Relaxed);
    }

    /// What has been noticed since. The stream rests until everything is back that will come back.
    pub fn end(&mut self) -> Noticed {
        self.sending.store(false, Ordering::Relaxed);
        thread::sleep(ON_THE_WAY);
        lock(&self.noticed).clone()
    }

    /// Ends it: when new connections were asked for that did not come about. One may wait for long.
    pub fn stop(mut self) -> Result<Vec<Instant>> {
        self.running.store(false, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok(lock(&self.failures).clone())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.running.store(false, Ordering::Relaxed);
    }
}

/// What the threads share.
pub(super) struct Shared {
    running: Arc<AtomicBool>,
    sending: Arc<AtomicBool>,
    pub(super) noticed: Arc<Mutex<Noticed>>,
    failures: Arc<Mutex<Vec<Instant>>>,
}

impl Shared {
    pub(super) fn runs(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }
}

pub(super) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens one connection after the other.
fn open(load: &Shared, client: u8, tls: &Arc<ClientConfig>) {
    let from = Side::External.asker_address(client);
    while load.runs() {
        let begun = Instant::now();
        match Connection::open(from, ACCESS, tls).and_then(|mut connection| connection.who()) {
            Ok(_) => lock(&load.noticed).opened += 1,
            Err(_) => lock(&load.failures).push(begun),
        }
    }
}

/// Asks on every connection in turn, and opens another for one that has ended.
fn hold(load: &Shared, tls: &Arc<ClientConfig>) {
    let connect = |client: u8| {
        let from = Side::External.asker_address(100 + client);
        let mut connection = Connection::open(from, ACCESS, tls).ok()?;
        connection.who().ok().map(|_| connection)
    };
    let mut held: Vec<Option<Connection>> = (0..HELD).map(connect).collect();
    while load.runs() {
        for (client, place) in (0..).zip(&mut held) {
            let Some(connection) = place else {
                *place = connect(client);
                continue;
            };
            if let Err(error) = connection.who() {
                let mut noticed = lock(&load.noticed);
                if was_reset(&error) {
                    noticed.reset += 1;
                } else {
                    noticed.lost += 1;
                }
                *place = None;
            }
        }
        thread::sleep(ROUND);
    }
}

/// A node that sends back what it gets.
fn echo(load: &Shared, socket: &UdpSocket) -> Result<()> {
    socket.set_read_timeout(Some(ON_THE_WAY))?;
    let mut packet = [0; 64];
    while load.runs() {
        if let Ok((length, from)) = socket.recv_from(&mut packet) {
            // A node that is cut off cannot answer; that is what the lab shows.
            let _ = socket.send_to(&packet[..length], from);
        }
    }
    Ok(())
}

/// Sends numbered packets and counts the answers.
fn stream(load: &Shared) -> Result<()> {
    let mut sockets = Vec::new();
    for client in 0..STREAMS {
        let socket = UdpSocket::bind((Side::External.asker_address(90 + client), 0))?;
        socket.connect(AV)?;
        socket.set_nonblocking(true)?;
        sockets.push(socket);
    }
    let mut packet = [0; 64];
    let mut number = 0_u32;
    while load.runs() {
        number += 1;
        for socket in &sockets {
            if load.sending.load(Ordering::Relaxed) {
                // An error is one of an earlier packet, which will be missed.
                let _ = socket.send(&number.to_be_bytes());
                lock(&load.noticed).packets += 1;
            }
            while socket.recv(&mut packet).is_ok() {
                lock(&load.noticed).answered += 1;
            }
        }
        thread::sleep(PACE);
    }
    Ok(())
}
