//! `edgelb`: one binary for the daemon and for everything one asks of it.

use std::process::ExitCode;

use clap::Parser as _;
use lb_daemon::{
    cli::{Cli, Command},
    command,
};

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(options) => command::run::run(&options),
        Command::Check(options) => command::check::run(&options.config, options.print),
        Command::Ports(options) => command::ports::run(&options),
        Command::Reload(options) => command::reload::run(&options),
        Command::Detach(options) => command::detach::run(&options),
        Command::Status(options) => command::status::run(&options),
        Command::Flows(options) => command::flows::run(&options),
    };
    outcome.unwrap_or_else(|error| {
        // The whole chain on one line: the last cause is what the reader can do something about.
        eprintln!("edgelb: {error:#}");
        ExitCode::FAILURE
    })
}
