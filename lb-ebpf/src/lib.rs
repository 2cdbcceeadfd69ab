//! The packet logic of edgelb, as pure code: no kernel, no clock, no unsafe.
//!
//! The same source is compiled into the XDP program (`main.rs`, which adds the maps and the packet
//! pointer) and into host tests. A packet goes through three stages:
//!
//! 1. [`parse`] reads bounds-checked headers into a [`packet::Packet`]; it knows no table.
//! 2. [`decide`] looks the packet up and comes to a [`verdict::Verdict`]; it sees no bytes.
//! 3. [`apply`] writes the verdict into the packet; it knows no table.

#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]
// Cross-crate inlining into one BPF program is the point of these attributes: a call that is not
// inlined on the established path costs a stack frame and the constants that fold the code.
#![allow(clippy::inline_always)]

#[cfg(test)]
extern crate std;

pub mod adjacency;
pub mod answer;
pub mod apply;
pub mod checksum;
pub mod decide;
pub mod flow_table;
pub mod frame;
pub mod packet;
pub mod parse;
pub mod route_cache;
pub mod snat_port;
pub mod spread;
pub mod tables;
pub mod tcp_state;
pub mod treatment;
pub mod verdict;
