//! From a treatment to the entries of a flow.

use lb_common::{
    flow::{Direction, FlowEntry, FlowKey, FlowState, Opened, Rewrite, Role},
    net::{Ip4, Port},
    service::{NO_POOL, Node, Service, Treatment, node_cell},
};

use crate::{checksum, snat_port::Range};

/// A flow that is about to be opened.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// Key of the client's packets.
    pub key: FlowKey,
    /// What the client asks for.
    pub service: Service,
    /// Number of the node within the service.
    pub index: u16,
    /// The node.
    pub node: Node,
    /// Second of the monotonic clock.
    pub now: u32,
}

impl Opening {
    /// What becomes of the client's packets when the node is to see them come from `address` and
    /// `port`: the VIP and a SNAT port (H6), or the client itself (H7).
    #[inline(always)]
    pub fn to_node(&self, address: Ip4, port: Port) -> Rewrite {
        rewrite(
            &self.key,
            (address, port),
            (self.node.address, self.node.port),
        )
    }

    /// What becomes of the node's answers, which have the key `answer`: they leave from the VIP (H3).
    #[inline(always)]
    pub fn to_client(&self, answer: &FlowKey) -> Rewrite {
        let client = (self.key.source, self.key.source_port);
        let vip = (self.key.destination, self.key.destination_port);
        rewrite(answer, vip, client)
    }

    /// The key of the node's answers where it sees the client as `address` and `port`.
    #[inline(always)]
    pub const fn answer(&self, address: Ip4, port: Port) -> FlowKey {
        let mut answer = self.key.reversed();
        answer.source = self.node.address;
        answer.source_port = self.node.port;
        answer.destination = address;
        answer.destination_port = port;
        answer
    }

    /// The pool of SNAT ports, [`NO_POOL`] without SNAT.
    #[inline(always)]
    pub const fn snat_pool(&self) -> u16 {
        if is_snat(&self.service) {
            self.node.snat_pool
        } else {
            NO_POOL
        }
    }

    /// The ports of the VIP that the flow may leave from.
    #[inline(always)]
    pub const fn snat_range(&self) -> Range {
        Range {
            first: self.service.first_snat_port,
            last: self.service.last_snat_port,
        }
    }

    /// The entry of one direction.
    #[inline(always)]
    pub fn entry(&self, rewrite: &Rewrite, direction: Direction, opened: Opened) -> FlowEntry {
        let treatment = if is_snat(&self.service) {
            Treatment::Snat
        } else {
            Treatment::Dnat
        };
        FlowEntry {
            rewrite: *rewrite,
            generation: 0,
            next_hop: 0,
            node_cell: node_cell(self.service.index, self.index) as u16,
            snat_pool: self.snat_pool(),
            role: Role::new(direction, treatment),
            state: FlowState::OPENING,
            last_seen: self.now,
            opened,
            packets: 0,
            bytes: 0,
        }
    }
}

/// True for full NAT.
#[inline(always)]
pub const fn is_snat(service: &Service) -> bool {
    service.treatment == Treatment::Snat as u8
}

#[inline(always)]
fn rewrite(key: &FlowKey, source: (Ip4, Port), destination: (Ip4, Port)) -> Rewrite {
    let addresses = checksum::address_change(key.source.wire(), source.0.wire())
        + checksum::address_change(key.destination.wire(), destination.0.wire());
    let ports = checksum::word_change(key.source_port.wire(), source.1.wire())
        + checksum::word_change(key.destination_port.wire(), destination.1.wire());
    Rewrite {
        source: source.0,
        destination: destination.0,
        source_port: source.1,
        destination_port: destination.1,
        address_delta: checksum::fold(addresses),
        transport_delta: checksum::fold(addresses + ports),
    }
}
