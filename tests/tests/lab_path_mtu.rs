//! Path MTU discovery through the load balancer: a small link behind each side, and bulk transfers that
//! may not be fragmented. Rules H6 and H7: with and without SNAT.

use std::{
    io::{IoSliceMut, Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsFd as _, AsRawFd as _},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use lb_tests::lab::{
    Lab, checks,
    edgelb::{self, Edgelb, Instance},
    namespace::{Namespace, run},
    plan::{self, Arrangement, Host, NODES, Side, vip},
};
use nix::{
    cmsg_space, libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, setsockopt, sockopt},
};
use socket2::{Domain, Protocol, Socket, Type};

/// Of the router's link towards the clients.
const TO_CLIENTS: u32 = 1300;
/// Of edgelb's route to the nodes.
const TO_NODES: u32 = 1200;
/// Enough to go on long after the first packet that is too big.
const BULK: usize = 300_000;
const PATIENCE: Duration = Duration::from_secs(10);
/// A service with SNAT besides those of nginx.
const PORT: u16 = 7000;

/// Sends in both directions; what the client sends is what it gets back.
fn bulk(lab: &Lab, from: Ipv4Addr, to: SocketAddrV4, node_port: u16) -> Result<()> {
    let mut listeners = Vec::new();
    for (number, node) in NODES.iter().enumerate() {
        let address = node
            .behind(*to.ip())
            .context("every VIP has an address on each node")?;
        let bound = lab
            .host(Host::Edge(number))
            .enter(|| TcpListener::bind((address, node_port)))?;
        listeners.push(bound.with_context(|| format!("{address}:{node_port}"))?);
    }
    let client = lab.asker(Side::External).enter(|| -> Result<TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.bind(&SocketAddrV4::new(from, 0).into())?;
        socket.connect_timeout(&to.into(), PATIENCE)?;
        Ok(socket.into())
    })??;
    let node = accepted(&listeners)?;
    for stream in [&client, &node] {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
    }
    thread::scope(|scope| {
        let echo = scope.spawn(|| -> Result<usize> {
            let (mut stream, mut all) = (&node, Vec::new());
            stream
                .read_to_end(&mut all)
                .context("the node hears no more")?;
            stream.write_all(&all).context("the node cannot answer")?;
            node.shutdown(Shutdown::Write)?;
            Ok(all.len())
        });
        let (mut stream, mut back) = (&client, Vec::new());
        stream
            .write_all(&vec![7; BULK])
            .context("the client cannot send")?;
        client.shutdown(Shutdown::Write)?;
        stream
            .read_to_end(&mut back)
            .context("the client hears no more")?;
        let heard = echo
            .join()
            .map_err(|_| anyhow::anyhow!("the node's thread has panicked"))??;
        ensure!(
            heard == BULK && back.len() == BULK,
            "{heard} there, {} back",
            back.len()
        );
        Ok(())
    })
}

