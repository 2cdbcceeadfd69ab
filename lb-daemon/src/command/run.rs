//! `edgelb run`.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use tracing::warn;

use crate::{cli, config::Config, controller::Controller, logging, plan::Plan};

/// Runs until SIGTERM or SIGINT.
pub fn run(options: &cli::Run) -> Result<ExitCode> {
    logging::start(options.log_format);
    let (config, warnings) = Config::load_with_warnings(&options.config)?;
    for warning in warnings {
        warn!("{}:{warning}", options.config.display());
    }
    let plan = Plan::of(&config);
    // Two threads: one for the controller, which is busy with a walk at times, one for the rest.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start")?;
    runtime.block_on(async {
        // The controller is large, and each future would hold a copy of it.
        let controller = Box::pin(Controller::start(plan, options)).await?;
        Box::pin(controller.run()).await
    })?;
    Ok(ExitCode::SUCCESS)
}
