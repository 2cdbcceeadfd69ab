//! What [`crate::decide`] may ask and do: only operations that are atomic in BPF.
//!
//! In the kernel these are maps and helpers; in host tests, plain collections.

use lb_common::{
    affinity::{Affinity, AffinityKey},
    event::Event,
    flow::{FlowEntry, FlowKey, Opened},
    fragment::{FragmentKey, FragmentPorts},
    interface::Interface,
    net::{Ip4, Zone},
    next_hop::{Neighbour, NextHop},
    policy::NodeAddress,
    service::{Node, Outbound, Service, ServiceKey},
    settings::Settings,
    transaction::Transaction,
};

use crate::{flow_table::turns::Unconfirmed, route_cache};

/// A flow entry where it lies in its table. Other CPUs may use it at the same time.
pub trait FlowSlot {
    /// Gives the entry to `f`, to be read and changed in place.
    fn with<R>(&self, f: impl FnOnce(&mut FlowEntry) -> R) -> R;
}

/// Why a flow could not be entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertError {
    /// Another flow has the key of its answers.
    Taken,
    /// It is there already, by somebody else.
    Known,
    /// The table is full.
    Full,
}

/// Answer of the routing table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The packet goes to this neighbour, which is known.
    Resolved(Neighbour, NextHop),
    /// The packet goes to this neighbour, which has yet to answer ARP.
    Unresolved(Neighbour),
    /// The packet goes nowhere.
    None,
}

/// Whose an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A VIP in this zone.
    Vip(Zone),
    /// A node's own address, with its number, which is not 0.
    Node(u32),
    /// None that the configuration names.
    Nobody,
}

impl Owner {
    /// True for a node's own address.
    #[inline(always)]
    pub const fn is_node(self) -> bool {
        matches!(self, Self::Node(_))
    }
}

/// The tables of the data path.
pub trait Tables {
    /// An entry of the flow table.
    type Slot: FlowSlot;
    /// A line of the cache of routes.
    type RouteLine: route_cache::Line;

    /// Looks up a flow, on the path that nearly every packet takes.
    fn flow(&self, key: &FlowKey) -> Option<Self::Slot>;
    /// Looks up a flow, by a call.
    fn look_up(&self, key: &FlowKey) -> Option<Self::Slot>;
    /// The entry in a cell, where that has this key.
    fn at(&self, cell: u32, key: &FlowKey) -> Option<Self::Slot>;
    /// The entry of the packets that go the other way in a flow, which have this key. None where the flow has just been
    /// removed.
    fn other_direction(&self, flow: &Self::Slot, key: &FlowKey) -> Option<Self::Slot>;
    /// Enters both directions of a flow that is not confirmed, or none; `write` fills in the entry of the client's
    /// packets and that of the answers, and is told when those say that the flow was opened. The flow that has been so for
    /// longest makes room. Returns the cell of the client's packets.
    fn open(
        &self,
        question: &FlowKey,
        answer: &FlowKey,
        write: impl FnOnce(&Self::Slot, &Self::Slot, Opened),
    ) -> Result<u32, InsertError>;
    /// The flow whose answers have this key and this entry, if it is not confirmed.
    fn unconfirmed(&self, answer: &FlowKey, answers: &Self::Slot) -> Option<Unconfirmed>;
    /// Notes which acknowledgment number confirms a flow; false where somebody is about to confirm or to remove it.
    fn expect(&self, flow: &Unconfirmed, acknowledgment: u32) -> bool;
    /// Confirms a flow.
    fn confirm(&self, flow: &Unconfirmed) -> Result<(), InsertError>;
    /// Removes both directions of a flow, by the key of the client's packets. False where they are not there, or
    /// somebody else confirms or removes them at this moment.
    fn forget(&self, question: &FlowKey) -> bool;

