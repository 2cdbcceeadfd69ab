//! One module per subcommand.

pub mod check;
pub mod detach;
pub mod flows;
pub mod ports;
pub mod reload;
pub mod run;
pub mod status;

use std::io::{self, Write as _};

use anyhow::{Context as _, Result};

/// Writes to standard output. Not `println`, which panics when the reader (`| head`) has gone: that it
/// has heard enough is no error.
fn show(text: impl std::fmt::Display) -> Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("standard output")
        }
        _ => Ok(()),
    }
}
