//! A test bed: edgelb's data path in a namespace of its own, with the driver before it.

use std::{ops::Range, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use aya::programs::{TestRun as _, TestRunOptions, Xdp};
use lb_common::{
    bench_packet::{TEMPLATE, names},
    drop_reason::{DropReason, ROUTED_CELL},
    flow::Direction,
};

use super::{
    floor, pool,
    programs::{Programs, Template},
    traffic::addresses,
};
use crate::runner::{
    Port, Runner as _, contents,
    kernel::{Kernel, index, received},
};

// enum xdp_action.
const XDP_TX: u32 = 3;
const XDP_REDIRECT: u32 = 4;

/// Packets that the kernel sends by itself while something is measured (IPv6 on the interfaces), at most.
const NOISE: u64 = 64;

/// A test bed, with flows or without.
pub struct Bed {
    /// The data path.
    pub kernel: Kernel,
    /// The driver and the floors.
    pub programs: Programs,
    /// The cells of all nodes of all services.
    cells: Vec<u32>,
    /// The first template that is not taken.
    free: usize,
}

/// A way through a program.
#[derive(Clone)]
pub struct Path {
    /// Name of its figures.
    pub name: &'static str,
    /// Where its packets come in.
    pub at: Port,
    /// Its packets.
    pub templates: Range<usize>,
    /// What must become of every one of them.
    pub expected: Expected,
}

/// What must become of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Sent on as a packet of a flow.
    Forwarded(Direction),
    /// Sent on as it is.
    Routed,
    /// Given to the kernel.
    Passed,
    /// Dropped.
    Dropped(DropReason),
    /// Nothing: the floor with this name runs in edgelb's place.
    Floor(&'static str),
}

/// What one packet came to.
#[derive(Clone, Debug)]
pub struct Measured {
    /// CPU time (ns).
    pub nanoseconds: f64,
    /// What the processor has counted, where it does.
    pub events: Vec<(&'static str, f64)>,
}

/// The counters of the data path.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Census {
    forwarded: [u64; 2],
    verdicts: Vec<u64>,
}

impl Bed {
    /// Makes one with room for so many flows, confirmed and half-open, and for so many templates.
    pub fn new(flows: u32, half_open: u32, templates: usize) -> Result<Self> {
        let config = pool::config(flows, half_open);
        let kernel = Kernel::among(&config, &pool::neighbours());
        let cells = contents(&config).0.nodes.into_keys().collect();
        Ok(Self {
            kernel,
            // The same room for the floor's table: a flow is two entries in either.
            programs: Programs::load(templates, 2 * flows as usize)?,
            cells,
            free: 0,
        })
    }

    /// Puts frames among the templates.
    pub fn keep(&mut self, frames: impl IntoIterator<Item = Template>) -> Result<Range<usize>> {
        let first = self.free;
        for frame in frames {
            let place = self.programs.templates().get_mut(self.free);
            *place.context("there is no room for another template")? = frame;
            self.free += 1;
        }
        Ok(first..self.free)
    }

    /// Forgets the templates from the first of `range` on.
    pub fn forget(&mut self, range: &Range<usize>) {
        self.free = range.start;
    }

    /// Makes sure that there are so many flows, all of them confirmed.
    pub fn holds(&self, flows: usize) -> Result<()> {
        let (confirmed, half_open) = self.kernel.flows();
        ensure!(
            (confirmed, half_open) == (flows, 0),
            "of {flows} flows {confirmed} are confirmed and {half_open} half-open"
        );
        Ok(())
    }

    /// Sends one frame through edgelb: what it becomes.
    pub fn send(&mut self, at: Port, frame: &Template) -> Result<Template> {
        send(self.kernel.datapath.program()?, index(at), frame)
    }

    /// Runs packets of a path, the first of them its first; `unmeasured` of them come before those that
    /// count, and warm the caches. Returns what one packet came to.
    pub fn measure(&mut self, path: &Path, unmeasured: usize, packets: usize) -> Result<Measured> {
        self.choose(path.expected)?;
        let (first, count) = (path.templates.start, path.templates.len());
        self.programs.rewind(first, count)?;
        let at = index(path.at);
        if unmeasured > 0 {
            self.programs.run(at, unmeasured)?;
        }
        let before = self.census()?;
        let ran = self.programs.run(at, packets)?;
        self.check(path, packets as u64, ran.action, &before)
            .with_context(|| path.name)?;
        let each = |all: f64| all / packets as f64;
        let counted = ran.counted.into_iter();
        Ok(Measured {
            nanoseconds: each(nanoseconds(ran.took)),
            events: counted
                .map(|(event, count)| (event, each(count as f64)))
                .collect(),
        })
    }

    /// Runs every packet of a path once. Returns the time of all (ns).
    pub fn once(&mut self, path: &Path) -> Result<f64> {
        let packets = path.templates.len();
        Ok(self.measure(path, 0, packets)?.nanoseconds * packets as f64)
    }

    fn choose(&mut self, expected: Expected) -> Result<()> {
        match expected {
            Expected::Floor(floor::RETURN) => self.programs.test_floor(names::FLOOR_RETURN),
            Expected::Floor(floor::PARSE) => self.programs.test_floor(names::FLOOR_PARSE),
            Expected::Floor(floor::CLASSIC) => self.programs.test_floor(names::FLOOR_CLASSIC),
            Expected::Floor(other) => bail!("there is no {other}"),
            _ => self.programs.test(self.kernel.datapath.program()?.fd()?),
        }
    }

    fn census(&self) -> Result<Census> {
        let mut forwarded = [0; 2];
        for &cell in &self.cells {
            let counters = self.kernel.datapath.node_counters(cell)?;
            forwarded[0] += counters.packets[0];
            forwarded[1] += counters.packets[1];
        }
        Ok(Census {
            forwarded,
            verdicts: self.kernel.datapath.verdicts()?,
        })
    }

    /// A time under other conditions than those that it claims is no figure.
    fn check(&self, path: &Path, packets: u64, action: u32, before: &Census) -> Result<()> {
        let mut wanted = before.clone();
        match path.expected {
            Expected::Forwarded(direction) => {
                wanted.forwarded[usize::from(direction == Direction::TO_CLIENT)] += packets;
            }
            Expected::Routed => wanted.verdicts[ROUTED_CELL as usize] += packets,
            Expected::Passed => wanted.verdicts[0] += packets,
            Expected::Dropped(reason) => wanted.verdicts[reason as usize] += packets,
            Expected::Floor(name) => ensure!(action == XDP_TX, "{name} returned {action}"),
        }
        let mut counted = self.census()?;
        let noise = counted.verdicts[0].checked_sub(wanted.verdicts[0]);
        if noise.is_some_and(|noise| noise <= NOISE) {
            counted.verdicts[0] = wanted.verdicts[0];
        }
        ensure!(
            counted == wanted,
            "{packets} packets did not all take this way:\nbefore  {before:?}\ncounted {counted:?}"
        );
        Ok(())
    }
}

/// Sends one frame through edgelb's program: what it becomes.
pub fn send(program: &Xdp, interface: u32, frame: &Template) -> Result<Template> {
    let mut out = [0; TEMPLATE];
    let context = received(frame.len(), interface);
    let result = program.test_run(TestRunOptions {
        data_in: Some(frame),
        data_out: Some(&mut out),
        ctx_in: Some(&context),
        ..TestRunOptions::new()
    })?;
    ensure!(
        matches!(result.return_value, XDP_TX | XDP_REDIRECT),
        "not sent on but {}: {:?}",
        result.return_value,
        addresses(frame)
    );
    Ok(out)
}

/// A time in nanoseconds.
fn nanoseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}
