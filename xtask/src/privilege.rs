//! Who runs this.

use std::{fs, os::unix::fs::MetadataExt as _};

use anyhow::{Result, ensure};

/// True for root.
pub fn is_root() -> bool {
    // A process belongs to its effective user; the standard library has no other way to ask.
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Refuses what would fail later, and less clearly.
pub fn require_root() -> Result<()> {
    ensure!(
        is_root(),
        "this needs root: it makes network namespaces and loads eBPF programs"
    );
    Ok(())
}
