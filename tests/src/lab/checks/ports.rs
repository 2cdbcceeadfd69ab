//! Ports for the clients of checks. None is used twice, so that no connection of before is in the way.

use std::sync::atomic::{AtomicU16, Ordering};

/// A port of the range for media.
pub fn media() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(58_000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A port that no row names, and that no kernel gives away by itself.
pub fn other() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
