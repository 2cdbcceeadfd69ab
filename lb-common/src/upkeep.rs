//! What the daemon asks the flow table for: lists of flows, as frames that it runs the programs for upkeep
//! with. Only the data path writes to the index, because only it has atomic operations on it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::flow::{FlowCell, FlowKey};

/// Flows in one [`Ended`] frame.
pub const ENDED: usize = 16;
/// Flows in one [`Entered`] frame.
pub const ENTERED: usize = 4;

/// A flow that is over.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct EndedFlow {
    /// Key of the client's packets.
    pub key: FlowKey,
    /// When that direction and the other one had carried their latest packet (second of the monotonic clock),
    /// to whoever says that the flow is over: a packet since then means that it is not.
    pub last_seen: [u32; 2],
    /// 1 where the flow ends whatever has come by since.
    pub at_once: u32,
    /// Keeps the layout free of padding.
    pub reserved: u32,
}

/// A list of flows that are over. Vacant keys are no flows.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Ended {
    /// The flows.
    pub flows: [EndedFlow; ENDED],
}

/// A flow of another table.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EnteredFlow {
    /// The direction of the client's packets, and that of the answers. A flow that is not confirmed stays so.
    pub cells: [FlowCell; 2],
    /// The acknowledgment number that confirms one that is not confirmed yet ([`crate::turn::Turn::expected`]).
    pub expected: u32,
    /// Keeps the layout free of padding.
    pub reserved: u32,
}

/// A list of flows of another table. Vacant keys are no flows.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Entered {
    /// The flows.
    pub flows: [EnteredFlow; ENTERED],
}

// A test run takes one page, less some room in front and behind. These are smaller: the verifier goes through a
// program once for each flow of a list.
const _: () = assert!(size_of::<Ended>() <= 3072 && size_of::<Entered>() <= 3072);
