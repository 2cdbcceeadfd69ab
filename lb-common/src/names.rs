//! Names of the programs and maps in the eBPF object: the daemon finds them by these.

/// The XDP program.
pub const PROGRAM: &str = "edgelb";
/// Takes flows off the table, on the daemon's word: its frame is an [`crate::upkeep::Ended`].
pub const FORGET: &str = "edgelb_forget";
/// Enters flows of another table, on the daemon's word: its frame is a [`crate::upkeep::Entered`].
pub const ENTER: &str = "edgelb_enter";
/// Number to `FlowCell`: the flow table. First the pairs that the turns began with.
pub const FLOWS: &str = "FLOWS";
/// Bucket to `BucketWords`: where in `FLOWS` a key is.
pub const FLOW_INDEX: &str = "FLOW_INDEX";
/// Pairs of cells of `FLOWS` that have been given back, the first to be given out again first.
pub const FLOW_PAIRS: &str = "FLOW_PAIRS";
/// [`FLOW_PAIRS_USED`], [`FLOW_SEED`] and [`TURNS_TAKEN`] to a `u64`.
pub const FLOW_TABLE: &str = "FLOW_TABLE";
/// Cell of `FLOW_TABLE`: pairs of cells that have ever been given out, beside those of the turns.
pub const FLOW_PAIRS_USED: u32 = 0;
/// Cell of `FLOW_TABLE`: the seed of the index's hash. Far from the others: those are written to.
pub const FLOW_SEED: u32 = 8;
/// Cell of `FLOW_TABLE`: turns that have ever been taken; the next flow takes that with this number, modulo the
/// number of turns.
pub const TURNS_TAKEN: u32 = 16;
/// Number of a turn to its word ([`crate::turn`]).
pub const TURNS: &str = "TURNS";
/// `ServiceKey` to `Service`.
pub const SERVICES: &str = "SERVICES";
/// Service index to `Ring`.
pub const RINGS: &str = "RINGS";
/// `node_cell` to `Node`.
pub const NODES: &str = "NODES";
/// Cell to `KnownAddress`: the VIPs and the nodes' own addresses.
pub const ADDRESSES: &str = "ADDRESSES";
/// Two `AddressIndex`es: from the hash of an address to its cell.
pub const ADDRESS_INDEX: &str = "ADDRESS_INDEX";
/// The one `AddressHash`, a `u64`.
pub const ADDRESS_HASH: &str = "ADDRESS_HASH";
/// Pool and word to 64 ports in use.
pub const SNAT_PORTS: &str = "SNAT_PORTS";
/// Pool to the number of ports ever asked of it.
pub const SNAT_CURSORS: &str = "SNAT_CURSORS";
/// Cell to `NextHop`.
pub const NEXT_HOPS: &str = "NEXT_HOPS";
/// `Neighbour` to its cell.
pub const NEIGHBOURS: &str = "NEIGHBOURS";
/// [`ROUTING_CELLS_USED`] and [`ROUTING_GENERATION`] to a `u64`.
pub const ROUTING: &str = "ROUTING";
/// Cell of `ROUTING`: cells of the adjacency array given out so far.
pub const ROUTING_CELLS_USED: u32 = 0;
/// Cell of `ROUTING`: counts the changes of the routing table.
pub const ROUTING_GENERATION: u32 = 1;
/// Kernel index modulo `INTERFACE_CELLS` to `Interface`.
pub const INTERFACES: &str = "INTERFACES";
/// `node_cell` to `NodeCounters`.
pub const NODE_COUNTERS: &str = "NODE_COUNTERS";
/// Number of the drop reason to packets; cell 0 counts what went to the kernel.
pub const VERDICTS: &str = "VERDICTS";
/// `ServiceKey` of a node's address and a port outside to `Outbound`.
pub const OUTBOUND: &str = "OUTBOUND";
/// The cache of routes: number of a line to a `route_cache::Line`.
pub const ROUTES: &str = "ROUTES";
/// `node_cell` to the word of the cache of routes that leads to the node, a `u64`.
pub const NODE_ROUTES: &str = "NODE_ROUTES";
/// `Transaction` to the second it was asked in, a `u32`; evicts the oldest.
pub const TRANSACTIONS: &str = "TRANSACTIONS";
/// `FragmentKey` to `FragmentPorts`; evicts the oldest.
pub const FRAGMENTS: &str = "FRAGMENTS";
/// `AffinityKey` to `Affinity`: clients that stay with a node that drains.
pub const AFFINITIES: &str = "AFFINITIES";
/// `node_cell` to a `u64`: flows that a node has, counted by the daemon, and those opened since.
pub const NODE_LOADS: &str = "NODE_LOADS";
/// The one `Settings`.
pub const SETTINGS: &str = "SETTINGS";
/// `Event`s for the daemon.
pub const EVENTS: &str = "EVENTS";

