//! `edgelb reload`.

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use super::show;
use crate::{
    api::{Question, ask},
    cli,
};

/// Has a running edgelb apply its configuration file, and prints what has changed.
pub fn run(options: &cli::Reload) -> Result<ExitCode> {
    let changes: Vec<String> = ask(&options.control_socket, Question::Reload)
        .context("not reloaded, everything is as it was")?;
    if changes.is_empty() {
        show("nothing has changed")?;
    }
    for change in changes {
        show(change)?;
    }
    Ok(ExitCode::SUCCESS)
}
