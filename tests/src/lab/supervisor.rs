//! Ctrl-C, SIGTERM and crashes take the labs of a program down, too.

use std::{
    env,
    os::unix::process::ExitStatusExt as _,
    process::{self, Command, ExitCode, ExitStatus},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use super::leftovers;

/// Tells a supervised program the number that names its labs: that of its supervisor, which is the one
/// that whoever started it knows.
const SUPERVISOR: &str = "EDGELB_LAB_SUPERVISOR";

/// How often the supervisor looks.
const POLL: Duration = Duration::from_millis(20);

/// To be called first in `main`. Runs the program once more, to do the work, and removes what it leaves
/// behind if a signal ends it: only when it is dead is it sure that it makes nothing new.
///
/// Returns how that ended, and `None` in the program that is to do the work.
pub fn supervise() -> Result<Option<ExitCode>> {
    if env::var_os(SUPERVISOR).is_some() {
        return Ok(None);
    }
    let mut signals =
        Signals::new([SIGHUP, SIGINT, SIGTERM]).context("cannot listen for signals")?;
    let mut worker = Command::new(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env(SUPERVISOR, process::id().to_string())
        .spawn()
        .context("cannot start once more")?;
    let ended_by = loop {
        if let Some(signal) = signals.pending().next() {
            worker.kill()?;
            worker.wait()?;
            break signal;
        }
        if let Some(status) = worker.try_wait()? {
            match status.signal() {
                Some(signal) => break signal,
                None => return Ok(Some(exit_code(status))),
            }
        }
        thread::sleep(POLL);
    };
    eprintln!("\nended by signal {ended_by}: removing the lab");
    for lab in leftovers::of_this_process()? {
        leftovers::remove(&lab)?;
    }
    // As a shell would report it.
    Ok(Some(ExitCode::from(
        u8::try_from(128 + ended_by).unwrap_or(u8::MAX),
    )))
}

fn exit_code(status: ExitStatus) -> ExitCode {
    ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1))
}

/// The number that names the labs of this program.
pub fn number() -> u32 {
    env::var(SUPERVISOR)
        .ok()
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(process::id)
}