/// Version of what the maps that outlive the daemon mean: the flow table, the adjacency array with
/// its neighbours, and the routing state. To be raised with every change that makes an entry of an
/// earlier version mean something else; flows do not outlive it.
pub const LAYOUT: u32 = 3;

/// Every map.
pub const MAPS: [&str; 28] = [
    FLOWS,
    FLOW_INDEX,
    FLOW_PAIRS,
    FLOW_TABLE,
    TURNS,
    SERVICES,
    RINGS,
    NODES,
    ADDRESSES,
    ADDRESS_INDEX,
    ADDRESS_HASH,
    SNAT_PORTS,
    SNAT_CURSORS,
    NEXT_HOPS,
    NEIGHBOURS,
    ROUTING,
    INTERFACES,
    NODE_COUNTERS,
    VERDICTS,
    OUTBOUND,
    ROUTES,
    NODE_ROUTES,
    TRANSACTIONS,
    FRAGMENTS,
    AFFINITIES,
    NODE_LOADS,
    SETTINGS,
    EVENTS,
];

#[cfg(test)]
mod tests {
    use core::mem::offset_of;

    use super::LAYOUT;
    use crate::{
        flow::{FlowCell, FlowEntry, FlowKey, Rewrite},
        flow_index::BucketWords,
        next_hop::{Neighbour, NextHop},
    };

    /// Who changes these numbers has changed what flows of a running edgelb look like: [`LAYOUT`] must be
    /// raised, unless the new version makes of the old bytes what the old one did.
    #[test]
    fn the_layout_has_its_version() {
        let sizes = [
            size_of::<FlowKey>(),
            size_of::<FlowEntry>(),
            size_of::<FlowCell>(),
            size_of::<BucketWords>(),
            size_of::<Neighbour>(),
            size_of::<NextHop>(),
        ];
        let key = [
            offset_of!(FlowKey, source),
            offset_of!(FlowKey, destination),
            offset_of!(FlowKey, source_port),
            offset_of!(FlowKey, destination_port),
            offset_of!(FlowKey, protocol),
        ];
        let rewrite = [
            offset_of!(Rewrite, source),
            offset_of!(Rewrite, destination),
            offset_of!(Rewrite, source_port),
            offset_of!(Rewrite, destination_port),
            offset_of!(Rewrite, address_delta),
            offset_of!(Rewrite, transport_delta),
        ];
        let entry = [
            offset_of!(FlowEntry, rewrite),
            offset_of!(FlowEntry, generation),
            offset_of!(FlowEntry, next_hop),
            offset_of!(FlowEntry, node_cell),
            offset_of!(FlowEntry, snat_pool),
            offset_of!(FlowEntry, role),
            offset_of!(FlowEntry, state),
            offset_of!(FlowEntry, last_seen),
            offset_of!(FlowEntry, opened),
            offset_of!(FlowEntry, packets),
            offset_of!(FlowEntry, bytes),
        ];
        let next_hop = [
            offset_of!(NextHop, interface),
            offset_of!(NextHop, generation),
            offset_of!(NextHop, destination_mac),
            offset_of!(NextHop, source_mac),
            offset_of!(NextHop, mtu),
        ];
        assert_eq!(LAYOUT, 3);
        assert_eq!(sizes, [16, 48, 64, 64, 8, 24]);
        assert_eq!(key, [0, 4, 8, 10, 12]);
        assert_eq!(rewrite, [0, 4, 8, 10, 12, 14]);
        assert_eq!(entry, [0, 16, 20, 22, 24, 26, 27, 28, 32, 36, 40]);
        assert_eq!(next_hop, [0, 4, 8, 14, 20]);
    }
}
