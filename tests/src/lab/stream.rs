//! Streams of numbered packets in both directions: what is lost or overtaken shows.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Socket, Type};

use super::{
    Lab,
    namespace::Namespace,
    plan::{Host, NODES, Side, vip},
};

/// Time between two packets of one direction.
const PACE: Duration = Duration::from_millis(1);
/// How long the last packets may be on their way.
const REST: Duration = Duration::from_millis(300);
/// How often a receiver looks whether it is over.
const POLL: Duration = Duration::from_millis(50);
/// Room for what a receiver is too slow for (bytes).
const BUFFER: usize = 8 << 20;
/// The service: A/V, where the node sees the client itself.
const PORT: u16 = 3478;

/// A stream of datagrams between a client and the node that answers at the A/V VIP.
pub struct Stream {
    running: Arc<AtomicBool>,
    receiving: Arc<AtomicBool>,
    client: JoinHandle<Result<u32>>,
    answers: JoinHandle<Result<Vec<u32>>>,
    nodes: Vec<JoinHandle<Result<Option<AtNode>>>>,
}

/// What a node has received, and sent of its own.
struct AtNode {
    received: Vec<u32>,
    sent: u32,
}

/// What came of a stream.
#[derive(Debug)]
pub struct Outcome {
    /// From the client to the node.
    pub to_node: Tally,
    /// From the node to the client.
    pub to_client: Tally,
}

/// What came of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Packets sent.
    pub sent: usize,
    /// Packets that never came.
    pub lost: usize,
    /// Packets that came after one that was sent later, or twice.
    pub out_of_order: usize,
    /// Most packets that were lost in a row.
    pub longest_gap: u32,
}

impl Tally {
    fn of(sent: u32, received: &[u32]) -> Self {
        let mut latest = None;
        let mut out_of_order = 0;
        let mut longest_gap = 0;
        for number in received {
            match latest {
                Some(latest) if *number <= latest => {
                    out_of_order += 1;
                    continue;
                }
                Some(latest) => longest_gap = longest_gap.max(*number - latest - 1),
                None => longest_gap = longest_gap.max(*number),
            }
            latest = Some(*number);
        }
        let end = latest.map_or(0, |latest| latest + 1);
        let mut distinct = received.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        Self {
            sent: sent as usize,
            lost: sent as usize - distinct.len(),
            out_of_order,
            longest_gap: longest_gap.max(sent - end),
        }
    }
}

impl Outcome {
    /// That everything has come, and in order.
    pub fn ensure_whole(&self) -> Result<()> {
        for (name, tally) in [("to node", self.to_node), ("to client", self.to_client)] {
            ensure!(
                tally.sent > 100 && tally.lost == 0 && tally.out_of_order == 0,
                "{name}: {tally:?}"
            );
        }
        Ok(())
    }
}

impl Stream {
    /// Starts a stream from an external client, and waits until it runs in both directions.
    pub fn start(lab: &Lab, from: u8) -> Result<Self> {
        let running = Arc::new(AtomicBool::new(true));
        let receiving = Arc::new(AtomicBool::new(true));
        let flowing = Arc::new(AtomicBool::new(false));
        let mut nodes = Vec::new();
        for (number, node) in NODES.iter().enumerate() {
            let socket = bind(lab.host(Host::Edge(number)), node.av, PORT)?;
            let (running, receiving) = (Arc::clone(&running), Arc::clone(&receiving));
            nodes.push(thread::spawn(move || serve(&socket, &running, &receiving)));
        }
        let address = Side::External.asker_address(from);
        let near = bind(lab.asker(Side::External), address, 0)?;
        near.connect(SocketAddrV4::new(vip::AV, PORT))?;
        let answers = {
            let near = near.try_clone()?;
            let (receiving, flowing) = (Arc::clone(&receiving), Arc::clone(&flowing));
            thread::spawn(move || {
                receive(&near, &receiving, |_| {
                    flowing.store(true, Ordering::Relaxed);
                })
            })
        };
        let client = {
            let running = Arc::clone(&running);
            thread::spawn(move || send(&near, None, &running))
        };
        let stream = Self {
            running,
            receiving,
            client,
            answers,
            nodes,
        };
        let begun = Instant::now();
        while !flowing.load(Ordering::Relaxed) {
            ensure!(
                begun.elapsed() < Duration::from_secs(5),
                "no packet of the stream comes back"
            );
            thread::sleep(POLL);
        }
        Ok(stream)
    }

