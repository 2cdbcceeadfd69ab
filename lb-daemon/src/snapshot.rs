//! What the daemon shows of itself: a read-only view, the same for every output.
//!
//! The control socket answers with these shapes as JSON; `edgelb status` and `edgelb flows` print
//! them. Fields are only ever added, so that scripts on `--json` keep working.

use std::net::{Ipv4Addr, SocketAddrV4};

use serde::{Deserialize, Serialize};

/// Answer to `edgelb status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the running daemon.
    pub version: String,
    /// `[pool] name` of the configuration.
    pub pool: String,
    /// Seconds since the daemon started.
    pub uptime_seconds: u64,
    /// Every interface that carries the XDP program.
    pub interfaces: Vec<InterfaceStatus>,
    /// The VIPs, and which interface holds them.
    pub vips: Vec<VipStatus>,
    /// Every balanced service.
    pub services: Vec<ServiceStatus>,
    /// How full the flow table is.
    pub flow_table: FlowTableStatus,
    /// Packets by verdict since the maps were made.
    pub packets: PacketTotals,
    /// Drops by reason; reasons that never occurred are left out.
    pub drops: Vec<DropStatus>,
}

/// One interface with the program on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceStatus {
    /// Kernel name of the interface.
    pub name: String,
    /// Kernel index of the interface.
    pub index: u32,
    /// `external` or `internal`.
    pub zone: String,
    /// `native`, or `generic` where the driver has no XDP of its own (several times slower).
    pub mode: String,
}

/// One VIP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VipStatus {
    /// Name in the configuration: `access`, `webconf`, `av`, `internal`, or the name of a service.
    pub name: String,
    /// The address.
    pub address: Ipv4Addr,
    /// The interface that holds it.
    pub interface: String,
    /// True where edgelb put the address there and takes it away at a clean stop.
    pub managed: bool,
}

/// One balanced service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Name of the service: `access-443`, or that of `[[services]]`.
    pub name: String,
    /// VIP and port.
    pub listen: SocketAddrV4,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// `snat`, `dnat` or `vip-out` (connections of the nodes that leave from the VIP; `listen` then has
    /// the port outside).
    pub treatment: String,
    /// Sums over the nodes.
    pub traffic: Traffic,
    /// Flows by state, over all nodes.
    pub flows: FlowCounts,
    /// The nodes behind the service.
    pub nodes: Vec<NodeStatus>,
}

/// One node of one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Name in the configuration.
    pub name: String,
    /// Where the service listens on the node.
    pub address: SocketAddrV4,
    /// Share of new flows, relative to the weights of the other nodes.
    pub weight: u32,
    /// `up`: takes new flows; `down`: its checks, or those of the service's gate, fail; `draining` and
    /// `disabled`: it takes none, by an administrator's word.
    pub state: String,
    /// While the node drains: seconds for which the clients that were with it still get their new flows
    /// there (`source-ip` affinity); nothing where they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clients_stay_seconds: Option<u64>,
    /// What the service's own checks say of it; nothing where it is not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthStatus>,
    /// Packets and bytes to and from this node for this service.
    pub traffic: Traffic,
    /// Flows by state.
    pub flows: FlowCounts,
    /// Flows opened since the maps were made.
    pub opened: u64,
}

/// What the checks say of a node of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthStatus {
    /// How it is asked: `tcp`, `tls`, `sip`, `ms-turn`, `stun` or `http`.
    pub check: String,
    /// Whether it answers.
    pub healthy: bool,
    /// Seconds since it began to, or ceased to.
    pub for_seconds: u64,
    /// Milliseconds since the last check was over; nothing before the first.
    pub checked_ago_ms: Option<u64>,
    /// How long the last good answer took (microseconds).
    pub latency_us: Option<u64>,
    /// What was wrong the last time that something was.
    pub last_error: Option<String>,
    /// Seconds since then.
    pub last_error_ago_seconds: Option<u64>,
    /// Name of the other service that the node must be healthy for as well.
    pub gate: Option<String>,
}

/// Packets and bytes, counted at IP level (bytes are IP total lengths, without Ethernet).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// From clients to nodes.
    pub packets_in: u64,
    /// From clients to nodes.
    pub bytes_in: u64,
    /// From nodes to clients.
    pub packets_out: u64,
    /// From nodes to clients.
    pub bytes_out: u64,
}

/// Number of flows by state, as of the last walk over the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowCounts {
    /// Not yet confirmed by both sides.
    pub half_open: u64,
    /// Confirmed and in use.
    pub established: u64,
    /// A RST or FIN was seen.
    pub closing: u64,
}

/// How full the flow table is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowTableStatus {
    /// Confirmed flows that fit.
    pub capacity: u64,
    /// Confirmed flows.
    pub used: u64,
    /// Half-open flows that fit beside them before the oldest are pushed out.
    pub half_open_capacity: u64,
    /// Half-open flows.
    pub half_open_used: u64,
    /// Seconds an idle flow is kept, by state.
    pub idle: IdleTimeouts,
}

/// Idle timeouts in force, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdleTimeouts {
    /// Established TCP.
    pub tcp_established: u64,
    /// TCP before the handshake is complete.
    pub tcp_half_open: u64,
    /// TCP after a RST or FIN.
    pub tcp_closing: u64,
    /// UDP.
    pub udp: u64,
}

/// Packets by verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketTotals {
    /// Rewritten and sent on, over all services.
    pub forwarded: u64,
    /// Sent on as they were, to or from a node's own address.
    #[serde(default)]
    pub routed: u64,
    /// Given to this machine's own network stack.
    pub passed: u64,
    /// Dropped, for whatever reason.
    pub dropped: u64,
    /// Of those dropped, answered by a RST or an ICMP error.
    #[serde(default)]
    pub answered: u64,
    /// Of those routed, named by no rule: `[policy] mode = "enforce"` would drop them.
    #[serde(default)]
    pub observed: u64,
}

/// Drops for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropStatus {
    /// Stable name, in kebab case.
    pub reason: String,
    /// One line for the reader.
    pub meaning: String,
    /// Packets dropped.
    pub packets: u64,
}

/// One live flow; answer to `edgelb flows` is a list of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowStatus {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// `snat`, `dnat` or `vip-out` (the client is the node then, and the node address is outside).
    pub treatment: String,
    /// Name of the service.
    pub service: String,
    /// Name of the node.
    pub node: String,
    /// Who asked.
    pub client: SocketAddrV4,
    /// What was asked.
    pub vip: SocketAddrV4,
    /// The source that the node sees: the VIP and the SNAT port, or the client itself (`dnat`).
    pub source: SocketAddrV4,
    /// Where the node is asked.
    pub node_address: SocketAddrV4,
    /// `half-open`, `established` or `closing`.
    pub state: String,
    /// Seconds since the first packet.
    pub age_seconds: u64,
    /// Seconds since the last packet, accurate to the data path's tick of one second.
    pub idle_seconds: u64,
    /// Packets from the client.
    pub packets_in: u64,
    /// Packets from the node.
    pub packets_out: u64,
    /// Bytes from the client (IP total lengths).
    pub bytes_in: u64,
    /// Bytes from the node (IP total lengths).
    pub bytes_out: u64,
}
