//! A packet case: packets in, packets out, one row per packet. Every case runs twice, on the pure logic
//! and on the real eBPF object.

use lb_common::drop_reason::DropReason;

use crate::{
    packet::{Spec, decode, fragments, icmp_error, rst_to},
    runner::{NEIGHBOURS, Outcome, Port, ROUTER, Runner, host::Host, kernel::Kernel},
};

/// A packet and what must become of it.
pub struct Step {
    /// Where it comes in.
    pub at: Port,
    /// The packet.
    pub packet: Input,
    /// What must become of it.
    pub expected: Expected,
}

/// A packet that comes in.
pub enum Input {
    /// A well-formed one. Ethernet addresses that are zero are filled in: from a neighbour, to the
    /// interface.
    Packet(Spec),
    /// These very bytes.
    Bytes(Vec<u8>),
}

/// What must become of a packet.
pub enum Expected {
    /// It leaves by this interface as that packet, with one hop less to live and the Ethernet
    /// addresses of the way.
    Sent(Port, Spec),
    /// It leaves by this interface as these very bytes.
    SentBytes(Port, Vec<u8>),
    /// The machine's own network stack gets it.
    Passed,
    /// It is dropped for this reason.
    Dropped(DropReason),
    /// It is dropped for this reason, and its sender gets this packet.
    Answered(DropReason, Spec),
}

/// `packet` comes in at `at` and leaves by `to` as `sent`.
pub fn forwarded(at: Port, packet: Spec, to: Port, sent: Spec) -> Step {
    Step {
        at,
        packet: Input::Packet(packet),
        expected: Expected::Sent(to, sent),
    }
}

/// `packet` comes in at `at` and is dropped.
pub fn dropped(at: Port, packet: Spec, reason: DropReason) -> Step {
    Step {
        at,
        packet: Input::Packet(packet),
        expected: Expected::Dropped(reason),
    }
}

/// `packet` comes in at `at` and is dropped; its sender gets `answer`.
pub fn answered(at: Port, packet: Spec, reason: DropReason, answer: Spec) -> Step {
    Step {
        at,
        packet: Input::Packet(packet),
        expected: Expected::Answered(reason, answer),
    }
}

/// The TCP segment `packet` comes in at `at` and is dropped; its sender gets a RST.
pub fn reset(at: Port, packet: Spec, reason: DropReason) -> Step {
    let answer = rst_to(&packet);
    answered(at, packet, reason, answer)
}

/// `packet` comes in at `at`, at the end of its life, and is dropped; its sender is told so by `from`.
pub fn expired(at: Port, packet: Spec, from: &str) -> Step {
    let answer = icmp_error(from, &packet, 11, 0, [0; 4]);
    answered(at, packet, DropReason::TtlExpired, answer)
}

/// `packet` comes in at `at` and goes to the machine's own network stack.
pub fn passed(at: Port, packet: Spec) -> Step {
    Step {
        at,
        packet: Input::Packet(packet),
        expected: Expected::Passed,
    }
}

/// Runs the steps on both runners.
pub fn run(config: &str, steps: &[Step]) {
    play("pure logic", &mut Host::new(config), steps);
    play("kernel", &mut Kernel::new(config), steps);
}

/// Runs the steps on one runner.
pub fn play(name: &str, runner: &mut impl Runner, steps: &[Step]) {
    for (number, step) in steps.iter().enumerate() {
        let frame = input(step);
        let outcome = runner.receive(step.at, &frame);
        let expected = expected(step);
        assert!(
            outcome == expected,
            "{name}, packet {}:\n  in at {}: {}\n  expected {}\n  but was  {}",
            number + 1,
            step.at.name(),
            decode(&frame),
            show(&expected),
            show(&outcome),
        );
    }
}

fn input(step: &Step) -> Vec<u8> {
    match &step.packet {
        Input::Bytes(bytes) => bytes.clone(),
        Input::Packet(spec) if spec.macs == ([0; 6], [0; 6]) => {
            let from = mac_of(step.at, spec.source.ip().octets());
            spec.clone().macs(from, step.at.mac()).frame()
        }
        Input::Packet(spec) => spec.frame(),
    }
}

fn expected(step: &Step) -> Outcome {
    match &step.expected {
        Expected::Passed => Outcome::Passed,
        Expected::Dropped(reason) => Outcome::Dropped(*reason),
        Expected::Answered(reason, spec) => {
            // Back to whoever handed the packet over.
            let to = match &step.packet {
                Input::Packet(packet) if packet.macs == ([0; 6], [0; 6]) => {
                    mac_of(step.at, packet.source.ip().octets())
                }
                Input::Packet(packet) => packet.macs.0,
                Input::Bytes(bytes) => std::array::from_fn(|at| bytes[6 + at]),
            };
            let answer = spec.clone().macs(step.at.mac(), to);
            Outcome::Answered(*reason, answer.frame())
        }
        Expected::Sent(port, spec) => {
            let to = mac_of(*port, spec.destination.ip().octets());
            let frame = spec.clone().macs(port.mac(), to).ttl(spec.ttl - 1).frame();
            sent_by(*port, step.at, frame)
        }
        Expected::SentBytes(port, frame) => sent_by(*port, step.at, frame.clone()),
    }
}

fn sent_by(port: Port, at: Port, frame: Vec<u8>) -> Outcome {
    if port == at {
        Outcome::Returned(frame)
    } else {
        Outcome::Redirected(frame)
    }
}

/// The fragments of `packet` come in at `at`, one after the other, and leave by `to` as those of `sent`.
pub fn fragmented(at: Port, packet: &Spec, to: Port, sent: &Spec) -> Vec<Step> {
    let from = mac_of(at, packet.source.ip().octets());
    let next = mac_of(to, sent.destination.ip().octets());
    let packet = packet.clone().macs(from, at.mac());
    let sent = sent.clone().macs(to.mac(), next).ttl(sent.ttl - 1);
    let pairs = fragments(&packet).into_iter().zip(fragments(&sent));
    pairs
        .map(|(packet, sent)| Step {
            at,
            packet: Input::Bytes(packet),
            expected: Expected::SentBytes(to, sent),
        })
        .collect()
}

/// The Ethernet address behind which an address is, seen from an interface.
fn mac_of(port: Port, address: [u8; 4]) -> [u8; 6] {
    NEIGHBOURS
        .iter()
        .find(|known| known.port == port && known.address == address)
        .map_or(ROUTER, |known| known.mac)
}

fn show(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Returned(frame) => format!("sent back, {}", decode(frame)),
        Outcome::Redirected(frame) => format!("redirected, {}", decode(frame)),
        Outcome::Passed => "passed to the kernel".to_owned(),
        Outcome::Dropped(reason) => format!("dropped: {}", reason.name()),
        Outcome::Answered(reason, frame) => {
            format!(
                "dropped: {}, and answered by {}",
                reason.name(),
                decode(frame)
            )
        }
    }
}
