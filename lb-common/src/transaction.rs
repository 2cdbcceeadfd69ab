//! STUN and TURN transactions that were asked of a VIP without SNAT.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::flow::FlowKey;

/// Transactions that fit into the table; the oldest make room.
pub const MAX_TRANSACTIONS: u32 = 65_536;

/// Seconds after which a transaction is over: a client repeats its request for up to 39.5 seconds (RFC
/// 8489, section 6.2.1), and the answer to the last repetition may take its time.
pub const TRANSACTION_TIMEOUT: u32 = 60;

/// The 16 bytes after type and length of a STUN header, in memory order: the whole transaction id of RFC
/// 3489 and MS-TURN, or the cookie and 12 bytes of RFC 8489.
pub type TransactionId = [u32; 4];

/// A transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Transaction {
    /// The 5-tuple of the answer, from the node's address to the client.
    pub answer: FlowKey,
    /// The id, which the answer repeats.
    pub id: TransactionId,
}
