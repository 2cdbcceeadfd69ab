//! A node that drains keeps the clients that it has, for a while: A/V, whose clients come over UDP and TCP.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lb_tests::lab::{
    Lab,
    health::{check, node, wait, wait_for},
    plan::{Arrangement, Host, NODES, Side, vip},
};
use nix::sys::signal::Signal;
use socket2::{Domain, Socket, Type};

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// A lab whose nodes answer with their names on both ports of A/V.
fn up() -> Result<Lab> {
    let lab = Lab::up(Arrangement::TwoArm, |_| ())?;
    for (number, node) in NODES.iter().enumerate() {
        let sockets = lab.host(Host::Edge(number)).enter(|| -> Result<_> {
            let udp = UdpSocket::bind(SocketAddrV4::new(node.av, 3478))?;
            Ok((udp, TcpListener::bind(SocketAddrV4::new(node.av, 443))?))
        })??;
        let (udp, tcp) = sockets;
        thread::spawn(move || {
            let mut word = [0; 16];
            while let Ok((_, from)) = udp.recv_from(&mut word) {
                let _ = udp.send_to(node.name.as_bytes(), from);
            }
        });
        thread::spawn(move || {
            for mut stream in tcp.incoming().flatten() {
                let _ = stream.write_all(node.name.as_bytes());
            }
        });
    }
    Ok(lab)
}

/// A client with a flow over UDP.
struct Client {
    address: Ipv4Addr,
    socket: UdpSocket,
    node: String,
}

impl Client {
    /// Opens it, and confirms it.
    fn open(lab: &Lab, number: u8) -> Result<Self> {
        let address = Side::External.asker_address(number);
        let socket = lab.asker(Side::External).enter(|| socket(address))??;
        let node = ask(&socket)?;
        let client = Self {
            address,
            socket,
            node,
        };
        client.ensure_goes_on()?;
        Ok(client)
    }

    /// That its flow is where it was.
    fn ensure_goes_on(&self) -> Result<()> {
        let node = ask(&self.socket)?;
        ensure!(node == self.node, "{}: {node}", self.address);
        Ok(())
    }

    /// That new flows of either kind reach a node.
    fn ensure_finds(&self, lab: &Lab, node: &str) -> Result<()> {
        let (udp, tcp) = lab.asker(Side::External).enter(|| -> Result<_> {
            Ok((ask(&socket(self.address)?)?, connect(self.address)?))
        })??;
        ensure!(udp == node && tcp == node, "{}: {udp}, {tcp}", self.address);
        Ok(())
    }
}

fn socket(from: Ipv4Addr) -> Result<UdpSocket> {
    let socket = UdpSocket::bind((from, 0))?;
    socket.connect((vip::AV, 3478))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Who answers over UDP.
fn ask(socket: &UdpSocket) -> Result<String> {
    let mut word = [0; 16];
    socket.send(b"who")?;
    let length = socket.recv(&mut word).context("no answer over UDP")?;
    Ok(String::from_utf8_lossy(&word[..length]).into_owned())
}

/// Who answers over TCP.
fn connect(from: Ipv4Addr) -> Result<String> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddrV4::new(from, 0).into())?;
    socket.connect_timeout(&SocketAddrV4::new(vip::AV, 443).into(), PATIENCE)?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut name = String::new();
    stream
        .read_to_string(&mut name)
        .context("no answer over TCP")?;
    Ok(name)
}

/// Clients of the two nodes.
fn clients(lab: &Lab) -> Result<[Vec<Client>; 2]> {
    let clients = (0..16).map(|number| Client::open(lab, number));
    let clients: Vec<Client> = clients.collect::<Result<_>>()?;
    let (one, other): (Vec<_>, Vec<_>) = clients
        .into_iter()
        .partition(|client| client.node == "edge1");
    ensure!(!one.is_empty() && !other.is_empty());
    Ok([one, other])
}

/// That new flows of each of these reach a node.
fn ensure_find(lab: &Lab, clients: &[Client], node: &str) -> Result<()> {
    clients
        .iter()
        .try_for_each(|client| client.ensure_finds(lab, node))
}

fn stay(lab: &Lab, service: &str) -> Result<Option<u64>> {
    Ok(node(lab, service, "edge1")?.clients_stay_seconds)
}

