//! The programs that single packets are driven by, and the floors.

use std::{
    ffi::c_void, num::NonZeroUsize, os::fd::AsFd as _, path::Path, ptr::NonNull, slice,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{Array, HashMap, IterableMap as _, MapData, ProgramArray},
    programs::{ProgramFd, TestRun as _, TestRunOptions, Xdp},
};
use lb_common::bench_packet::{ClassicEntry, ClassicKey, Series, TEMPLATE, names};
use nix::{
    sys::mman::{MapFlags, ProtFlags, mmap, munmap},
    time::{ClockId, clock_gettime},
};

use super::counters::Counters;
use crate::runner::kernel::received;

/// The objects of the build; see `build.rs`.
const OBJECT: &str = concat!(env!("EDGELB_BPF_OBJECTS"), "/bench-packet");

/// A frame, ready to be run.
pub type Template = [u8; TEMPLATE];

/// A value of `lb-common` in a map.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Plain<T>(T);

// SAFETY: integers without padding (`lb_common::bench_packet`): any bytes are a value.
unsafe impl Pod for Plain<Series> {}
// SAFETY: likewise.
unsafe impl Pod for Plain<ClassicKey> {}
// SAFETY: likewise.
unsafe impl Pod for Plain<ClassicEntry> {}

/// The programs of the bench, loaded.
pub struct Programs {
    ebpf: Ebpf,
    series: Array<MapData, Plain<Series>>,
    under_test: ProgramArray<MapData>,
    classic: HashMap<MapData, Plain<ClassicKey>, Plain<ClassicEntry>>,
    templates: Templates,
    /// Where the machine has them.
    counters: Option<Counters>,
}

/// What a run of many packets came to.
#[derive(Clone, Debug)]
pub struct Ran {
    /// What the last packet came to: `enum xdp_action`.
    pub action: u32,
    /// CPU time of all packets.
    pub took: Duration,
    /// What the processor has counted for all packets, where it does.
    pub counted: Vec<(&'static str, u64)>,
}

impl Programs {
    /// Loads them with room for `templates` frames, and for `entries` in the table of the floor.
    pub fn load(templates: usize, entries: usize) -> Result<Self> {
        let context = || {
            format!(
                "{OBJECT}: cannot be loaded; where it is missing, `cargo xtask setup` brings what it is built with"
            )
        };
        let mut ebpf = EbpfLoader::new()
            .map_max_entries(names::TEMPLATES, templates as u32)
            .map_max_entries(names::CLASSIC, entries as u32)
            .load_file(Path::new(OBJECT))
            .with_context(context)?;
        for name in [
            names::DRIVER,
            names::FLOOR_RETURN,
            names::FLOOR_PARSE,
            names::FLOOR_CLASSIC,
        ] {
            program(&mut ebpf, name)?.load().context(name)?;
        }
        let mut take = |name: &'static str| ebpf.take_map(name).context(name);
        Ok(Self {
            series: take(names::SERIES)?.try_into()?,
            under_test: take(names::UNDER_TEST)?.try_into()?,
            classic: take(names::CLASSIC)?.try_into()?,
            templates: Templates::map(take(names::TEMPLATES)?.try_into()?, templates)?,
            counters: Counters::of_processor().ok(),
            ebpf,
        })
    }

    /// The templates.
    pub fn templates(&mut self) -> &mut [Template] {
        self.templates.all()
    }

    /// Enters a packet and its rewrite into the table of the floor.
    pub fn enter(&mut self, key: ClassicKey, entry: ClassicEntry) -> Result<()> {
        Ok(self.classic.insert(Plain(key), Plain(entry), 0)?)
    }

    /// Makes one of the floors the program under test.
    pub fn test_floor(&mut self, name: &str) -> Result<()> {
        let program: &Xdp = self
            .ebpf
            .program(name)
            .context("no such floor")?
            .try_into()?;
        Ok(self.under_test.set(0, program.fd()?, 0)?)
    }

    /// Makes another program the one under test.
    pub fn test(&mut self, program: &ProgramFd) -> Result<()> {
        Ok(self.under_test.set(0, program, 0)?)
    }

    /// Begins with the first of `count` templates, the first of all being `first`.
    pub fn rewind(&mut self, first: usize, count: usize) -> Result<()> {
        ensure!(
            count > 0 && first + count <= self.templates.count,
            "templates {first} to {} of {}",
            first + count,
            self.templates.count
        );
        let series = Series {
            first: first as u32,
            count: count as u32,
            next: 0,
        };
        Ok(self.series.set(0, Plain(series), 0)?)
    }

    /// Runs the next template as if it came in by an interface: what it becomes.
    pub fn one(&mut self, interface: u32) -> Result<Template> {
        let mut out = [0; TEMPLATE];
        let context = received(out.len(), interface);
        let driver = program(&mut self.ebpf, names::DRIVER)?;
        driver.test_run(TestRunOptions {
            data_in: Some(&[0; TEMPLATE]),
            data_out: Some(&mut out),
            ctx_in: Some(&context),
            ..TestRunOptions::new()
        })?;
        Ok(out)
    }

    /// Runs the next `packets` templates as if they came in by an interface.
    pub fn run(&mut self, interface: u32, packets: usize) -> Result<Ran> {
        let driver = program(&mut self.ebpf, names::DRIVER)?;
        let frame = [0; TEMPLATE];
        let context = received(frame.len(), interface);
        if let Some(counters) = &mut self.counters {
            counters.start()?;
        }
        let before = cpu_time()?;
        let result = driver
            .test_run(TestRunOptions {
                data_in: Some(&frame),
                ctx_in: Some(&context),
                repeat: packets as u32,
                ..TestRunOptions::new()
            })
            .context("test run")?;
        let took = cpu_time()?.saturating_sub(before);
        let counters = self.counters.as_mut();
        Ok(Ran {
            action: result.return_value,
            took,
            counted: counters.map_or(Ok(Vec::new()), Counters::stop)?,
        })
    }
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Xdp> {
    Ok(ebpf.program_mut(name).context(name)?.try_into()?)
}

/// What the calling thread has had of a CPU: a neighbour that takes the CPU away for a while does not
/// count, and it is finer than the whole nanoseconds per packet that the kernel would tell.
fn cpu_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// The map of templates, as memory: a million system calls would take too long.
struct Templates {
    start: NonNull<c_void>,
    count: usize,
    // The memory is the map's.
    _map: Array<MapData, [u64; TEMPLATE / 8]>,
}

impl Templates {
    fn map(map: Array<MapData, [u64; TEMPLATE / 8]>, count: usize) -> Result<Self> {
        let length = NonZeroUsize::new(count * TEMPLATE).context("no templates")?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: new memory at a place of the kernel's choice, backed by a map of this very size.
        let start = unsafe {
            let fd = map.map().fd().as_fd();
            mmap(None, length, access, MapFlags::MAP_SHARED, fd, 0)
        };
        Ok(Self {
            start: start.context("the templates do not get into memory")?,
            count,
            _map: map,
        })
    }

    fn all(&mut self) -> &mut [Template] {
        // SAFETY: `map` has made this memory for so many templates, any bytes are a template, and no
        // program reads them meanwhile: test runs are made by the owner of this.
        unsafe { slice::from_raw_parts_mut(self.start.cast().as_ptr(), self.count) }
    }
}

impl Drop for Templates {
    fn drop(&mut self) {
        // SAFETY: what `map` has made, and nobody holds a part of it any more.
        let _ = unsafe { munmap(self.start, self.count * TEMPLATE) };
    }
}