    /// The service that listens there.
    fn service(&self, key: &ServiceKey) -> Option<Service>;
    /// The VIP that a node's connections to a port outside leave from.
    fn outbound(&self, key: &ServiceKey) -> Option<Outbound>;
    /// The node index in a slot of a service's ring.
    fn ring_slot(&self, service: u16, slot: u32) -> Option<u8>;
    /// Where a client's new flows go while a node drains, if it stays with that node.
    fn affinity(&self, key: &AffinityKey) -> Option<Affinity>;
    /// A node by its cell ([`lb_common::service::node_cell`]).
    fn node(&self, cell: u32) -> Option<Node>;
    /// Flows that a node has, about.
    fn load(&self, cell: u32) -> u64;
    /// Counts a flow for a node.
    fn count_opened(&self, cell: u32);
    /// Whose an address is.
    fn owner(&self, address: Ip4) -> Owner;
    /// The zone of a VIP, `None` for any other address.
    #[inline(always)]
    fn vip(&self, address: Ip4) -> Option<Zone> {
        match self.owner(address) {
            Owner::Vip(zone) => Some(zone),
            Owner::Node(_) | Owner::Nobody => None,
        }
    }
    /// Asks `f` about a node's own address by its number ([`Owner::Node`]).
    fn node_address<R>(&self, number: u32, f: impl FnOnce(&NodeAddress) -> R) -> Option<R>;

    /// 64 ports of a pool: the ports `word * 64 ..`, a set bit for each that may be in use.
    fn snat_word(&self, pool: u16, word: u32) -> u64;
    /// Sets bits of a word and returns what it was before.
    fn snat_claim(&self, pool: u16, word: u32, bits: u64) -> u64;
    /// Clears bits of a word.
    fn snat_release(&self, pool: u16, word: u32, bits: u64);
    /// Returns a number that is one higher each time it is asked of the same pool.
    fn snat_cursor(&self, pool: u16) -> u32;

    /// A cell of the adjacency array.
    fn next_hop(&self, cell: u32) -> Option<NextHop>;
    /// Fills a cell of the adjacency array.
    fn set_next_hop(&self, cell: u32, next_hop: &NextHop);
    /// The cell of a neighbour, which is given a new one where it has none. `None` when all are taken.
    fn neighbour_cell(&self, neighbour: &Neighbour) -> Option<u32>;
    /// Counts the changes of the routing table.
    fn route_generation(&self) -> u32;
    /// Asks the kernel's routing table for a packet with these addresses and ports.
    fn route(&self, key: &FlowKey) -> Route;
    /// An interface with the program on it.
    fn interface(&self, index: u32) -> Option<Interface>;
    /// A line of the cache of routes ([`lb_common::route_cache`]).
    fn route_line(&self, number: u32) -> Option<Self::RouteLine>;
    /// The word of the way to a node, by its cell; 0 for none.
    fn node_route(&self, cell: u32) -> u64;
    /// Replaces that word.
    fn set_node_route(&self, cell: u32, word: u64);

    /// When a transaction was asked of a VIP (second of the monotonic clock), if it was.
    fn asked_vip(&self, transaction: &Transaction) -> Option<u32>;
    /// Remembers that a transaction was asked of a VIP; the oldest makes room.
    fn remember(&self, transaction: &Transaction, now: u32);

    /// What the first fragment of a packet has said.
    fn fragment(&self, key: &FragmentKey) -> Option<FragmentPorts>;
    /// Keeps that; the oldest makes room.
    fn keep_fragment(&self, key: &FragmentKey, ports: &FragmentPorts);

    /// What the configuration says of the data path as a whole.
    fn settings(&self) -> Settings;
    /// Takes one answer out of this second's budget; false when it is used up.
    fn may_answer(&self, now: u32, per_second: u32) -> bool;
    /// Counts a packet that passes although no rule of the policy names it.
    fn count_observed(&self);

    /// Tells the daemon something. Lost when the daemon does not keep up: senders try again.
    fn notify(&self, event: &Event);
}
