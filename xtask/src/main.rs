//! The one door to everything that a person or CI runs on this repository: `cargo xtask help`.

mod bench;
mod build;
mod ebpf;
mod lab;
mod privilege;
mod setup;
mod test;

use std::{env, ffi::OsString, path::Path, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::Parser;
use xshell::Shell;

/// Everything that a person or CI runs on edgelb. Each command prints the commands that it runs.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
enum Command {
    /// Install what the build, the tests and the lab need; only what is missing.
    Setup,
    /// Build the eBPF objects and edgelb.
    Build {
        /// Optimise edgelb. The eBPF objects always are.
        #[arg(long)]
        release: bool,
    },
    /// Set up, check format, lints and documentation, and run the tests.
    Test {
        /// Which tests; anything but all of them skips the checks too.
        #[arg(default_value = "all")]
        tests: test::Tests,
    },
    /// Set up and run the lab: edgelb between clients and nodes in network namespaces.
    #[command(disable_help_flag = true)]
    Lab {
        /// Handed to the lab; `--help` tells what there is.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Set up and run the benchmarks: what a packet, a flow and a connection cost.
    #[command(disable_help_flag = true)]
    Bench {
        /// Handed to the bench; `--help` tells what there is. Paths are relative to the workspace.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    forget_own_package();
    run(&Command::parse()).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Forgets what Cargo has told this program about its package. The build scripts of other packages
/// would hear it too, and ring's is run anew, with all that depends on it, whenever it changes.
fn forget_own_package() {
    let told = env::vars_os().map(|(name, _)| name).filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with("CARGO_MANIFEST_") || name.starts_with("CARGO_PKG_")
    });
    for name in told {
        // SAFETY: this is the first that the program does: there is no other thread.
        unsafe { env::remove_var(name) };
    }
}

fn run(command: &Command) -> Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask lies in the workspace")?;
    let shell = Shell::new()?;
    shell.change_dir(root);
    match command {
        Command::Setup => setup::run(&shell)?,
        Command::Build { release } => build::run(&shell, *release)?,
        Command::Test { tests } => return test::run(&shell, *tests),
        Command::Lab { arguments } => lab::run(&shell, arguments)?,
        Command::Bench { arguments } => bench::run(&shell, arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lab_and_bench_get_their_arguments_untouched() {
        let given = ["down", "--keep", "-x", "--help", "--"];
        for command in ["lab", "bench"] {
            for arguments in [&given[..], &given[1..], &given[3..4], &[]] {
                let command = ["xtask", command];
                let line = command.iter().chain(arguments);
                match Command::try_parse_from(line) {
                    Ok(
                        Command::Lab { arguments: handed } | Command::Bench { arguments: handed },
                    ) => {
                        assert_eq!(handed, arguments);
                    }
                    _ => panic!("{command:?} {arguments:?}"),
                }
            }
        }
    }
}
