//! edgelb itself, as it is shipped: the program, its configuration, and its commands.

mod printed;

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lb_daemon::snapshot::{FlowStatus, Status};
use nix::sys::signal::Signal;

use super::{
    folder::Folder,
    namespace::{Namespace, run},
    plan::{Arrangement, NODES, Side, vip},
    process::Process,
};

/// How long edgelb has to come up.
const START: Duration = Duration::from_secs(10);

/// Names the program where it is not in the target folder.
const PROGRAM: &str = "EDGELB_BIN";

/// The files of one edgelb; several can run side by side.
#[derive(Clone, Debug)]
pub struct Instance {
    program: PathBuf,
    config: PathBuf,
    control_socket: PathBuf,
    pin_dir: PathBuf,
    state_file: PathBuf,
    log: PathBuf,
}

impl Instance {
    /// Writes the configuration of a new instance.
    pub fn create(folder: &Folder, name: &str, config: &str) -> Result<Self> {
        let instance = Self {
            program: program()?,
            config: folder.file(&format!("{name}.toml")),
            control_socket: folder.file(&format!("{name}.sock")),
            pin_dir: folder.pin(name),
            state_file: folder.file(&format!("{name}.state.json")),
            log: folder.file(&format!("{name}.log")),
        };
        fs::write(&instance.config, config)
            .with_context(|| instance.config.display().to_string())?;
        Ok(instance)
    }

    /// Replaces its configuration; a running edgelb hears of it by [`Self::reload`].
    pub fn configure(&self, config: &str) -> Result<()> {
        fs::write(&self.config, config).with_context(|| self.config.display().to_string())
    }

    /// Has the running edgelb read its configuration again: what it says has changed.
    pub fn reload(&self) -> Result<String> {
        run(Command::new(&self.program)
            .args(["reload", "--control-socket"])
            .arg(&self.control_socket))
    }

    /// Has the running edgelb do something with a node, such as `drain`: what it says has changed.
    pub fn node(&self, command: &str, arguments: &[&str]) -> Result<String> {
        run(Command::new(&self.program)
            .arg(command)
            .args(arguments)
            .arg("--control-socket")
            .arg(&self.control_socket))
    }

    /// Starts it.
    fn start(&self, namespace: &Namespace) -> Result<Process> {
        let mut command = namespace.command(&self.program)?;
        command.arg("run").args(self.options());
        Process::start("edgelb", &mut command, self.log.clone())
    }

    /// The same instance, run by another program.
    #[must_use]
    pub fn with_program(self, program: PathBuf) -> Self {
        Self { program, ..self }
    }

    /// The same instance, asked and logging elsewhere.
    #[must_use]
    pub fn with_control_socket(self, folder: &Folder, name: &str) -> Self {
        Self {
            control_socket: folder.file(&format!("{name}.sock")),
            log: folder.file(&format!("{name}.log")),
            ..self
        }
    }

    /// Takes off what an edgelb that has ended has left: what it says.
    pub fn detach(&self, namespace: &Namespace) -> Result<String> {
        let mut command = namespace.command(&self.program)?;
        run(command.args(["detach", "--pin-dir"]).arg(&self.pin_dir))
    }

    /// The program itself.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The options of `edgelb run` that make it this instance.
    pub fn options(&self) -> [&OsStr; 8] {
        [
            "--config".as_ref(),
            self.config.as_ref(),
            "--control-socket".as_ref(),
            self.control_socket.as_ref(),
            "--pin-dir".as_ref(),
            self.pin_dir.as_ref(),
            "--state-file".as_ref(),
            self.state_file.as_ref(),
        ]
    }

    /// Runs it where it is expected to end by itself: how it ended, and what it printed.
    pub fn run(&self, namespace: &Namespace) -> Result<(ExitStatus, String)> {
        let mut process = self.start(namespace)?;
        let status = process.wait(START)?;
        Ok((status, process.printed()))
    }

    /// What `edgelb status` says.
    pub fn status(&self) -> Result<Status> {
        self.query("status")
    }

    /// What `edgelb flows` says.
    pub fn flows(&self) -> Result<Vec<FlowStatus>> {
        self.query("flows")
    }

