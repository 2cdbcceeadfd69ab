//! Runs packets through the pure logic, as `main.rs` of the eBPF crate does in the kernel.

use lb_common::drop_reason::DropReason;
use lb_ebpf::{
    apply::{apply, apply_route},
    decide::decide,
    frame::{Frame, Header},
    parse::{Parsed, parse},
    tables::Tables as _,
    verdict::Verdict,
};

use super::{
    Outcome, Port, Runner, contents,
    tables::{PlainTables, interface_index},
};

/// The pure logic over plain collections, with a clock that the test sets.
pub struct Host {
    /// The tables.
    pub tables: PlainTables,
    /// Second of the clock.
    pub now: u32,
}

impl Host {
    /// For a configuration.
    pub fn new(config: &str) -> Self {
        let (contents, plan) = contents(config);
        let limits = &plan.limits;
        Self {
            tables: PlainTables::new(
                contents,
                limits.max_flows as usize,
                limits.max_half_open as usize,
            ),
            now: 1000,
        }
    }
}

struct Bytes<'a>(&'a mut Vec<u8>);

impl Frame for Bytes<'_> {
    fn length(&self) -> usize {
        self.0.len()
    }

    fn header<H: Header, R>(&mut self, at: usize, f: impl FnOnce(&mut H) -> R) -> Option<R> {
        let bytes = self.0.get_mut(at..at + size_of::<H>())?;
        // By way of a copy: bytes of a vector have no alignment.
        let mut header = H::read_from_bytes(bytes).ok()?;
        let answer = f(&mut header);
        header.write_to(bytes).ok()?;
        Some(answer)
    }
}

impl Runner for Host {
    fn receive(&mut self, at: Port, frame: &[u8]) -> Outcome {
        let mut bytes = frame.to_vec();
        let index = interface_index(at);
        let Some(interface) = self.tables.interface(index) else {
            return Outcome::Passed;
        };
        let packet = match parse(&mut Bytes(&mut bytes), &interface) {
            Ok(Parsed::Packet(packet)) => packet,
            Ok(Parsed::Foreign) => return Outcome::Passed,
            Err(reason) => return Outcome::Dropped(reason),
        };
        match decide(&packet, &self.tables, self.now) {
            Verdict::Forward(to) => match apply(&mut Bytes(&mut bytes), &packet, &to) {
                Ok(()) if to.next_hop.interface == index => Outcome::Returned(bytes),
                Ok(()) => Outcome::Redirected(bytes),
                Err(reason) => Outcome::Dropped(reason),
            },
            Verdict::Route(to) => match apply_route(&mut Bytes(&mut bytes), &to) {
                Ok(()) if to.interface == index => Outcome::Returned(bytes),
                Ok(()) => Outcome::Redirected(bytes),
                Err(reason) => Outcome::Dropped(reason),
            },
            Verdict::Pass => {
                assert_eq!(bytes, frame, "a packet for the kernel was changed");
                Outcome::Passed
            }
            Verdict::Drop(reason) => {
                assert_ne!(reason, DropReason::Passed);
                Outcome::Dropped(reason)
            }
        }
    }

    fn flows(&self) -> (usize, usize) {
        let (established, half_open) = self.tables.entries();
        (established / 2, half_open / 2)
    }
}