#[test]
fn clients_stay_with_a_node_that_drains_until_drain_timeout_over_a_kill_too() -> Result<()> {
    let mut lab = up()?;
    check(&lab, "enabled = false\ndrain_timeout = 20", "")?;
    let [known, elsewhere] = clients(&lab)?;
    let told = lab.edgelb.instance.node("drain", &["edge1"])?;
    for service in ["av-3478", "av-443"] {
        let line = format!("service {service}: clients of node edge1 stay with it for 20s");
        ensure!(told.contains(&line), "{told}");
        let left = stay(&lab, service)?;
        ensure!(left.is_some_and(|left| left <= 20), "{left:?}");
    }
    ensure!(stay(&lab, "access-443")?.is_none());
    ensure_find(&lab, &known, "edge1")?;
    ensure_find(&lab, &elsewhere, "edge2")?;
    // Half of these would have gone to edge1.
    let new: Vec<Client> = (16..32)
        .map(|number| Client::open(&lab, number))
        .collect::<Result<_>>()?;
    ensure!(new.iter().all(|client| client.node == "edge2"));
    ensure_find(&lab, &new, "edge2")?;

    // Draining it once more changes nothing.
    let told = lab.edgelb.instance.node("drain", &["edge1"])?;
    ensure!(told.trim() == "nothing has changed", "{told}");

    ensure!(!lab.edgelb.stop(Signal::SIGKILL)?.success());
    ensure_find(&lab, &known, "edge1")?;
    lab.start_edgelb()?;
    ensure_find(&lab, &known, "edge1")?;
    ensure_find(&lab, &new, "edge2")?;
    let left = stay(&lab, "av-443")?.context("nobody stays after the restart")?;

    thread::sleep(Duration::from_secs(left));
    wait("the end of drain_timeout", || {
        Ok(stay(&lab, "av-443")?.is_none().then_some(()))
    })?;
    ensure_find(&lab, &known, "edge2")?;
    ensure!(node(&lab, "av-443", "edge1")?.state == "draining");
    // What was there is there still.
    known.iter().try_for_each(Client::ensure_goes_on)
}

#[test]
fn clients_stay_no_longer_with_a_node_that_is_enabled_disabled_or_down() -> Result<()> {
    let lab = up()?;
    let services = "[[health.services]]\nname = \"av-443\"\ncheck = \"tcp\"\n\
                    [[health.services]]\nname = \"av-3478\"\ncheck = \"none\"\ngate = \"443\"\n";
    check(&lab, "interval = \"300ms\"\nfall = 2", services)?;
    wait_for(&lab, "av-443", "edge1", "up")?;
    let [known, _] = clients(&lab)?;
    let instance = &lab.edgelb.instance;

    instance.node("drain", &["edge1"])?;
    ensure_find(&lab, &known, "edge1")?;
    let told = instance.node("disable", &["edge1"])?;
    let line = "service av-443: clients of node edge1 stay with it no longer";
    ensure!(told.contains(line), "{told}");
    ensure_find(&lab, &known, "edge2")?;

    // Back again, and with it those whom the hash leads there.
    instance.node("enable", &["edge1"])?;
    ensure_find(&lab, &known, "edge1")?;
    instance.node("drain", &["edge1", "--service", "av-443"])?;
    ensure!(stay(&lab, "av-443")?.is_some() && stay(&lab, "av-3478")?.is_none());
    ensure_find(&lab, &known, "edge1")?;
    instance.node("enable", &["edge1"])?;
    ensure!(stay(&lab, "av-443")?.is_none());

    instance.node("drain", &["edge1"])?;
    ensure_find(&lab, &known, "edge1")?;
    let switch = lab.host(Host::Switch);
    switch.ip("link set ext-edge1 down\n")?;
    wait("the end, as the node does not answer", || {
        let services = ["av-443", "av-3478"].map(|service| stay(&lab, service));
        let [one, other] = services;
        Ok((one?.is_none() && other?.is_none()).then_some(()))
    })?;
    ensure_find(&lab, &known, "edge2")?;
    switch.ip("link set ext-edge1 up\n")?;
    wait("the checks are good again", || {
        let health = node(&lab, "av-443", "edge1")?.health;
        Ok(health.is_some_and(|health| health.healthy).then_some(()))
    })?;
    ensure_find(&lab, &known, "edge2")
}
