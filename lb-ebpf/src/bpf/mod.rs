//! Where the pure logic meets the kernel: the only unsafe code and the only use of aya.

pub mod atomic;
pub mod clock;
mod flow_calls;
pub mod flows;
pub mod frame;
pub mod maps;
