//! What nodes open themselves, and what is opened to their own addresses: over the real network, with
//! the Access VIP as the nodes' only default gateway (H11) and in both arrangements. With one arm the
//! way to a node does not pass edgelb and the way back does (H4).

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lb_tests::lab::{
    Lab,
    namespace::Namespace,
    plan::{Arrangement, Host, NODES, Side, vip},
};
use socket2::{Domain, Protocol, Socket, Type};

const PATIENCE: Duration = Duration::from_secs(5);

/// Opens a connection and sends a word each way; returns who the server saw.
fn tcp(
    (client, from): (&Namespace, SocketAddrV4),
    (server, to): (&Namespace, SocketAddrV4),
) -> Result<SocketAddr> {
    let listener = server.enter(|| TcpListener::bind(to))??;
    let mut near = client.enter(|| -> Result<TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::V4(from).into())?;
        socket.connect_timeout(&SocketAddr::V4(to).into(), PATIENCE)?;
        Ok(socket.into())
    })??;
    let (mut far, seen) = listener.accept()?;
    for stream in [&near, &far] {
        stream.set_read_timeout(Some(PATIENCE))?;
    }
    let mut word = [0; 4];
    near.write_all(b"ping")?;
    far.read_exact(&mut word)?;
    far.write_all(b"pong")?;
    near.read_exact(&mut word)?;
    ensure!(&word == b"pong", "{word:?}");
    Ok(seen)
}

/// Sends a datagram and gets one back; returns who the server saw.
fn udp(
    (client, from): (&Namespace, SocketAddrV4),
    (server, to): (&Namespace, SocketAddrV4),
) -> Result<SocketAddr> {
    let far = server.enter(|| UdpSocket::bind(to))??;
    let near = client.enter(|| UdpSocket::bind(from))??;
    for socket in [&near, &far] {
        socket.set_read_timeout(Some(PATIENCE))?;
    }
    let mut word = [0; 4];
    near.send_to(b"ping", to)?;
    let (_, seen) = far.recv_from(&mut word)?;
    far.send_to(b"pong", seen)?;
    let (_, answered) = near.recv_from(&mut word)?;
    ensure!(
        answered == SocketAddr::V4(to),
        "{answered} answers for {to}"
    );
    Ok(seen)
}

fn at(address: Ipv4Addr, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(address, port)
}

/// Every row, in one arrangement: id, who opens, who answers, and who the server must see.
fn rows(arrangement: Arrangement) -> Result<()> {
    let lab = Lab::up(arrangement, |_| ())?;
    let node = &NODES[0];
    let edge = lab.host(Host::Edge(0));
    let outside = (lab.asker(Side::External), Side::External.asker_address(9));
    let inside = (lab.asker(Side::Internal), Side::Internal.asker_address(9));
    let access = |port| (edge, at(node.access, port));
    let av = |port| (edge, at(node.av, port));
    let internal = |port| (edge, at(node.internal, port));
    let out = |port| (outside.0, at(outside.1, port));
    let front_end = |port| (inside.0, at(inside.1, port));
    let same = |(_, address): (&Namespace, SocketAddrV4)| address;
    for (id, client, server, seen) in [
        ("EN1", access(51_001), out(80), same(access(51_001))),
        ("EN2", access(51_002), out(53), same(access(51_002))),
        ("EN4", av(50_001), out(443), same(av(50_001))),
        ("EN6", out(40_001), av(50_002), same(out(40_001))),
        ("EN10 H4", out(40_002), av(443), same(out(40_002))),
        ("EN11", av(51_003), out(443), same(av(51_003))),
        ("EV2", access(51_004), out(5269), at(vip::ACCESS, 51_004)),
        ("EV5", access(51_005), out(5061), at(vip::ACCESS, 51_005)),
        (
            "IN1",
            front_end(40_003),
            internal(23_456),
            same(front_end(40_003)),
        ),
        (
            "IN2",
            front_end(40_004),
            internal(4443),
            same(front_end(40_004)),
        ),
        (
            "IN3",
            front_end(40_005),
            internal(8057),
            same(front_end(40_005)),
        ),
        (
            "IN6",
            front_end(40_006),
            internal(50_001),
            same(front_end(40_006)),
        ),
        (
            "IV2",
            internal(51_006),
            front_end(5061),
            at(vip::INTERNAL, 51_006),
        ),
        (
            "IV6",
            internal(51_007),
            front_end(443),
            at(vip::INTERNAL, 51_007),
        ),
    ] {
        let saw = tcp(client, server).with_context(|| id.to_owned())?;
        ensure!(
            saw == SocketAddr::V4(seen),
            "{id}: the server saw {saw}, not {seen}"
        );
    }
    for (id, client, server) in [
        ("EN3", access(51_008), out(53)),
        ("EN5", av(50_003), out(40_007)),
        ("EN7", out(40_008), av(50_004)),
        ("EN8", av(3478), out(3478)),
        ("EN9", out(40_009), av(3478)),
        ("IN4", front_end(40_010), internal(3478)),
    ] {
        let saw = udp(client, server).with_context(|| id.to_owned())?;
        ensure!(
            saw == SocketAddr::V4(client.1),
            "{id}: the server saw {saw}"
        );
    }
    // What no row names: a port of the node that nobody may ask for, and one outside that it may not.
    let refused = tcp(access(51_009), out(25));
    ensure!(refused.is_err(), "{refused:?}");
    if arrangement == Arrangement::TwoArm {
        let refused = tcp(out(40_011), access(3389));
        ensure!(refused.is_err(), "{refused:?}");
    }
    Ok(())
}

#[test]
fn en_in_vip_out_rows_h4_h8_h10_h11_two_arm() -> Result<()> {
    rows(Arrangement::TwoArm)
}

#[test]
fn en_in_vip_out_rows_h4_h8_h10_h11_one_arm() -> Result<()> {
    rows(Arrangement::OneArm)
}
