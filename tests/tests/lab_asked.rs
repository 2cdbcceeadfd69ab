//! Rows EV7 and IV4, rules H3 and H4 on one socket: requests to the VIP and to the node it leads to, from
//! one and the same UDP socket, at random, with answers delayed and out of order.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use lb_tests::lab::{
    Lab,
    plan::{Arrangement, Host, NODES, Side, vip},
};

const PORT: u16 = 3478;
const REQUESTS: usize = 10_000;
/// Requests that wait for an answer at once.
const IN_FLIGHT: usize = 100;
/// Answers that a node holds back, to give them in another order.
const HELD_BACK: usize = 40;
/// After so long without an answer the client asks again.
const PATIENCE: Duration = Duration::from_millis(200);
/// Silences in a row after which the client gives up.
const SILENCES: u32 = 10;

/// Numbers that look random and are the same in every run (xorshift, Marsaglia 2003).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound as u64) as usize
    }
}

/// A request: every other one with the cookie of RFC 8489, the rest as MS-TURN has it.
fn request(number: usize, dice: &mut Dice) -> [u8; 20] {
    let mut message = [0; 20];
    message[1] = if number.is_multiple_of(2) { 0x01 } else { 0x03 };
    message[4..12].copy_from_slice(&dice.roll().to_be_bytes());
    message[12..20].copy_from_slice(&(number as u64).to_be_bytes());
    if number.is_multiple_of(2) {
        message[4..8].copy_from_slice(&0x2112_a442_u32.to_be_bytes());
    }
    message
}

/// Answers every request, later and in another order, until `done`.
fn answer(socket: &UdpSocket, done: &AtomicBool) -> Result<()> {
    let mut dice = Dice(7);
    let mut held: Vec<([u8; 20], SocketAddr)> = Vec::new();
    let mut buffer = [0; 64];
    socket.set_read_timeout(Some(Duration::from_millis(5)))?;
    while !done.load(Ordering::Relaxed) {
        let quiet = match socket.recv_from(&mut buffer) {
            Ok((20, from)) => {
                let mut message = [0; 20];
                message.copy_from_slice(&buffer[..20]);
                // A success response (RFC 8489, section 5).
                message[0] = 0x01;
                held.push((message, from));
                false
            }
            Ok((length, from)) => bail!("{length} bytes from {from}"),
            Err(_) => true,
        };
        while held.len() > HELD_BACK || (quiet && !held.is_empty()) {
            let (message, to) = held.swap_remove(dice.below(held.len()));
            socket.send_to(&message, to)?;
        }
    }
    Ok(())
}

/// What the client has asked and whom, by the request's number.
type Asked = HashMap<usize, (SocketAddrV4, [u8; 20])>;

/// Asks until every request is answered; the answers of whom it did not ask.
fn ask(socket: &UdpSocket, vip: SocketAddrV4, node: SocketAddrV4) -> Result<Vec<String>> {
    let mut dice = Dice(42);
    let mut waiting = Asked::new();
    let (mut next, mut silences, mut wrong) = (0, 0, Vec::new());
    socket.set_read_timeout(Some(PATIENCE))?;
    while next < REQUESTS || !waiting.is_empty() {
        while next < REQUESTS && waiting.len() < IN_FLIGHT {
            let to = if dice.roll() & 1 == 0 { vip } else { node };
            let message = request(next, &mut dice);
            socket.send_to(&message, to)?;
            waiting.insert(next, (to, message));
            next += 1;
        }
        let mut answer = [0; 64];
        if let Ok((20, from)) = socket.recv_from(&mut answer) {
            silences = 0;
            let mut number = [0; 8];
            number.copy_from_slice(&answer[12..20]);
            // A second answer to a repeated request is in nobody's way.
            if let Some((to, _)) = waiting.remove(&(u64::from_be_bytes(number) as usize))
                && from != SocketAddr::V4(to)
            {
                wrong.push(format!("asked {to}, answered by {from}"));
            }
        } else {
            silences += 1;
            ensure!(
                silences < SILENCES,
                "{} requests without an answer",
                waiting.len()
            );
            for (to, message) in waiting.values() {
                socket.send_to(message, to)?;
            }
        }
    }
    Ok(wrong)
}

/// The node that the VIP leads this socket to: the one that gets the request.
fn node_behind(client: &UdpSocket, vip: SocketAddrV4, nodes: &[UdpSocket]) -> Result<usize> {
    let message = request(0, &mut Dice(1));
    for _ in 0..SILENCES {
        client.send_to(&message, vip)?;
        for (number, node) in nodes.iter().enumerate() {
            node.set_read_timeout(Some(PATIENCE))?;
            if node.recv_from(&mut [0; 64]).is_ok() {
                return Ok(number);
            }
        }
    }
    bail!("{vip} leads to no node")
}

fn one_socket(lab: &Lab, side: Side, vip: Ipv4Addr) -> Result<()> {
    let at = |address| SocketAddrV4::new(address, PORT);
    let mut nodes = Vec::new();
    for (number, node) in NODES.iter().enumerate() {
        let address = node
            .behind(vip)
            .context("a VIP has an address on each node")?;
        let bound = lab
            .host(Host::Edge(number))
            .enter(|| UdpSocket::bind(at(address)))?;
        nodes.push(bound.with_context(|| address.to_string())?);
    }
    let client = lab
        .asker(side)
        .enter(|| UdpSocket::bind((side.asker_address(3), 40_000)))??;
    let chosen = node_behind(&client, at(vip), &nodes)?;
    let node = NODES[chosen].behind(vip).context("it has answered there")?;
    let done = AtomicBool::new(false);
    let wrong = thread::scope(|scope| {
        let answering = scope.spawn(|| answer(&nodes[chosen], &done));
        let wrong = ask(&client, at(vip), at(node));
        done.store(true, Ordering::Relaxed);
        match answering.join() {
            Ok(answered) => answered.and(wrong),
            Err(_) => bail!("the node's thread has panicked"),
        }
    })?;
    ensure!(
        wrong.is_empty(),
        "{vip}: {} of {REQUESTS} answers came from the wrong address, such as: {}",
        wrong.len(),
        wrong[0]
    );
    Ok(())
}

#[test]
fn ev7_iv4_h3_h4_ten_thousand_requests_of_one_socket_with_two_arms() -> Result<()> {
    let lab = Lab::up(Arrangement::TwoArm, |_| ())?;
    one_socket(&lab, Side::External, vip::AV)?;
    one_socket(&lab, Side::Internal, vip::INTERNAL)
}

#[test]
fn ev7_iv4_h3_h4_ten_thousand_requests_of_one_socket_with_one_arm() -> Result<()> {
    let lab = Lab::up(Arrangement::OneArm, |_| ())?;
    one_socket(&lab, Side::External, vip::AV)?;
    one_socket(&lab, Side::Internal, vip::INTERNAL)
}
