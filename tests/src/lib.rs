//! What the tests of edgelb share: packets and the two runners of packet cases, the lab, and the bench.

// A helper of a test says by a panic that the test has failed.
#![allow(clippy::missing_panics_doc)]

pub mod bench;
pub mod case;
pub mod lab;
pub mod packet;
pub mod runner;
