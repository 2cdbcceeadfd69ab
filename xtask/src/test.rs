//! `cargo xtask test`: all checks and tests, and the count of what passed.

mod stages;
mod tally;

use std::process::{Command, ExitCode};

use anyhow::Result;
use clap::ValueEnum;
use xshell::{Shell, cmd};

use self::stages::Stages;
use crate::{ebpf, privilege, setup};

/// Which tests to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Tests {
    /// What CI runs: the checks, then every test.
    All,
    /// Tests of plain code; they need no privilege.
    Unit,
    /// The eBPF objects in the kernel, packet by packet.
    Packet,
    /// edgelb between real clients and nodes. Contains what `cargo xtask lab` shows.
    Lab,
}

/// Runs the tests and says how they went, also by the exit code.
pub fn run(shell: &Shell, tests: Tests) -> Result<ExitCode> {
    if tests != Tests::Unit {
        privilege::require_root()?;
    }
    setup::run(shell)?;

    let mut stages = Stages::default();
    if tests == Tests::All {
        stages.run("format", cmd!(shell, "cargo fmt --all --check"))?;
        stages.run(
            "lints",
            cmd!(
                shell,
                "cargo clippy --workspace --all-targets -- -D warnings"
            ),
        )?;
        stages.run("eBPF lints", ebpf_lints(shell)?)?;
        let docs = cmd!(
            shell,
            "env RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps"
        );
        stages.run("docs", docs)?;
    }
    if matches!(tests, Tests::All | Tests::Unit) {
        let unit = cmd!(
            shell,
            "cargo test --no-fail-fast --workspace --exclude lb-tests"
        );
        stages.run("unit tests", unit)?;
    }
    if matches!(tests, Tests::All | Tests::Packet) {
        let packet = "--lib --bins --test packet_*".split(' ');
        let packet = cmd!(
            shell,
            "cargo test --no-fail-fast --package lb-tests {packet...}"
        );
        stages.run("packet tests", packet)?;
    }
    if matches!(tests, Tests::All | Tests::Lab) {
        stages.run(
            "edgelb",
            cmd!(shell, "cargo build --release --package lb-daemon"),
        )?;
        // One at a time: the lab's namespaces have fixed names.
        let lab = "--test lab_* -- --test-threads=1".split(' ');
        let lab = cmd!(
            shell,
            "cargo test --no-fail-fast --package lb-tests {lab...}"
        );
        stages.run("lab tests", lab)?;
    }
    Ok(stages.report())
}

/// Clippy on the code that is for the BPF target alone. It must be the clippy of the compiler that
/// has this target, which need not be the one that `cargo clippy` runs.
fn ebpf_lints(shell: &Shell) -> Result<Command> {
    let mut check = ebpf::cargo(&shell.current_dir(), "check")?;
    check
        .args(["-Zwarnings", "--config", "build.warnings='deny'"])
        .env(
            "RUSTC_WORKSPACE_WRAPPER",
            setup::clippy_driver(&ebpf::compiler()?),
        );
    Ok(check)
}
