//! `cargo xtask setup`: brings a machine to the point where everything builds and the lab runs.
//!
//! Looks first and installs only what is missing, so that a machine that has it all needs neither root
//! nor network.

mod apt;
mod dormant;
mod kernel;
mod toolchain;

use std::time::Instant;

use anyhow::{Context as _, Result};
use xshell::Shell;

use self::apt::Apt;
pub use self::toolchain::clippy_driver;

/// What the build, the tests and the lab call, beside what every Debian has.
const PACKAGES: [&str; 19] = [
    "bind9-dnsutils",
    "build-essential",
    "ca-certificates",
    "coturn",
    "curl",
    "dnsmasq-base",
    "ethtool",
    "haproxy",
    "iproute2",
    "iputils-arping",
    "iputils-ping",
    "libnginx-mod-stream",
    "nftables",
    "nginx-light",
    "openssl",
    "procps",
    "sip-tester",
    "tcpdump",
    "tshark",
];

/// Brings what is missing.
pub fn run(shell: &Shell) -> Result<()> {
    let mut apt = Apt::new(shell);
    step("packages", || {
        apt.bring(&PACKAGES)?;
        Ok(format!("all {} installed", PACKAGES.len()))
    })?;
    step("BPF compiler", || {
        toolchain::bring_compiler(shell, &mut apt)
    })?;
    step("bpf-linker", || toolchain::bring_linker(shell))?;
    step("kernel", || kernel::check(shell))
}

/// Takes a step and prints what it has come to.
fn step(name: &str, take: impl FnOnce() -> Result<String>) -> Result<()> {
    let begun = Instant::now();
    let outcome = take().with_context(|| format!("setup, {name}"))?;
    eprintln!(
        "setup: {name:<12} {:>6.1} s  {outcome}",
        begun.elapsed().as_secs_f32()
    );
    Ok(())
}
