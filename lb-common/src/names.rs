//! Names of the programs and maps in the eBPF object: the daemon finds them by these.

/// The XDP program.
pub const PROGRAM: &str = "edgelb";
/// `FlowKey` to `FlowEntry`, confirmed flows; never evicts.
pub const FLOWS: &str = "FLOWS";
/// `FlowKey` to `FlowEntry`, flows that are not yet confirmed; evicts the oldest.
pub const HALF_OPEN: &str = "HALF_OPEN";
/// `ServiceKey` to `Service`.
pub const SERVICES: &str = "SERVICES";
/// Service index to `Ring`.
pub const RINGS: &str = "RINGS";
/// `node_cell` to `Node`.
pub const NODES: &str = "NODES";
/// `Ip4` of every VIP to the number of its zone, a `u32`.
pub const VIPS: &str = "VIPS";
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
/// `Ip4` of every node to its `NodeAddress`.
pub const NODE_ADDRESSES: &str = "NODE_ADDRESSES";
/// `ServiceKey` of a node's address and a port outside to `Outbound`.
pub const OUTBOUND: &str = "OUTBOUND";
/// `Destination` to `CachedRoute`; evicts the oldest.
pub const ROUTES: &str = "ROUTES";
/// `Transaction` to the second it was asked in, a `u32`; evicts the oldest.
pub const TRANSACTIONS: &str = "TRANSACTIONS";
/// `FragmentKey` to `FragmentPorts`; evicts the oldest.
pub const FRAGMENTS: &str = "FRAGMENTS";
/// The one `Settings`.
pub const SETTINGS: &str = "SETTINGS";
/// `Event`s for the daemon.
pub const EVENTS: &str = "EVENTS";

/// Every map.
pub const MAPS: [&str; 21] = [
    FLOWS,
    HALF_OPEN,
    SERVICES,
    RINGS,
    NODES,
    VIPS,
    SNAT_PORTS,
    SNAT_CURSORS,
    NEXT_HOPS,
    NEIGHBOURS,
    ROUTING,
    INTERFACES,
    NODE_COUNTERS,
    VERDICTS,
    NODE_ADDRESSES,
    OUTBOUND,
    ROUTES,
    TRANSACTIONS,
    FRAGMENTS,
    SETTINGS,
    EVENTS,
];