/// The connection, on whichever node it has come.
fn accepted(listeners: &[TcpListener]) -> Result<TcpStream> {
    for _ in 0..100 {
        for listener in listeners {
            listener.set_nonblocking(true)?;
            if let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
    bail!("no node was asked")
}

/// The path MTU that a host has learned.
fn learned(host: &Namespace, from: Ipv4Addr, to: Ipv4Addr) -> Result<Option<u32>> {
    let mut command = host.command("/usr/sbin/ip")?;
    command.args([
        "-o",
        "route",
        "get",
        &to.to_string(),
        "from",
        &from.to_string(),
    ]);
    let route = run(&mut command)?;
    let mut words = route.split_whitespace().skip_while(|word| *word != "mtu");
    Ok(words.nth(1).and_then(|mtu| mtu.parse().ok()))
}

/// True when some node has learned it.
fn a_node_has_learned(lab: &Lab, vip: Ipv4Addr, to: Ipv4Addr, mtu: u32) -> Result<bool> {
    for (number, node) in NODES.iter().enumerate() {
        let own = node
            .behind(vip)
            .context("every VIP has an address on each node")?;
        if learned(lab.host(Host::Edge(number)), own, to)? == Some(mtu) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[test]
fn h6_h7_path_mtu_discovery_works_in_both_directions() -> Result<()> {
    let mut lab = Lab::up(Arrangement::TwoArm, |_| ())?;
    lab.end_edgelb()?;
    let nodes: Vec<String> = NODES
        .iter()
        .map(|node| {
            format!(
                "{{ name = {:?}, address = \"{}:{PORT}\" }}",
                node.name, node.access
            )
        })
        .collect();
    let config = edgelb::config(Arrangement::TwoArm)
        + &format!(
            "[[services]]\nname = \"bulk\"\nlisten = \"{}:{PORT}/tcp\"\ntreatment = \"snat\"\nnodes = [{}]\n",
            vip::ACCESS,
            nodes.join(", ")
        );
    let instance = Instance::create(&lab.folder, "bulk", &config)?;
    lab.edgelb = Edgelb::start(instance, lab.host(Host::Balancer))?;
    // By routes: the MTU of a veth is one for what it receives as well.
    let networks = Side::External.networks();
    lab.host(Host::Router).ip(&format!(
        "route change {} via {} mtu lock {TO_CLIENTS}\n",
        networks.askers,
        plan::UPLINK_CLIENTS
    ))?;
    lab.host(Host::Balancer).ip(&format!(
        "route change {} dev ext1 src {} mtu lock {TO_NODES}\n",
        networks.nodes, networks.balancer
    ))?;

    let client = Side::External.asker_address(20);
    bulk(&lab, client, SocketAddrV4::new(vip::AV, 443), 443)?;
    ensure!(
        a_node_has_learned(&lab, vip::AV, client, TO_CLIENTS)?,
        "H7: no node has heard of the router's link"
    );
    let clients = lab.asker(Side::External);
    ensure!(
        learned(clients, client, vip::AV)? == Some(TO_NODES),
        "H7: the client has not heard of the nodes' link"
    );

    bulk(&lab, client, SocketAddrV4::new(vip::ACCESS, PORT), PORT)?;
    ensure!(
        a_node_has_learned(&lab, vip::ACCESS, vip::ACCESS, TO_CLIENTS)?,
        "H6: no node has heard of the router's link"
    );
    ensure!(
        learned(clients, client, vip::ACCESS)? == Some(TO_NODES),
        "H6: the client has not heard of the nodes' link"
    );

    // And through each VIP with TLS.
    for check in checks::all() {
        if check.name.contains("download") {
            for finding in check.run(
                &lab,
                &checks::Effort {
                    connections: 1,
                    pace: Duration::ZERO,
                },
            ) {
                ensure!(finding.problems.is_empty(), "{finding:?}");
            }
        }
    }
    Ok(())
}

/// Who says that a datagram has come to the end of its life on its second hop.
fn ends_at(lab: &Lab, to: SocketAddrV4) -> Result<Ipv4Addr> {
    let client = lab.asker(Side::External).enter(|| -> Result<UdpSocket> {
        let socket = UdpSocket::bind((Side::External.asker_address(21), 0))?;
        setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
        setsockopt(&socket, sockopt::Ipv4Ttl, &2)?;
        Ok(socket)
    })??;
    client.send_to(b"how far", to)?;
    let mut events = [PollFd::new(client.as_fd(), PollFlags::POLLERR)];
    ensure!(
        poll(&mut events, PollTimeout::from(2000_u16))? == 1,
        "{to}: nobody says anything"
    );
    let (mut data, mut control) = (
        [0; 64],
        cmsg_space!(libc::sock_extended_err, libc::sockaddr_in),
    );
    let mut place = [IoSliceMut::new(&mut data)];
    let message = recvmsg::<SockaddrIn>(
        client.as_raw_fd(),
        &mut place,
        Some(&mut control),
        MsgFlags::MSG_ERRQUEUE,
    )?;
    for part in message.cmsgs()? {
        // ICMP "time exceeded" (RFC 792).
        if let ControlMessageOwned::Ipv4RecvErr(error, Some(offender)) = part
            && (error.ee_type, error.ee_code) == (11, 0)
        {
            return Ok(SockaddrIn::from(offender).ip());
        }
    }
    bail!("{to}: an error, and not that one")
}

/// As `traceroute` shows the way: the first hop is the router, the second edgelb.
#[test]
fn time_exceeded_comes_from_the_load_balancer() -> Result<()> {
    let lab = Lab::up(Arrangement::TwoArm, |_| ())?;
    let own = Side::External.networks().transit_balancer;
    assert_eq!(ends_at(&lab, SocketAddrV4::new(vip::AV, 3478))?, vip::AV);
    assert_eq!(ends_at(&lab, SocketAddrV4::new(NODES[0].av, 50_000))?, own);
    Ok(())
}

#[test]
fn an_echo_to_a_vip_is_answered() -> Result<()> {
    let lab = Lab::up(Arrangement::OneArm, |_| ())?;
    for (side, vip) in [
        (Side::External, vip::ACCESS),
        (Side::External, vip::AV),
        (Side::Internal, vip::INTERNAL),
    ] {
        let mut ping = lab.asker(side).command("/usr/bin/ping")?;
        run(ping.args(["-c1", "-W2", &vip.to_string()])).with_context(|| format!("ping {vip}"))?;
    }
    Ok(())
}
