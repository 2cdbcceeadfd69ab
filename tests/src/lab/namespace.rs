//! Network namespaces: made, entered, and deleted with everything in them.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::{
    sched::{CloneFlags, setns},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Where `ip netns` keeps the named namespaces.
const FOLDER: &str = "/run/netns";

/// How long a process has to end by itself.
const GRACE: Duration = Duration::from_secs(2);

/// A named network namespace; it goes when this is dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    kept: bool,
}

impl Namespace {
    /// Makes it.
    pub fn create(name: String) -> Result<Self> {
        run(Command::new("ip").args(["netns", "add", &name]))?;
        Ok(Self { name, kept: false })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Leaves it in place when this is dropped.
    pub fn keep(&mut self) {
        self.kept = true;
    }

    /// Runs lines of `ip` in it. `ip` stops at the first that fails.
    pub fn ip(&self, lines: &str) -> Result<()> {
        let mut child = Command::new("ip")
            .args(["-n", &self.name, "-batch", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("ip")?;
        child
            .stdin
            .take()
            .context("standard input is piped")?
            .write_all(lines.as_bytes())?;
        let output = child.wait_with_output()?;
        ensure!(
            output.status.success(),
            "{}: {}{lines}",
            self.name,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// Sets sysctls in it, by their path below `/proc/sys`.
    pub fn sysctl(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.enter(|| {
            for (name, value) in settings {
                fs::write(Path::new("/proc/sys").join(name), value)
                    .with_context(|| format!("sysctl {name}"))?;
            }
            Ok(())
        })?
    }

    /// Runs `work` on a thread of its own in this namespace: sockets that it opens stay there.
    pub fn enter<R: Send>(&self, work: impl FnOnce() -> R + Send) -> Result<R> {
        let namespace = self.open()?;
        thread::scope(|scope| {
            scope
                .spawn(move || {
                    setns(&namespace, CloneFlags::CLONE_NEWNET)?;
                    Ok(work())
                })
                .join()
                .map_err(|panic| anyhow!("{}: {}", self.name, message(&*panic)))?
        })
    }

    /// A command that will run in it. Only the network is the namespace's: unlike with `ip netns exec`,
    /// mounts are those of the caller, so a bpffs stays in sight.
    pub fn command(&self, program: impl AsRef<Path>) -> Result<Command> {
        let namespace = self.open()?;
        let mut command = Command::new(program.as_ref());
        // SAFETY: between fork and exec the closure makes one system call and allocates nothing.
        unsafe {
            command.pre_exec(move || {
                setns(&namespace, CloneFlags::CLONE_NEWNET).map_err(io::Error::from)
            });
        }
        Ok(command)
    }

    /// A way in for threads that outlive a borrow of it.
    pub fn entrance(&self) -> Result<Entrance> {
        Ok(Entrance(self.open()?))
    }

    fn open(&self) -> Result<File> {
        let path = Path::new(FOLDER).join(&self.name);
        File::open(&path).with_context(|| format!("namespace {}", self.name))
    }
}

/// A way into a namespace.
#[derive(Debug)]
pub struct Entrance(File);

impl Entrance {
    /// The same way once more.
    pub fn try_clone(&self) -> Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    /// Takes the calling thread there, for good.
    pub fn enter(&self) -> Result<()> {
        Ok(setns(&self.0, CloneFlags::CLONE_NEWNET)?)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = delete(&self.name)
        {
            eprintln!("namespace {}: {error:#}", self.name);
        }
    }
}

/// The names of all namespaces.
pub fn all() -> Result<Vec<String>> {
    let entries = match fs::read_dir(FOLDER) {
        Ok(entries) => entries,
        // Before the first `ip netns add`.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context(FOLDER),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

/// Ends every process in a namespace and deletes it; that it is gone already is as good.
pub fn delete(name: &str) -> Result<()> {
    if !path(name).exists() {
        return Ok(());
    }
    end_all(name, Signal::SIGTERM)?;
    let begun = Instant::now();
    while begun.elapsed() < GRACE && !processes(name)?.is_empty() {
        thread::sleep(Duration::from_millis(5));
    }
    end_all(name, Signal::SIGKILL)?;
    run(Command::new("ip").args(["netns", "delete", name]))?;
    Ok(())
}

/// The processes in a namespace.
pub fn processes(name: &str) -> Result<Vec<Pid>> {
    let output = run(Command::new("ip").args(["netns", "pids", name]))?;
    Ok(output
        .lines()
        .filter_map(|line| line.trim().parse().ok().map(Pid::from_raw))
        .collect())
}

fn end_all(name: &str, signal: Signal) -> Result<()> {
    for process in processes(name)? {
        // It may have ended meanwhile.
        let _ = kill(process, signal);
    }
    Ok(())
}

/// Runs a command to its end and returns what it printed.
pub fn run(command: &mut Command) -> Result<String> {
    let name = format!("{command:?}");
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| name.clone())?;
    ensure!(
        output.status.success(),
        "{name}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What a panic said.
fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("panicked")
}

/// The path of a namespace, for people.
pub fn path(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name)
}
