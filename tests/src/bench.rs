//! The bench: what a packet, a flow and a connection cost, beside what they could cost at best.
//!
//! A part measures, appends its [`figures::Section`]s to the [`figures::Run`] and says what its figures
//! mean for the targets ([`target`]). A target that is missed is reported, never an error; a figure
//! that was not measured under the conditions that it claims is an error, never reported.

pub mod figures;
pub mod memory;
pub mod options;
pub mod packet;
pub mod pktgen;
pub mod report;
pub mod target;
pub mod wire;
