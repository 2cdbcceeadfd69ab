//! STUN and TURN over UDP: RFC 8489, RFC 3489 and MS-TURN have the same header of 20 bytes.

use lb_common::transaction::TransactionId;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    frame::{Frame, Header},
    packet::{Stun, StunKind},
};

/// A STUN header (RFC 8489, section 5).
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StunHeader {
    /// Two zero bits, class and method, in wire order.
    pub kind: u16,
    /// Length of what follows the header, in wire order.
    pub length: u16,
    /// Transaction id, with the cookie where there is one.
    pub id: TransactionId,
}

impl Header for StunHeader {}

/// Set in every type that is no STUN: `ChannelData` (RFC 8656, section 12), RTP, DTLS.
const NOT_STUN: u16 = 0xc000;
/// The class bit that success and error responses share.
const IS_RESPONSE: u16 = 0x0100;
/// The class bit of indications; with [`IS_RESPONSE`], of error responses.
const IS_INDICATION: u16 = 0x0010;
/// `Send` of MS-TURN, never answered; `Refresh` of RFC 8656, which is.
const SEND: u16 = 0x0004;
/// `Data` of MS-TURN, an indication in spite of its class bits.
const DATA: u16 = 0x0115;
/// The cookie that says RFC 8489, in memory order.
const COOKIE: u32 = 0x2112_a442_u32.to_be();

/// Reads the STUN header `at` bytes into the frame, in UDP data of `payload` bytes. Data that is no STUN
/// message, or not exactly one, is [`StunKind::None`].
#[inline(always)]
pub fn read(frame: &mut impl Frame, at: usize, payload: usize, found: &mut Stun) {
    // Where the data is too short for a header there is none.
    let _ = frame.header(at, |stun: &mut StunHeader| {
        let kind = u16::from_be(stun.kind);
        let length = usize::from(u16::from_be(stun.length));
        if kind & NOT_STUN == 0 && length + size_of::<StunHeader>() == payload {
            found.kind = kind_of(kind, stun.id[0]);
            found.id = stun.id;
        }
    });
}

#[inline(always)]
const fn kind_of(kind: u16, cookie: u32) -> StunKind {
    if cookie != COOKIE && (kind == SEND || kind == DATA) {
        StunKind::None
    } else if kind & IS_RESPONSE != 0 {
        StunKind::Answer
    } else if kind & IS_INDICATION != 0 {
        StunKind::None
    } else {
        StunKind::Request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_messages() {
        use StunKind as K;
        for (kind, cookie, expected) in [
            (0x0001, COOKIE, K::Request),
            (0x0101, COOKIE, K::Answer),
            (0x0111, COOKIE, K::Answer),
            (0x0016, COOKIE, K::None),
            (0x0004, COOKIE, K::Request),
            // MS-TURN.
            (0x0003, 7, K::Request),
            (0x0113, 7, K::Answer),
            (0x0103, 7, K::Answer),
            (0x0004, 7, K::None),
            (0x0006, 7, K::Request),
            (0x0116, 7, K::Answer),
            (0x0115, 7, K::None),
        ] {
            assert_eq!(kind_of(kind, cookie), expected, "{kind:04x}");
        }
    }
}
