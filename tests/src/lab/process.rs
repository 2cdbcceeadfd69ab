//! Programs that run in the lab, and end with it.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How long a program has to end when it is asked to.
const GRACE: Duration = Duration::from_secs(5);

/// How often something that will soon be so is looked at.
const POLL: Duration = Duration::from_millis(5);

/// A running program; it is ended when this is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    kept: bool,
}

impl Process {
    /// Starts a program; whatever it prints goes to `log`.
    pub fn start(name: &str, command: &mut Command, log: PathBuf) -> Result<Self> {
        let file = File::create(&log).with_context(|| log.display().to_string())?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            // Ctrl-C on the terminal is for the lab alone, which then ends its programs in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("{name}: {}", command.get_program().display()))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
            kept: false,
        })
    }

    /// What it has printed so far.
    pub fn printed(&self) -> String {
        fs::read(&self.log).map_or_else(
            |error| format!("{}: {error}", self.log.display()),
            |text| String::from_utf8_lossy(&text).into_owned(),
        )
    }

    /// Where it prints to.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Waits until `ready` holds.
    pub fn wait_until(
        &mut self,
        limit: Duration,
        mut ready: impl FnMut(&Self) -> bool,
    ) -> Result<()> {
        let begun = Instant::now();
        while !ready(self) {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status}):\n{}", self.name, self.printed());
            }
            if begun.elapsed() > limit {
                bail!(
                    "{} was not ready within {limit:?}:\n{}",
                    self.name,
                    self.printed()
                );
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Its process number.
    pub fn number(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(Pid::from_raw(self.child.id().cast_signed()), signal)?)
    }

    /// Sends a signal and waits for the end, at most a few seconds.
    pub fn end(&mut self, signal: Signal) -> Result<ExitStatus> {
        if self.child.try_wait()?.is_none() {
            self.signal(signal)?;
        }
        self.wait(GRACE)
    }

    /// Looks whether it has ended, and how, and leaves it a moment if not.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        if status.is_none() {
            thread::sleep(POLL);
        }
        Ok(status)
    }

    /// Waits for the end.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if begun.elapsed() > limit {
                bail!(
                    "{} did not end within {limit:?}:\n{}",
                    self.name,
                    self.printed()
                );
            }
        }
    }

    /// Leaves it running when this is dropped.
    pub fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.kept && self.end(Signal::SIGTERM).is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
