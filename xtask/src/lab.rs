//! `cargo xtask lab`: runs the lab of lb-tests.

use std::{ffi::OsString, os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Result};
use xshell::{Shell, cmd};

use crate::{privilege, setup};

/// Sets up, builds, and becomes the lab.
pub fn run(shell: &Shell, arguments: &[OsString]) -> Result<()> {
    privilege::require_root()?;
    setup::run(shell)?;
    // The lab runs the program that is shipped.
    cmd!(shell, "cargo build --release --package lb-daemon").run()?;
    let lab = cmd!(
        shell,
        "cargo run --release --package lb-tests --bin lab -- {arguments...}"
    );
    eprintln!("$ {lab}");
    // Nothing stays in between: the lab gets the terminal and its signals as if called directly.
    Err(Command::from(lab).exec()).context("cargo")
}
