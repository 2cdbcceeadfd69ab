//! Runs packets through the pure logic, as `main.rs` of the eBPF crate does in the kernel.

use lb_common::{
    affinity::{Affinity, AffinityKey},
    drop_reason::DropReason,
};
use lb_daemon::{contents::Contents, datapath::Pair};
use lb_ebpf::{
    answer,
    apply::{apply, apply_route, icmp_error},
    decide::decide,
    frame::{Frame, Header},
    packet::Packet,
    parse::{Parsed, parse},
    tables::Tables as _,
    verdict::{Verdict, Way},
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
            tables: PlainTables::new(contents, limits.max_flows, limits.max_half_open),
            now: 1000,
        }
    }
}

impl Host {
    fn refuse(
        &self,
        mut bytes: Vec<u8>,
        packet: &Packet,
        reason: DropReason,
        mtu: u16,
        ingress: u32,
    ) -> Outcome {
        assert_ne!(reason, DropReason::Passed);
        let mut frame = Bytes(&mut bytes);
        match answer::write(
            &mut frame,
            packet,
            reason,
            mtu,
            ingress,
            &self.tables,
            self.now,
        ) {
            Some(()) => Outcome::Answered(reason, bytes),
            None => Outcome::Dropped(reason),
        }
    }
}

struct Bytes<'a>(&'a mut Vec<u8>);

impl Frame for Bytes<'_> {
    fn length(&self) -> usize {
        self.0.len()
    }

    fn truncate(&mut self, length: usize) -> Option<()> {
        (length <= self.0.len()).then(|| self.0.truncate(length))
    }

    fn grow_front(&mut self, bytes: usize) -> Option<()> {
        self.0.splice(0..0, std::iter::repeat_n(0xa5, bytes));
        Some(())
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
        let mut packet = Packet::default();
        match parse(&mut Bytes(&mut bytes), &interface, &mut packet) {
            Ok(Parsed::Packet) => {}
            Ok(Parsed::Foreign) => return Outcome::Passed,
            Err(reason) => return Outcome::Dropped(reason),
        }
        let mut way = Way::default();
        let verdict = decide(&packet, &self.tables, self.now, &mut way);
        let sent = match verdict {
            Verdict::Forward => apply(&mut Bytes(&mut bytes), &packet, &way),
            Verdict::ForwardError => icmp_error::apply(&mut Bytes(&mut bytes), &packet, &way),
            Verdict::Route => apply_route(&mut Bytes(&mut bytes), &packet, &way.next_hop),
            Verdict::Pass | Verdict::Drop(_) => Ok(()),
        };
        match verdict {
            Verdict::Forward | Verdict::ForwardError | Verdict::Route => match sent {
                Ok(()) if way.next_hop.interface == index => Outcome::Returned(bytes),
                Ok(()) => Outcome::Redirected(bytes),
                Err(reason) => self.refuse(bytes, &packet, reason, way.next_hop.mtu, index),
            },
            Verdict::Pass => {
                assert_eq!(bytes, frame, "a packet for the kernel was changed");
                Outcome::Passed
            }
            Verdict::Drop(reason) => self.refuse(bytes, &packet, reason, 0, index),
        }
    }

    fn visit_flows(&self, visit: &mut dyn FnMut(&Pair)) {
        self.tables.flows().iter().for_each(visit);
    }

    fn hold(&mut self, contents: Contents) {
        self.tables.contents = contents;
    }

    fn keep_client(&mut self, key: &AffinityKey, affinity: &Affinity) {
        let mut affinities = self.tables.affinities.borrow_mut();
        affinities.insert(*key, *affinity);
    }

    fn now(&self) -> u32 {
        self.now
    }
}