    /// Ends it: what came of it.
    pub fn stop(self) -> Result<Outcome> {
        self.running.store(false, Ordering::Relaxed);
        thread::sleep(REST);
        self.receiving.store(false, Ordering::Relaxed);
        let to_node = join(self.client)?;
        let answers = join(self.answers)?;
        let mut served = Vec::new();
        for node in self.nodes {
            served.extend(join(node)?);
        }
        // More than one node where the flow has moved: then one direction has two senders.
        ensure!(served.len() == 1, "{} nodes were asked", served.len());
        let node = served.remove(0);
        Ok(Outcome {
            to_node: Tally::of(to_node, &node.received),
            to_client: Tally::of(node.sent, &answers),
        })
    }
}

fn join<T>(thread: JoinHandle<Result<T>>) -> Result<T> {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn bind(namespace: &Namespace, address: Ipv4Addr, port: u16) -> Result<UdpSocket> {
    namespace
        .enter(|| -> Result<UdpSocket> {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
            // Beyond what the machine allows by default: this is root.
            setsockopt(&socket, sockopt::RcvBufForce, &BUFFER)?;
            socket.bind(&SocketAddr::from((address, port)).into())?;
            socket.set_read_timeout(Some(POLL))?;
            Ok(socket.into())
        })?
        .with_context(|| format!("{address}:{port}"))
}

/// A node: receives, and sends packets of its own from the first that it has received on.
fn serve(
    socket: &UdpSocket,
    running: &Arc<AtomicBool>,
    receiving: &AtomicBool,
) -> Result<Option<AtNode>> {
    let mut sender = None;
    let received = receive(socket, receiving, |client| {
        if sender.is_none()
            && let Ok(socket) = socket.try_clone()
        {
            let running = Arc::clone(running);
            sender = Some(thread::spawn(move || send(&socket, Some(client), &running)));
        }
    })?;
    match sender {
        Some(sender) => Ok(Some(AtNode {
            received,
            sent: join(sender)?,
        })),
        None => Ok(None),
    }
}

fn receive(
    socket: &UdpSocket,
    receiving: &AtomicBool,
    mut heard: impl FnMut(SocketAddr),
) -> Result<Vec<u32>> {
    let mut numbers = Vec::new();
    let mut packet = [0; 4];
    while receiving.load(Ordering::Relaxed) {
        match socket.recv_from(&mut packet) {
            Ok((4, from)) => {
                numbers.push(u32::from_be_bytes(packet));
                heard(from);
            }
            Ok(_) => {}
            // Nothing for now; or an ICMP error, which says that a packet is lost: that will show.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::ConnectionRefused
                ) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(numbers)
}

/// Sends until it is over; returns how many packets.
fn send(socket: &UdpSocket, to: Option<SocketAddr>, running: &AtomicBool) -> Result<u32> {
    let mut number = 0_u32;
    while running.load(Ordering::Relaxed) {
        let packet = number.to_be_bytes();
        let sent = match to {
            Some(to) => socket.send_to(&packet, to),
            None => socket.send(&packet),
        };
        match sent {
            Ok(_) => number += 1,
            // The kernel reports an ICMP error for an earlier packet and has not sent this one.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error.into()),
        }
        thread::sleep(PACE);
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_or_overtaken_shows() {
        for (received, lost, out_of_order, longest_gap) in [
            (vec![0, 1, 2, 3, 4], 0, 0, 0),
            (vec![0, 2, 1, 3, 4], 0, 1, 1),
            (vec![0, 1, 1, 2, 3, 4], 0, 1, 0),
            (vec![0, 1, 4], 2, 0, 2),
            (vec![2, 3], 3, 0, 2),
            (vec![], 5, 0, 5),
        ] {
            let wanted = Tally {
                sent: 5,
                lost,
                out_of_order,
                longest_gap,
            };
            assert_eq!(Tally::of(5, &received), wanted, "{received:?}");
        }
    }
}
