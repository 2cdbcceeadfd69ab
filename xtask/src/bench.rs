//! `cargo xtask bench`: runs the bench of lb-tests.

use std::{ffi::OsString, os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Result};
use xshell::{Shell, cmd};

use crate::{privilege, setup};

/// Sets up, builds, and becomes the bench.
pub fn run(shell: &Shell, arguments: &[OsString]) -> Result<()> {
    privilege::require_root()?;
    setup::run(shell)?;
    // What is measured is what is shipped.
    cmd!(shell, "cargo build --release --package lb-daemon").run()?;
    let bench = cmd!(
        shell,
        "cargo run --release --package lb-tests --bin bench -- {arguments...}"
    );
    eprintln!("$ {bench}");
    // As with the lab, nothing stays in between.
    Err(Command::from(bench).exec()).context("cargo")
}
