//! `edgelb detach`.

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use super::show;
use crate::{cli, detach, logging};

/// Takes the data path off the machine.
pub fn run(options: &cli::Detach) -> Result<ExitCode> {
    logging::start(cli::LogFormat::Human);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let told = runtime.block_on(detach::detach(&options.pin_dir))?;
    if told.is_empty() {
        let folder = options.pin_dir.display();
        show(format!("{folder}: there is no data path to take off"))?;
    }
    for line in told {
        show(line)?;
    }
    Ok(ExitCode::SUCCESS)
}
