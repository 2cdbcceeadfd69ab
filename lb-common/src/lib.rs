//! What the data path and the daemon share: wire types and the layout of every map.
//!
//! All types here are plain values of fixed layout (`repr(C)`, no padding), because the kernel
//! copies them byte by byte between the two sides. Addresses and ports are held in wire order and
//! only leave it through the conversions in [`net`].

#![no_std]
// The data path compiles these into one BPF program; a call would cost it a stack frame.
#![allow(clippy::inline_always)]

pub mod address;
pub mod affinity;
pub mod bench_packet;
pub mod bench_wire;
pub mod counters;
pub mod drop_reason;
pub mod event;
pub mod flow;
pub mod flow_index;
pub mod fragment;
pub mod interface;
pub mod names;
pub mod net;
pub mod next_hop;
pub mod policy;
pub mod route_cache;
pub mod service;
pub mod settings;
pub mod transaction;
pub mod turn;
pub mod upkeep;
