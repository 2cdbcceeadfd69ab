//! Why a packet was dropped: one list for data path, status, metrics and documentation.

macro_rules! drop_reasons {
    ($($(#[doc = $meaning:literal])+ $variant:ident = $name:literal,)+) => {
        /// Why a packet was dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        #[allow(clippy::manual_non_exhaustive)] // `Passed` is a cell, not a reason.
        pub enum DropReason {
            /// Never given: cell 0 of the counters is for packets that went to the kernel.
            #[doc(hidden)]
            Passed = 0,
            $($(#[doc = $meaning])+ $variant,)+
        }

        impl DropReason {
            /// Every reason, in the order of its number.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Stable name, as in `edgelb status` and in metrics.
            pub const fn name(self) -> &'static str {
                match self {
                    Self::Passed => "passed",
                    $(Self::$variant => $name,)+
                }
            }

            /// One line for people.
            pub const fn meaning(self) -> &'static str {
                match self {
                    Self::Passed => "handed to the machine's own network stack",
                    $(Self::$variant => concat!($($meaning,)+).trim_ascii_start(),)+
                }
            }
        }
    };
}

drop_reasons! {
    /// frame shorter than an Ethernet header
    EthernetTruncated = "ethernet-truncated",
    /// IPv4 header cut off, or its version or header length is wrong
    Ipv4Header = "ipv4-header",
    /// IPv4 total length larger than the frame or smaller than the headers
    Ipv4Length = "ipv4-length",
    /// source address that no packet may have (0/8, 127/8, multicast, reserved, or a VIP)
    Ipv4Source = "ipv4-source",
    /// TCP header cut off, or its data offset is wrong
    TcpHeader = "tcp-header",
    /// ICMP header cut off
    IcmpHeader = "icmp-header",
    /// ICMP error about a packet that its receiver cannot have sent
    IcmpQuote = "icmp-quote",
    /// UDP header cut off, or its length does not fit the packet
    UdpHeader = "udp-header",
    /// fragment for a VIP, and the first fragment of its packet has not come before it
    Fragment = "fragment",
    /// time to live used up
    TtlExpired = "ttl-expired",
    /// larger than the next link's MTU
    TooBig = "too-big",
    /// to or from a node's own address, on ports that the policy does not name
    Policy = "policy",
    /// to a VIP, on a port that is no service
    PortClosed = "port-closed",
    /// to a service, within no flow, and not a packet that opens one
    NoFlow = "no-flow",
    /// new flow refused: no node can take it
    NoNode = "no-node",
    /// new flow refused: every SNAT port towards this node is in use
    SnatPortsExhausted = "snat-ports-exhausted",
    /// new flow refused: the flow table is full
    FlowTableFull = "flow-table-full",
    /// new flow refused: the node already has a flow with these very addresses and ports
    FlowCollision = "flow-collision",
    /// the kernel has no route to the destination
    NoRoute = "no-route",
    /// the next hop has not answered ARP yet
    NextHopUnresolved = "next-hop-unresolved",
    /// no cell of the adjacency array is free
    NextHopTableFull = "next-hop-table-full",
    /// from the external to the internal side or back, or out of an interface without edgelb (H13)
    ZoneCrossing = "zone-crossing",
    /// for a host that is neither a node nor this machine, which does not route (H13)
    NotRouted = "not-routed",
    /// frame changed between reading and writing it; cannot happen
    FrameShrunk = "frame-shrunk",
}

/// Cells of the counters: one per reason, cell 0, and those at the end.
pub const VERDICT_CELLS: u32 = 64;

/// Counts packets that were routed to or from a node's own address.
pub const ROUTED_CELL: u32 = VERDICT_CELLS - 1;

/// Counts dropped packets that were answered by a RST or an ICMP error.
pub const ANSWERED_CELL: u32 = VERDICT_CELLS - 2;

/// Counts routed packets that no rule of the policy names, while it is only observed.
pub const OBSERVED_CELL: u32 = VERDICT_CELLS - 3;

/// Counts what was forwarded for nodes that are gone; written by the daemon alone.
pub const GONE_CELL: u32 = VERDICT_CELLS - 4;

const _: () = assert!(DropReason::ALL.len() < GONE_CELL as usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_and_names_unique() {
        for (index, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index + 1);
            assert!(!reason.meaning().is_empty() && !reason.meaning().starts_with(' '));
            for other in &DropReason::ALL[..index] {
                assert_ne!(reason.name(), other.name());
            }
        }
    }
}
