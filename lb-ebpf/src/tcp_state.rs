//! The life of a TCP flow as a balancer in the middle sees it.
//!
//! The two directions of a flow each have a state of their own, because each entry only sees its own
//! packets. A flow is closing as soon as one of them is.

use lb_common::flow::FlowState;

use crate::packet::TcpFlags;

/// State of one direction of an established flow after a packet with `flags` in that direction.
///
/// A RST that its receiver does not accept (RFC 5961: anybody can send one) ends nothing. Whoever
/// really sent it is gone and sends no data after it, so plain data from the same side takes it back.
#[inline(always)]
pub fn after(state: FlowState, flags: TcpFlags) -> FlowState {
    if flags.any(TcpFlags::RST) {
        FlowState::RESET
    } else if flags.any(TcpFlags::FIN) {
        FlowState::FIN
    } else if state == FlowState::RESET && !flags.any(TcpFlags::SYN) {
        FlowState::ESTABLISHED
    } else {
        state
    }
}

/// True when the client's acknowledgment proves that it has seen the SYN-ACK: it is the number
/// expected or one of the first 64 KiB that may have followed it. A forger must guess it.
#[inline(always)]
pub const fn confirms(acknowledgment: u32, expected: u32) -> bool {
    acknowledgment.wrapping_sub(expected) < 0x1_0000
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DATA: TcpFlags = TcpFlags::ACK;
    const SYN: TcpFlags = TcpFlags::SYN;
    const FIN: TcpFlags = TcpFlags(TcpFlags::FIN.0 | TcpFlags::ACK.0);
    const RST: TcpFlags = TcpFlags::RST;

    #[test]
    fn every_step() {
        use FlowState as S;
        for (state, flags, expected) in [
            (S::ESTABLISHED, DATA, S::ESTABLISHED),
            (S::ESTABLISHED, SYN, S::ESTABLISHED),
            (S::ESTABLISHED, FIN, S::FIN),
            (S::ESTABLISHED, RST, S::RESET),
            (S::FIN, DATA, S::FIN),
            (S::FIN, FIN, S::FIN),
            (S::FIN, RST, S::RESET),
            (S::RESET, RST, S::RESET),
            (S::RESET, SYN, S::RESET),
            (S::RESET, DATA, S::ESTABLISHED),
            (S::RESET, FIN, S::FIN),
        ] {
            assert_eq!(after(state, flags), expected, "{state:?} {flags:?}");
        }
    }

    #[test]
    fn an_acknowledgment_confirms_in_its_window_only() {
        for (acknowledgment, expected, confirmed) in [
            (1000, 1000, true),
            (1000 + 0xffff, 1000, true),
            (1000 + 0x1_0000, 1000, false),
            (999, 1000, false),
            (5, u32::MAX, true),
        ] {
            assert_eq!(
                confirms(acknowledgment, expected),
                confirmed,
                "{acknowledgment} {expected}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_rst_always_closes(state in 2_u8..=4, flags: u8) {
            let state = [FlowState::ESTABLISHED, FlowState::FIN, FlowState::RESET][usize::from(state) - 2];
            let next = after(state, TcpFlags(flags | TcpFlags::RST.0));
            prop_assert!(next.is_closing());
        }
    }
}
