//! A running edgelb with as many flows as one likes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use aya::programs::Xdp;
use aya_obj::programs::XdpAttachType;
use lb_common::names;

use super::process_memory;
use crate::{
    bench::packet::{
        bed::{self, Expected},
        opening::{Balancer, TCP},
        pool,
        programs::{Programs, Template},
    },
    lab::{
        edgelb::{Edgelb, Instance},
        folder::Folder,
        namespace::Namespace,
    },
    runner::{
        Port,
        kernel::{index, script},
    },
};

/// Flows that are opened at a time.
const BATCH: usize = 16_384;

/// Room in the half-open table: what it has where nobody says anything else.
const HALF_OPEN: u32 = 65_536;

/// By then a round over a million flows has counted them.
const COUNTED: Duration = Duration::from_secs(90);

/// edgelb in a namespace of its own.
pub struct Daemon {
    // The order is that in which they go.
    edgelb: Edgelb,
    namespace: Namespace,
    _folder: Folder,
}

impl Daemon {
    /// Starts it with room for so many flows.
    pub fn start(flows: u32) -> Result<Self> {
        let folder = Folder::create()?;
        let namespace = Namespace::create(format!("{}-balancer", folder.name()))?;
        namespace.ip(&script(&pool::neighbours()))?;
        // The least that the configuration takes is 16.
        let config = pool::config(flows.max(16), HALF_OPEN);
        let instance = Instance::create(&folder, "edgelb", &config)?;
        let edgelb = Edgelb::start(instance, &namespace)?;
        Ok(Self {
            edgelb,
            namespace,
            _folder: folder,
        })
    }

    /// Its process number.
    pub fn process(&self) -> u32 {
        self.edgelb.number()
    }

    /// A line of its `/proc/PROCESS/status` (MiB).
    pub fn memory(&self, line: &str) -> Result<f64> {
        process_memory(self.process(), line)
    }

    /// Has the kernel begin anew with the peak of its memory: loading the object is not what is asked about.
    pub fn forget_peak(&self) -> Result<()> {
        let path = format!("/proc/{}/clear_refs", self.process());
        fs::write(&path, "5").context(path)
    }

    /// Opens and confirms so many flows.
    pub fn fill(&mut self, flows: usize) -> Result<()> {
        let program = pinned_program(self.edgelb.instance.pin_dir())?;
        self.namespace.enter(|| {
            let mut way_in = WayIn {
                program: Xdp::from_pin(&program, XdpAttachType::Interface)
                    .with_context(|| program.display().to_string())?,
                programs: Programs::load(BATCH, 1)?,
            };
            TCP.fill(&mut way_in, flows, BATCH)
        })??;
        self.holds(flows as u64)
    }

    /// Makes sure that it has so many flows, all of them confirmed. They are counted in rounds, which take
    /// their time.
    fn holds(&self, flows: u64) -> Result<()> {
        let deadline = Instant::now() + COUNTED;
        loop {
            let table = self.edgelb.instance.status()?.flow_table;
            if table.used == flows && table.half_open_used == 0 {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "of {flows} flows {} are confirmed and {} half-open\n{}",
                table.used,
                table.half_open_used,
                self.edgelb.log()
            );
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Has it list all flows: how long that takes.
    pub fn list_flows(&self) -> Result<Duration> {
        let instance = &self.edgelb.instance;
        let mut command = self.namespace.command(instance.program())?;
        let command = command
            .args(["flows", "--json", "--control-socket"])
            .arg(instance.control_socket())
            .stdout(Stdio::null());
        let begun = Instant::now();
        let status = command.status()?;
        ensure!(status.success(), "edgelb flows: {status}");
        Ok(begun.elapsed())
    }

    /// Ends it. It must still have all flows: what was measured was about them.
    pub fn end(mut self, flows: u64) -> Result<()> {
        self.holds(flows)?;
        self.edgelb.end(&self.namespace)
    }
}

/// The program below a pin folder, whatever the layout of the maps beside it.
fn pinned_program(folder: &Path) -> Result<PathBuf> {
    let layouts = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    for layout in layouts {
        let program = layout?.path().join(names::PROGRAM);
        if program.exists() {
            return Ok(program);
        }
    }
    anyhow::bail!("{} has no program", folder.display())
}

/// A way for packets into a running edgelb, without a wire.
struct WayIn {
    program: Xdp,
    programs: Programs,
}

impl Balancer for WayIn {
    fn send(&mut self, at: Port, frame: &Template) -> Result<Template> {
        bed::send(&self.program, index(at), frame)
    }

    fn send_all(&mut self, at: Port, frames: Vec<Template>, _: Expected) -> Result<()> {
        self.programs.test(self.program.fd()?)?;
        self.programs.templates()[..frames.len()].copy_from_slice(&frames);
        self.programs.rewind(0, frames.len())?;
        // What became of them is seen by the flows that there are in the end.
        self.programs.run(index(at), frames.len())?;
        Ok(())
    }
}
