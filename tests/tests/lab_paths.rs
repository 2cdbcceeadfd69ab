//! What a packet meets besides the rows: the other side (H13), a node as client of its own pool, large
//! datagrams, and a load balancer that was replaced under a connection. Over the real network, in both
//! arrangements.

use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use lb_tests::lab::{
    Lab,
    clients::{Connection, was_reset},
    namespace::Namespace,
    plan::{Arrangement, Host, NODES, Side, vip},
};

const PATIENCE: Duration = Duration::from_secs(5);
/// Long enough for an answer that does not come.
const SILENCE: Duration = Duration::from_millis(300);
/// A datagram of three fragments.
const LARGE: usize = 4000;

/// Who drops packets that nobody may route.
fn not_routed(lab: &Lab) -> Result<u64> {
    let drops = lab.edgelb.instance.status()?.drops;
    let drop = drops.iter().find(|drop| drop.reason == "not-routed");
    Ok(drop.map_or(0, |drop| drop.packets))
}

/// Nothing of any protocol comes from `from` to `to`, which listens.
fn nothing_passes(
    (client, from): (&Namespace, Ipv4Addr),
    (server, to): (&Namespace, Ipv4Addr),
) -> Result<()> {
    let heard = server.enter(|| -> Result<UdpSocket> {
        let socket = UdpSocket::bind((to, 3478))?;
        socket.set_read_timeout(Some(SILENCE))?;
        Ok(socket)
    })??;
    let listener = server.enter(|| std::net::TcpListener::bind((to, 5061)))??;
    let connected = client.enter(|| -> Result<bool> {
        let socket = UdpSocket::bind((from, 0))?;
        socket.send_to(b"across", (to, 3478))?;
        let at = SocketAddr::from((to, 5061));
        Ok(TcpStream::connect_timeout(&at, SILENCE).is_ok())
    })??;
    drop(listener);
    let pinged = client
        .command("/usr/bin/ping")?
        .args(["-c1", "-W1", "-I", &from.to_string(), &to.to_string()])
        .output()
        .context("ping")?;
    ensure!(!connected, "TCP from {from} to {to} passes");
    ensure!(
        heard.recv(&mut [0; 16]).is_err(),
        "UDP from {from} to {to} passes"
    );
    ensure!(!pinged.status.success(), "ICMP from {from} to {to} passes");
    Ok(())
}

/// Even where an administrator has let the kernel forward: it would, and XDP is before it.
#[test]
fn h13_nothing_crosses_by_the_kernels_own_forwarding() -> Result<()> {
    let lab = Lab::up(Arrangement::TwoArm, |_| ())?;
    let (clients, front_end) = (lab.host(Host::Clients), lab.host(Host::FrontEnd));
    lab.host(Host::Balancer)
        .sysctl(&[("net/ipv4/ip_forward", "1")])?;
    let [outside, inside] = [Side::External, Side::Internal].map(Side::networks);
    // Both routers believe that the other side is behind edgelb.
    lab.host(Host::Router).ip(&format!(
        "route add {} via {}\n",
        inside.beyond, outside.transit_balancer
    ))?;
    front_end.ip(&format!(
        "route add {} via {}\n",
        outside.askers, inside.transit_balancer
    ))?;
    let (client, internal) = (
        Side::External.asker_address(5),
        Side::Internal.asker_address(5),
    );
    nothing_passes((clients, client), (front_end, internal))?;
    let after = not_routed(&lab)?;
    ensure!(after > 0, "nothing has come to edgelb");
    nothing_passes((front_end, internal), (clients, client))?;
    ensure!(
        not_routed(&lab)? > after,
        "nothing has come to edgelb from the inside"
    );
    Ok(())
}

/// Sends a datagram to `to` and gets it back from there, by way of whichever node.
fn echoed(
    lab: &Lab,
    (client, from): (&Namespace, Ipv4Addr),
    to: SocketAddrV4,
    length: usize,
) -> Result<Vec<SocketAddr>> {
    let mut nodes = Vec::new();
    for (number, node) in NODES.iter().enumerate() {
        let address = node
            .behind(*to.ip())
            .context("every VIP has an address on each node")?;
        let bound = lab
            .host(Host::Edge(number))
            .enter(|| UdpSocket::bind((address, to.port())))?;
        let socket = bound.with_context(|| address.to_string())?;
        socket.set_read_timeout(Some(SILENCE))?;
        nodes.push(socket);
    }
    let near = client.enter(|| UdpSocket::bind((from, 0)))??;
    near.set_read_timeout(Some(PATIENCE))?;
    let sent: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
    let mut seen = Vec::new();
    // The first may meet a neighbour that has yet to be found.
    for _ in 0..5 {
        near.send_to(&sent, to)?;
        let mut buffer = vec![0; length + 1];
        for node in &nodes {
            if let Ok((length, who)) = node.recv_from(&mut buffer) {
                node.send_to(&buffer[..length], who)?;
                seen.push(who);
            }
        }
        if seen.is_empty() {
            continue;
        }
        let (got, answered) = near
            .recv_from(&mut buffer)
            .with_context(|| format!("{to}: no answer"))?;
        ensure!(
            answered == SocketAddr::V4(to),
            "{answered} answers for {to}"
        );
        ensure!(buffer[..got] == sent, "{to}: {got} other bytes");
        return Ok(seen);
    }
    bail!("{to}: no node hears anything")
}