    fn query<T: serde::de::DeserializeOwned>(&self, what: &str) -> Result<T> {
        let mut command = Command::new(&self.program);
        command
            .args([what, "--json", "--control-socket"])
            .arg(&self.control_socket);
        let answer = run(&mut command)?;
        serde_json::from_str(&answer).with_context(|| format!("edgelb {what}: {answer}"))
    }

    /// The command lines that ask this instance, for people.
    pub fn queries(&self) -> Vec<String> {
        ["status", "flows"]
            .map(|what| {
                format!(
                    "{} {what} --control-socket {}",
                    self.program.display(),
                    self.control_socket.display()
                )
            })
            .into()
    }

    /// Where it logs to.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Where it pins its maps.
    pub fn pin_dir(&self) -> &Path {
        &self.pin_dir
    }

    /// Where it answers.
    pub fn control_socket(&self) -> &Path {
        &self.control_socket
    }
}

/// A running edgelb; it is stopped when this is dropped. Its data path goes on until it is detached, or
/// its interfaces go with the lab.
pub struct Edgelb {
    process: Process,
    /// Its files.
    pub instance: Instance,
}

impl Edgelb {
    /// Starts it and waits until it answers.
    pub fn start(instance: Instance, namespace: &Namespace) -> Result<Self> {
        let mut process = instance.start(namespace)?;
        process.wait_until(START, |_| {
            // Asking a socket that is not there yet would cost a process each time.
            instance.control_socket.exists() && instance.status().is_ok()
        })?;
        Ok(Self { process, instance })
    }

    /// Stops it by a signal.
    pub fn stop(&mut self, signal: Signal) -> Result<ExitStatus> {
        self.process.end(signal)
    }

    /// Stops it and takes its data path off: another instance may have the interfaces.
    pub fn end(&mut self, namespace: &Namespace) -> Result<()> {
        let status = self.stop(Signal::SIGTERM)?;
        ensure!(status.success(), "{status}\n{}", self.log());
        self.instance.detach(namespace)?;
        Ok(())
    }

    /// Sends it a signal that it outlives.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Its process number.
    pub fn number(&self) -> u32 {
        self.process.number()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.process.printed()
    }

    /// Leaves it running when this is dropped.
    pub fn keep(&mut self) {
        self.process.keep();
    }
}

/// The configuration of the lab's pool. Nodes are not checked: what a test takes from a node on purpose is
/// not to be mended behind its back, and most have no A/V service to be asked.
pub fn config(arrangement: Arrangement) -> String {
    let list = |side| {
        arrangement
            .interfaces(side)
            .iter()
            .map(|name| format!("{name:?}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let nodes: Vec<String> = NODES
        .iter()
        .map(|node| {
            format!(
                "[[nodes]]\nname = {:?}\naccess = \"{}\"\nwebconf = \"{}\"\nav = \"{}\"\ninternal = \"{}\"\n",
                node.name, node.access, node.webconf, node.av, node.internal
            )
        })
        .collect();
    format!(
        "[pool]\nname = \"{arrangement}\"\n{UNCHECKED}\
         [interfaces]\nexternal = [{}]\ninternal = [{}]\n\
         [vips]\naccess = \"{}\"\nwebconf = \"{}\"\nav = \"{}\"\ninternal = \"{}\"\n{}",
        list(Side::External),
        list(Side::Internal),
        vip::ACCESS,
        vip::WEBCONF,
        vip::AV,
        vip::INTERNAL,
        nodes.concat(),
    )
}

/// The part of [`config`] that a test of the checks puts its own in the place of.
pub const UNCHECKED: &str = "[health]\nenabled = false\n";

/// Finds the program: what is shipped, so the release build, in the target folder of this very program.
fn program() -> Result<PathBuf> {
    if let Some(path) = env::var_os(PROGRAM) {
        return Ok(path.into());
    }
    let own = env::current_exe()?;
    own.ancestors()
        .map(|folder| folder.join("release/edgelb"))
        .find(|path| path.is_file())
        .with_context(|| {
            format!("there is no edgelb: `cargo build --release -p lb-daemon` makes it, or name one by {PROGRAM}")
        })
}
