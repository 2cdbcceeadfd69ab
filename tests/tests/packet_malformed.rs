//! Malformed frames of any length: each is dropped with a reason or left to the kernel.

use std::cell::RefCell;

use lb_common::drop_reason::DropReason;
use lb_tests::{
    case::{Expected, Input, Step, run},
    packet::{Spec, decode, flags, tcp, udp},
    runner::{ONE_NODE, Outcome, Port, Runner, host::Host, kernel::Kernel},
};
use proptest::prelude::*;

fn syn() -> Spec {
    let to = Port::Ext0.mac();
    tcp("198.51.100.7:40000", "203.0.113.10:443", flags::SYN).macs([2, 0, 0, 0, 1, 254], to)
}

fn datagram() -> Spec {
    udp("198.51.100.7:40000", "203.0.113.30:3478").macs([2, 0, 0, 0, 1, 254], Port::Ext0.mac())
}

/// `frame` with some bytes replaced.
fn with(mut frame: Vec<u8>, changes: &[(usize, &[u8])]) -> Vec<u8> {
    for (at, bytes) in changes {
        frame[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    frame
}

/// Bytes, and why they are dropped; `None` when they are the kernel's.
type Row = (&'static str, Vec<u8>, Option<DropReason>);

#[allow(clippy::too_many_lines)] // A table.
fn rows() -> Vec<Row> {
    use DropReason as D;
    let tcp = syn().frame();
    let udp = datagram().frame();
    let cut = |frame: &[u8], length: usize| frame[..length].to_vec();
    vec![
        ("IPv4 header cut off", cut(&tcp, 33), Some(D::Ipv4Header)),
        ("no IPv4 header at all", cut(&tcp, 14), Some(D::Ipv4Header)),
        (
            "version 6 in an IPv4 frame",
            with(tcp.clone(), &[(14, &[0x65])]),
            Some(D::Ipv4Header),
        ),
        (
            "header of 16 bytes",
            with(tcp.clone(), &[(14, &[0x44])]),
            Some(D::Ipv4Header),
        ),
        (
            "longer than the frame",
            with(tcp.clone(), &[(16, &[0, 41])]),
            Some(D::Ipv4Length),
        ),
        (
            "shorter than its header",
            with(tcp.clone(), &[(16, &[0, 19])]),
            Some(D::Ipv4Length),
        ),
        (
            "options beyond the end",
            with(cut(&tcp, 34), &[(14, &[0x4f]), (16, &[0, 20])]),
            Some(D::Ipv4Length),
        ),
        (
            "from 0.0.0.0",
            with(tcp.clone(), &[(26, &[0, 0, 0, 0])]),
            Some(D::Ipv4Source),
        ),
        (
            "from 127.0.0.1",
            with(tcp.clone(), &[(26, &[127, 0, 0, 1])]),
            Some(D::Ipv4Source),
        ),
        (
            "from multicast",
            with(tcp.clone(), &[(26, &[224, 0, 0, 5])]),
            Some(D::Ipv4Source),
        ),
        (
            "from broadcast",
            with(tcp.clone(), &[(26, &[255; 4])]),
            Some(D::Ipv4Source),
        ),
        (
            "TCP header cut off",
            with(cut(&tcp, 53), &[(16, &[0, 39])]),
            Some(D::TcpHeader),
        ),
        (
            "TCP header of 16 bytes",
            with(tcp.clone(), &[(46, &[0x40])]),
            Some(D::TcpHeader),
        ),
        (
            "TCP options beyond the end",
            with(tcp.clone(), &[(46, &[0x60])]),
            Some(D::TcpHeader),
        ),
        (
            "UDP header cut off",
            with(cut(&udp, 41), &[(16, &[0, 27])]),
            Some(D::UdpHeader),
        ),
        (
            "UDP shorter than its header",
            with(udp.clone(), &[(38, &[0, 7])]),
            Some(D::UdpHeader),
        ),
        (
            "UDP longer than the packet",
            with(udp.clone(), &[(38, &[0, 255])]),
            Some(D::UdpHeader),
        ),
        (
            "last fragment",
            with(tcp.clone(), &[(20, &[0, 0x10])]),
            Some(D::Fragment),
        ),
        ("ARP", with(tcp.clone(), &[(12, &[8, 6])]), None),
        ("IPv6", with(tcp.clone(), &[(12, &[0x86, 0xdd])]), None),
        ("a VLAN tag", with(tcp.clone(), &[(12, &[0x81, 0])]), None),
        (
            "malformed, but for somebody else",
            with(tcp.clone(), &[(0, &[2, 9, 9, 9, 9, 9]), (14, &[0x44])]),
            None,
        ),
        ("ICMP for a VIP", with(tcp, &[(23, &[1])]), None),
    ]
}

#[test]
fn every_malformed_frame_has_its_reason() {
    for (name, bytes, reason) in rows() {
        println!("{name}");
        let expected = reason.map_or(Expected::Passed, Expected::Dropped);
        let step = Step {
            at: Port::Ext0,
            packet: Input::Bytes(bytes),
            expected,
        };
        run(ONE_NODE, &[step]);
    }
}

/// The smallest frame that Linux delivers to a program is an Ethernet header; the pure logic takes any.
#[test]
fn a_frame_without_an_ethernet_header_is_dropped() {
    let mut host = Host::new(ONE_NODE);
    for length in 0..14 {
        let outcome = host.receive(Port::Ext0, &syn().frame()[..length]);
        assert_eq!(
            outcome,
            Outcome::Dropped(DropReason::EthernetTruncated),
            "{length}"
        );
    }
}

/// Padding behind a short packet stays as it is.
#[test]
fn a_padded_packet_goes_through_whole() {
    let mut padded = syn().frame();
    padded.resize(60, 0xee);
    for outcome in [
        Host::new(ONE_NODE).receive(Port::Ext0, &padded),
        Kernel::new(ONE_NODE).receive(Port::Ext0, &padded),
    ] {
        let Outcome::Redirected(frame) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(frame.len(), 60);
        assert_eq!(frame[54..], [0xee; 6]);
        assert!(!decode(&frame).contains("BAD"), "{}", decode(&frame));
    }
}

thread_local! {
    /// One for all frames: to make one takes far longer than a frame.
    static HOST: RefCell<Host> = RefCell::new(Host::new(ONE_NODE));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// Nothing panics, and nothing malformed is ever sent on.
    #[test]
    fn any_bytes_come_to_a_verdict(
        length in 0_usize..120,
        changes in prop::collection::vec((0_usize..80, any::<u8>()), 0..12),
        udp: bool,
    ) {
        let mut frame = if udp { datagram().payload(vec![7; 40]) } else { syn().payload(vec![7; 40]) }.frame();
        for (at, byte) in changes {
            if let Some(place) = frame.get_mut(at) {
                *place = byte;
            }
        }
        frame.truncate(length);
        let outcome = HOST.with_borrow_mut(|host| host.receive(Port::Ext0, &frame));
        if let Outcome::Redirected(sent) | Outcome::Returned(sent) = outcome {
            prop_assert_eq!(sent.len(), frame.len());
            prop_assert!(frame.len() >= 42);
        }
    }
}

/// The same bytes come to the same verdict in the pure logic and in the kernel: the verifier accepts
/// the program, and the compiler for it has made of the source what the one for the host has.
#[test]
fn the_kernel_judges_random_frames_as_the_pure_logic_does() {
    let mut kernel = Kernel::new(ONE_NODE);
    let mut host = Host::new(ONE_NODE);
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |bound: usize| {
        // xorshift64*: the same frames in every run.
        random ^= random >> 12;
        random ^= random << 25;
        random ^= random >> 27;
        (random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    };
    let mut sent = 0;
    for number in 0..20_000 {
        let base = if next(2) == 0 { syn() } else { datagram() };
        let mut frame = base.payload(vec![7; next(40)]).frame();
        // Few changes: frames that get far are the interesting ones.
        for _ in 0..next(4) {
            let at = next(frame.len());
            frame[at] = next(256) as u8;
        }
        // XDP test runs take no frame shorter than an Ethernet header.
        frame.truncate(14 + next(frame.len()));
        let (here, there) = (
            host.receive(Port::Ext0, &frame),
            kernel.receive(Port::Ext0, &frame),
        );
        assert!(
            here == there,
            "frame {number}: {}\n  pure logic {here:?}\n  kernel {there:?}",
            decode(&frame)
        );
        sent += u32::from(matches!(here, Outcome::Redirected(_)));
    }
    assert!(
        sent > 1000,
        "only {sent} frames got through: the rest says little"
    );
}
