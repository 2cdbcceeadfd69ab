//! That the lab would notice: what its checks rely on is broken here on purpose.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::Result;
use etherparse::UdpHeader;
use lb_tests::lab::{
    Lab,
    capture::{Capture, Packet},
    checks::{self, Effort},
    counters,
    folder::Folder,
    namespace::Namespace,
    plan::{Arrangement, Host, NODES, Side},
    topology::Topology,
};
use socket2::{Domain, Protocol, Socket, Type};

/// Two hosts on one segment, which edgelb has no part in.
const SENDER: Host = Host::Edge(0);
const RECEIVER: Host = Host::Edge(1);

/// What the receiver has captured, and what its kernel complains of.
type Noticed = (Vec<Packet>, Vec<(String, u64)>);

/// Sends one UDP packet whose checksum is off by `fault`.
fn send_with(fault: u16) -> Result<Noticed> {
    let folder = Folder::create()?;
    let topology = Topology::build(Arrangement::TwoArm, &folder)?;
    let interface = Side::External.interface();
    let receiver = topology.host(RECEIVER);
    let capture = Capture::start(receiver, RECEIVER.name(), interface, &folder)?;
    send(
        topology.host(SENDER),
        NODES[0].access,
        NODES[1].access,
        fault,
    )?;
    let captured = Capture::stop_all(vec![capture])?;
    Ok((captured[0].packets()?, counters::complaints(receiver)?))
}

fn send(from: &Namespace, source: Ipv4Addr, destination: Ipv4Addr, fault: u16) -> Result<()> {
    let payload = b"payload";
    let length = payload.len();
    let addresses = (source.octets(), destination.octets());
    let mut header = UdpHeader::without_ipv4_checksum(4000, 4001, length)?;
    header.checksum = header
        .calc_checksum_ipv4_raw(addresses.0, addresses.1, payload)?
        .wrapping_add(fault);
    let datagram = [&header.to_bytes()[..], payload].concat();
    from.enter(|| -> Result<()> {
        // The kernel leaves alone what is above IP.
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP))?;
        socket.send_to(&datagram, &SocketAddr::from((destination, 0)).into())?;
        Ok(())
    })?
}

#[test]
fn a_right_checksum_is_no_cause_for_complaint() -> Result<()> {
    let (packets, complaints) = send_with(0)?;
    let sound: Vec<_> = packets.iter().map(|packet| packet.sound).collect();
    assert_eq!(sound, [true], "{packets:?}");
    assert_eq!(complaints, []);
    Ok(())
}

#[test]
fn a_wrong_checksum_is_noticed_by_capture_and_kernel() -> Result<()> {
    let (packets, complaints) = send_with(1)?;
    let sound: Vec<_> = packets.iter().map(|packet| packet.sound).collect();
    assert_eq!(sound, [false], "{packets:?}");
    assert_eq!(complaints, [("Udp InCsumErrors".to_owned(), 1)]);
    Ok(())
}

/// What every node has to have a share of.
const SHARED: [&str; 11] = [
    "EV1", "EV3", "EV4", "EV6", "EV7", "EV8", "IV1", "IV3", "IV4", "IV5", "H6",
];

#[test]
fn a_node_that_is_silent_is_noticed() -> Result<()> {
    let mut lab = Lab::up_whole_pool(Arrangement::OneArm, |_| ())?;
    lab.nodes.pop();
    lab.whole_pool.as_mut().expect("they are up").nodes.pop();
    let effort = Effort {
        connections: 30,
        pace: Duration::ZERO,
    };
    let mut asked = 0;
    for check in checks::all() {
        if !SHARED.contains(&check.id) {
            continue;
        }
        asked += 1;
        let found = check.run(&lab, &effort);
        assert!(
            found.iter().any(|finding| !finding.passed()),
            "{}: {found:?}",
            check.name
        );
    }
    assert_eq!(asked, SHARED.len());
    Ok(())
}
