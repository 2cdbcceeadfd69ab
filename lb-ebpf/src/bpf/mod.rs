//! Where the pure logic meets the kernel: the only unsafe code and the only use of aya.

pub mod atomic;
pub mod clock;
pub mod flows;
pub mod frame;
pub mod maps;
