//! ICMP (RFC 792).

use lb_common::drop_reason::DropReason;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::frame::{Frame, Header};

/// The part of an ICMP header that all messages have.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct IcmpHeader {
    /// Type of the message.
    pub kind: u8,
    /// Code within the type.
    pub code: u8,
    /// Checksum, in wire order.
    pub checksum: u16,
    /// Depends on the type.
    pub rest: u32,
}

impl Header for IcmpHeader {}

/// Number of ICMP in the IP header.
pub const PROTOCOL: u8 = 1;

/// "Destination unreachable" (RFC 792).
pub const DESTINATION_UNREACHABLE: u8 = 3;
/// Its code for a port that nobody listens on.
pub const PORT_UNREACHABLE: u8 = 3;
/// Its code for a packet that does not fit the next link and may not be fragmented (RFC 1191).
pub const FRAGMENTATION_NEEDED: u8 = 4;
/// "Time exceeded" (RFC 792); code 0 for the time to live.
pub const TIME_EXCEEDED: u8 = 11;
const PARAMETER_PROBLEM: u8 = 12;

/// True for a message about another packet (RFC 1122, section 3.2.2).
#[inline(always)]
pub fn is_error(frame: &mut impl Frame, at: usize, payload: usize) -> Result<bool, DropReason> {
    let kind = frame
        .header(at, |icmp: &mut IcmpHeader| icmp.kind)
        .filter(|_| payload >= size_of::<IcmpHeader>())
        .ok_or(DropReason::IcmpHeader)?;
    Ok(matches!(
        kind,
        DESTINATION_UNREACHABLE | TIME_EXCEEDED | PARAMETER_PROBLEM
    ))
}