fn large_datagrams(arrangement: Arrangement) -> Result<()> {
    let lab = Lab::up(arrangement, |_| ())?;
    for (side, vip) in [(Side::External, vip::AV), (Side::Internal, vip::INTERNAL)] {
        let from = side.asker_address(6);
        let seen = echoed(
            &lab,
            (lab.asker(side), from),
            SocketAddrV4::new(vip, 3478),
            LARGE,
        )?;
        ensure!(seen[0].ip() == from, "H7: the node sees {}", seen[0]);
    }
    Ok(())
}

#[test]
fn ev7_iv4_datagrams_larger_than_a_packet_pass_with_two_arms() -> Result<()> {
    large_datagrams(Arrangement::TwoArm)
}

#[test]
fn ev7_iv4_datagrams_larger_than_a_packet_pass_with_one_arm() -> Result<()> {
    large_datagrams(Arrangement::OneArm)
}

fn own_pool(arrangement: Arrangement) -> Result<()> {
    let lab = Lab::up(arrangement, |_| ())?;
    let node = &NODES[0];
    let edge = lab.host(Host::Edge(0));
    for (from, to) in [
        (node.access, SocketAddrV4::new(vip::ACCESS, 443)),
        (node.access, SocketAddrV4::new(vip::ACCESS, 5061)),
        (node.webconf, SocketAddrV4::new(vip::WEBCONF, 443)),
        (node.internal, SocketAddrV4::new(vip::INTERNAL, 5062)),
    ] {
        // Both nodes: the other one, and the one that asks.
        let mut answered = Vec::new();
        for _ in 0..40 {
            let who = edge
                .enter(|| Connection::open(from, to, &lab.tls)?.who())?
                .with_context(|| format!("{from} to {to}"))?;
            if !answered.contains(&who.node) {
                answered.push(who.node);
            }
            if answered.len() == NODES.len() {
                break;
            }
        }
        ensure!(
            answered.len() == NODES.len(),
            "{to}: only {answered:?} answered"
        );
    }
    // The answers of A/V would go past the load balancer, so its client has to be the VIP.
    for (from, to) in [(node.av, vip::AV), (node.internal, vip::INTERNAL)] {
        let seen = echoed(&lab, (edge, from), SocketAddrV4::new(to, 3478), 100)?;
        ensure!(seen[0].ip() == to, "{to}: the node sees {}", seen[0]);
    }
    Ok(())
}

#[test]
fn ev3_ev6_ev7_iv3_iv4_a_node_is_served_by_its_own_pool_with_two_arms() -> Result<()> {
    own_pool(Arrangement::TwoArm)
}

#[test]
fn ev3_ev6_ev7_iv3_iv4_a_node_is_served_by_its_own_pool_with_one_arm() -> Result<()> {
    own_pool(Arrangement::OneArm)
}

/// The flows are gone with everything that knew them; what the client sends next is answered by a RST.
#[test]
fn ev3_a_connection_without_a_flow_is_reset_at_once() -> Result<()> {
    let mut lab = Lab::up(Arrangement::TwoArm, |_| ())?;
    let to = SocketAddrV4::new(vip::ACCESS, 443);
    let from = Side::External.asker_address(7);
    let mut connection = lab
        .asker(Side::External)
        .enter(|| Connection::open(from, to, &lab.tls))??;
    connection.who()?;
    lab.end_edgelb()?;
    lab.start_edgelb()?;
    let Err(error) = connection.who() else {
        bail!("the connection goes on without a flow");
    };
    ensure!(was_reset(&error), "{error:#}");
    // And the next one is served.
    lab.asker(Side::External)
        .enter(|| Connection::open(from, to, &lab.tls)?.who())??;
    Ok(())
}
