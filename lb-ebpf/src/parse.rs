//! First stage: from bytes to a [`Packet`].

pub mod ethernet;
pub mod icmp;
pub mod ipv4;
pub mod stun;
pub mod tcp;
pub mod udp;

use lb_common::{drop_reason::DropReason, interface::Interface};

use crate::{frame::Frame, packet::Packet};

/// What a frame turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A packet that the balancer has to judge.
    Packet,
    /// Nothing of ours: another protocol, or sent to another Ethernet address.
    Foreign,
}

/// Reads the headers of a frame that came in by `interface` into `packet`, whatever was there: it is not
/// handed over by value, because the stack has no room for it.
///
/// # Errors
///
/// The reason why the frame is malformed.
#[inline(always)]
pub fn parse(
    frame: &mut impl Frame,
    interface: &Interface,
    packet: &mut Packet,
) -> Result<Parsed, DropReason> {
    if !ethernet::is_ipv4_for(frame, interface)? {
        return Ok(Parsed::Foreign);
    }
    ipv4::parse(frame, interface.zone(), packet)?;
    Ok(Parsed::Packet)
}
