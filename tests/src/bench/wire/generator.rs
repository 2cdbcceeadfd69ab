//! Sends frames: live frames of a test run, by one CPU or by several at once.

use std::{io, sync::Barrier, thread, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail};
use aya::programs::{ProgramError, TestRun as _, TestRunAttrs, TestRunOptions, Xdp};
use lb_common::bench_wire::TEMPLATE;
use nix::sys::signal::SigSet;

use super::{cpu, instruments::Arrived, setup::Wire};
use crate::lab::namespace::Entrance;

/// Frames that the kernel sends before it lets them be received: as many as NAPI takes at a time.
const BATCH: u32 = 64;

/// Frames of the test run that finds out how many fit into a time. Each test run begins and ends with tens
/// of milliseconds in which nothing is sent.
const TRIAL: u32 = 32_768;

/// How long frames may be on their way after the last was sent.
const SETTLE: Duration = Duration::from_millis(20);

/// How often sending is tried when signals interrupt it.
const ATTEMPTS: usize = 5;

/// The templates that one CPU sends, in turn.
#[derive(Clone, Copy, Debug)]
pub struct Lane {
    /// The CPU.
    pub cpu: usize,
    /// Its first template.
    pub first: u32,
    /// How many there are.
    pub count: u32,
}

impl Lane {
    /// The first CPU with `count` templates.
    pub const fn one(count: u32) -> Self {
        Self {
            cpu: 0,
            first: 0,
            count,
        }
    }

    /// `count` templates, each of `cpus` with its own part of them.
    pub fn split(count: u32, cpus: usize) -> Vec<Self> {
        let part = count / cpus as u32;
        (0..cpus)
            .map(|cpu| Self {
                cpu,
                first: cpu as u32 * part,
                count: part,
            })
            .collect()
    }
}

/// How long to send.
#[derive(Clone, Copy, Debug)]
pub enum Amount {
    /// Every template of the lane once.
    Once,
    /// For some time.
    For(Duration),
}

/// What was sent, and what came of it.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Frames that left.
    pub offered: u64,
    /// Packets that arrived.
    pub arrived: Arrived,
    /// Frames that left in a second, over all processors.
    rate: f64,
    /// Time that the processors of the machine were busy meanwhile.
    pub busy: Duration,
}

impl Sent {
    /// Millions of data packets that arrived in a second.
    pub fn mpps(&self) -> f64 {
        self.rate(self.arrived.data) / 1e6
    }

    /// How many arrived in a second, of the packets of which `arrived` have.
    pub fn rate(&self, arrived: u64) -> f64 {
        self.rate * arrived as f64 / self.offered as f64
    }

    /// Share of the packets that did not arrive (percent).
    pub fn lost(&self) -> f64 {
        100.0 * (1.0 - self.arrived.data as f64 / self.offered as f64)
    }

    /// Processor time of the whole machine for each packet that arrived (ns).
    pub fn cost(&self) -> f64 {
        self.busy.as_secs_f64() * 1e9 / self.arrived.data as f64
    }
}

/// Sends frames of `size` bytes by all lanes at the same time.
pub fn send(wire: &mut Wire, lanes: &[Lane], size: usize, amount: Amount) -> Result<Sent> {
    for _ in 0..ATTEMPTS {
        if let Some(sent) = try_send(wire, lanes, size, amount)? {
            return Ok(sent);
        }
    }
    bail!("{}: interrupted again and again", wire.contender)
}

/// Nothing where a signal has interrupted it: nobody knows how many frames have left then.
fn try_send(wire: &mut Wire, lanes: &[Lane], size: usize, amount: Amount) -> Result<Option<Sent>> {
    for lane in lanes {
        wire.instruments
            .set_lane(lane.cpu, (lane.first, lane.count), wire.outlet)?;
    }
    let before = wire.instruments.arrived()?;
    let busy = cpu::busy()?;
    let start = Barrier::new(lanes.len());
    let mut sent = Vec::new();
    thread::scope(|scope| -> Result<()> {
        let mut threads = Vec::new();
        for lane in lanes {
            let program = wire.instruments.generator()?;
            let entrance = wire.topology.clients.entrance()?;
            let start = &start;
            threads.push(
                scope.spawn(move || send_lane(program, &entrance, *lane, size, amount, start)),
            );
        }
        for thread in threads {
            sent.push(
                thread
                    .join()
                    .map_err(|_| anyhow!("a generator has panicked"))??,
            );
        }
        Ok(())
    })?;
    let busy = cpu::busy_since(busy)?;
    thread::sleep(SETTLE);
    let Some(sent) = sent.into_iter().collect::<Option<Vec<_>>>() else {
        return Ok(None);
    };
    Ok(Some(Sent {
        offered: sent.iter().map(|(frames, _)| frames).sum(),
        arrived: wire.instruments.arrived()? - before,
        rate: sent
            .iter()
            .map(|(frames, elapsed)| *frames as f64 / elapsed.as_secs_f64())
            .sum(),
        busy,
    }))
}

fn send_lane(
    program: &Xdp,
    entrance: &Entrance,
    lane: Lane,
    size: usize,
    amount: Amount,
    start: &Barrier,
) -> Result<Option<(u64, Duration)>> {
    entrance.enter()?;
    cpu::pin(lane.cpu)?;
    cpu::prefer_this_thread()?;
    SigSet::all().thread_block()?;
    let frame = vec![0; size.max(TEMPLATE)];
    start.wait();
    let Amount::For(time) = amount else {
        let elapsed = run(program, &frame, lane.count)?;
        return Ok(elapsed.map(|elapsed| (lane.count.into(), elapsed)));
    };
    let Some(trial) = run(program, &frame, TRIAL)? else {
        return Ok(None);
    };
    let rest = time.saturating_sub(trial).as_nanos() * u128::from(TRIAL) / trial.as_nanos().max(1);
    let frames = u32::try_from(rest)?.max(1);
    let elapsed = run(program, &frame, frames)?;
    Ok(elapsed.map(|elapsed| (u64::from(TRIAL) + u64::from(frames), trial + elapsed)))
}

/// Sends frames: how long that took by the kernel's own clock, which stands still while the thread has to wait
/// for the processor. Nothing where it was interrupted.
fn run(program: &Xdp, frame: &[u8], frames: u32) -> Result<Option<Duration>> {
    let result = program.test_run(TestRunOptions {
        data_in: Some(frame),
        repeat: frames,
        attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
        ..TestRunOptions::new()
    });
    match result {
        // The kernel says how long a frame took on average.
        Ok(result) => Ok(Some(result.duration * frames)),
        Err(ProgramError::SyscallError(error))
            if error.io_error.kind() == io::ErrorKind::Interrupted =>
        {
            Ok(None)
        }
        Err(error) => Err(error).context("a test run with live frames"),
    }
}
