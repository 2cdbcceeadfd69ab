//! The two flow tables. They are read from here; changes are made by the eBPF programs for upkeep, because
//! only those have atomic operations on the index.

use aya::{
    Ebpf,
    programs::{TestRun as _, TestRunOptions, Xdp},
};
use lb_common::{
    flow::{FlowCell, FlowEntry, FlowKey, HalfOpenEntry},
    names,
    upkeep::{ENDED, ENTERED, Ended, EndedFlow, Entered},
};
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::{
    Datapath, Error, Result,
    batch::{BATCH, Position, read, read_cells, walk},
    table::{Cells, Table},
};

/// Which of the two flow tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowTable {
    /// Confirmed flows.
    Established,
    /// Flows that are not confirmed yet.
    HalfOpen,
}

/// Both directions of a confirmed flow: that of the client's packets, and that of the answers.
pub type Pair = [FlowCell; 2];

/// How far a walk over both flow tables has come. A flow that is there all the time is seen: one that is
/// confirmed meanwhile in at least one of the two, and perhaps in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// In the half-open table.
    HalfOpen(Option<Position>),
    /// In the established table, with this cell next.
    Established(u32),
}

impl Progress {
    /// Nothing has been seen.
    pub const BEGINNING: Self = Self::HalfOpen(None);
}

/// Some of the flows.
pub enum FlowBatch {
    /// Entries of the half-open table, in which the two directions of a flow are pushed out one by one.
    HalfOpen(Vec<(FlowKey, FlowEntry)>),
    /// Confirmed flows.
    Established(Vec<Pair>),
}

/// The established table, as the daemon reads it.
pub struct Established {
    pub cells: Cells<FlowCell>,
    pub state: Cells<u64>,
}

impl Established {
    /// The flows in a batch of cells, the first of them and that of the next batch, if there is one.
    fn read(&self, first: u32) -> Result<(Vec<Pair>, Option<u32>)> {
        // What has never been given out is empty.
        let used = self.state.get(names::FLOW_PAIRS_USED)?.saturating_mul(2);
        let used = u32::try_from(used).unwrap_or(u32::MAX);
        let count = used.saturating_sub(first).min(BATCH);
        if count == 0 {
            return Ok((Vec::new(), None));
        }
        let cells = read_cells(names::FLOWS, &self.cells, first, count)?;
        let pairs = cells
            .as_chunks()
            .0
            .iter()
            .map(|[question, answer]| [question.0, answer.0])
            .filter(|pair| pair.iter().all(|cell| !cell.key.is_vacant()))
            .collect();
        let next = first + count;
        Ok((pairs, (next < used).then_some(next)))
    }

    /// Calls `visit` with the flows, a batch at a time.
    fn walk(&self, mut visit: impl FnMut(&[Pair]) -> Result<()>) -> Result<()> {
        let mut next = Some(0);
        while let Some(first) = next {
            let pairs;
            (pairs, next) = self.read(first)?;
            visit(&pairs)?;
        }
        Ok(())
    }
}

/// Tables of another size, whose flows go over into ours.
#[derive(Default)]
pub struct Outgrown {
    pub established: Option<Established>,
    pub half_open: Option<Table<FlowKey, HalfOpenEntry>>,
}

impl Datapath {
    /// The next flows of a walk; with them how far it has come then, or nothing at its end.
    pub fn read_flows(&self, from: Progress) -> Result<(FlowBatch, Option<Progress>)> {
        match from {
            Progress::HalfOpen(position) => {
                let mut entries = Vec::new();
                let next = read(names::HALF_OPEN, &self.half_open, position, |key, value| {
                    entries.push((*key, value.entry));
                })?;
                let next = match next {
                    Some(position) => Progress::HalfOpen(Some(position)),
                    None => Progress::Established(0),
                };
                Ok((FlowBatch::HalfOpen(entries), Some(next)))
            }
            Progress::Established(first) => {
                let (pairs, next) = self.established.read(first)?;
                let next = next.map(Progress::Established);
                Ok((FlowBatch::Established(pairs), next))
            }
        }
    }

    /// Calls `visit` with every entry of a flow table.
    pub fn walk_flows(
        &self,
        table: FlowTable,
        mut visit: impl FnMut(&FlowKey, &FlowEntry),
    ) -> Result<()> {
        match table {
            FlowTable::Established => self.established.walk(|pairs| {
                for cell in pairs.as_flattened() {
                    visit(&cell.key, &cell.entry);
                }
                Ok(())
            }),
            FlowTable::HalfOpen => walk(names::HALF_OPEN, &self.half_open, |key, half_open| {
                visit(key, &half_open.entry);
            }),
        }
    }

    /// One entry of the half-open table.
    pub fn half_open(&self, key: &FlowKey) -> Result<Option<FlowEntry>> {
        let half_open = self.half_open.get(key)?;
        Ok(half_open.map(|half_open| half_open.entry))
    }

    /// Removes flows, with their SNAT ports; returns how many. One that has carried a packet since it was looked
    /// at stays.
    pub fn end(&mut self, flows: &[EndedFlow]) -> Result<u64> {
        end(&mut self.ebpf, flows)
    }

    /// Copies the flows of tables that had another size, except those that have been copied.
    pub(super) fn copy_outgrown(&mut self) -> Result<()> {
        let ebpf = &mut self.ebpf;
        if let Some(old) = &self.outgrown.established {
            old.walk(|pairs| enter(ebpf, pairs))?;
        }
        if let Some(old) = &self.outgrown.half_open {
            let new = &mut self.half_open;
            let mut copied = Ok(true);
            walk(names::HALF_OPEN, old, |key, entry| {
                if matches!(copied, Ok(true)) {
                    copied = new.add(key, entry);
                }
            })?;
            if !copied? {
                return Err(Error::TooSmall(names::HALF_OPEN));
            }
        }
        Ok(())
    }
}

fn end(ebpf: &mut Ebpf, flows: &[EndedFlow]) -> Result<u64> {
    let mut ended = 0;
    for chunk in flows.chunks(ENDED) {
        let mut list = Ended::new_zeroed();
        for (place, flow) in list.flows.iter_mut().zip(chunk) {
            *place = *flow;
        }
        ended += u64::from(run(ebpf, names::FORGET, list.as_bytes())?);
    }
    Ok(ended)
}

/// Enters confirmed flows; those that are there already stay as they are.
///
/// # Errors
///
/// [`Error::TooSmall`] where there is no room.
fn enter(ebpf: &mut Ebpf, flows: &[Pair]) -> Result<()> {
    for chunk in flows.chunks(ENTERED) {
        let mut list = Entered::new_zeroed();
        for (place, pair) in list.flows.iter_mut().zip(chunk) {
            *place = *pair;
        }
        if run(ebpf, names::ENTER, list.as_bytes())? > 0 {
            return Err(Error::TooSmall(names::FLOWS));
        }
    }
    Ok(())
}

/// Runs a program for upkeep on a frame; returns what it returned.
fn run(ebpf: &mut Ebpf, name: &'static str, frame: &[u8]) -> Result<u32> {
    let run = upkeep(ebpf, name)?.test_run(TestRunOptions {
        data_in: Some(frame),
        ..TestRunOptions::new()
    })?;
    Ok(run.return_value)
}

/// A program for upkeep.
pub fn upkeep<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Xdp> {
    Ok(ebpf
        .program_mut(name)
        .ok_or(Error::Missing(name))?
        .try_into()?)
}
