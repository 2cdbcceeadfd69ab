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
    batch::{walk, walk_cells},
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

/// The established table, as the daemon reads it.
pub struct Established {
    pub cells: Cells<FlowCell>,
    pub state: Cells<u64>,
}

impl Established {
    /// Calls `visit` with the flows, a batch at a time.
    fn walk(&self, mut visit: impl FnMut(&[Pair<'_>]) -> Result<()>) -> Result<()> {
        // What has never been given out is empty.
        let pairs = self.state.get(names::FLOW_PAIRS_USED)?;
        let cells = u32::try_from(pairs.saturating_mul(2)).unwrap_or(u32::MAX);
        walk_cells(names::FLOWS, &self.cells, cells, |cells| {
            let pairs: Vec<Pair> = cells
                .as_chunks()
                .0
                .iter()
                .map(|[question, answer]| (&question.0, &answer.0))
                .filter(|(question, answer)| !question.key.is_vacant() && !answer.key.is_vacant())
                .collect();
            visit(&pairs)
        })
    }
}

/// Both directions of a flow: that of the client's packets, and that of the answers.
type Pair<'a> = (&'a FlowCell, &'a FlowCell);

/// Tables of another size, whose flows go over into ours.
#[derive(Default)]
pub struct Outgrown {
    pub established: Option<Established>,
    pub half_open: Option<Table<FlowKey, HalfOpenEntry>>,
}

impl Datapath {
    /// Calls `visit` with both directions of every flow of the established table: that of the client's packets,
    /// and that of the answers. Flows that come or go meanwhile may be seen or not.
    pub fn walk_established(&self, mut visit: impl FnMut(&FlowCell, &FlowCell)) -> Result<()> {
        self.established.walk(|pairs| {
            for (question, answer) in pairs {
                visit(question, answer);
            }
            Ok(())
        })
    }

    /// Removes the flows of the established table that are over for `judge`; returns how many. Never more
    /// than a batch of them is in memory.
    pub fn sweep_established(
        &mut self,
        mut judge: impl FnMut(&FlowCell, &FlowCell) -> Option<EndedFlow>,
    ) -> Result<u64> {
        let mut removed = 0;
        let ebpf = &mut self.ebpf;
        self.established.walk(|pairs| {
            let ended: Vec<EndedFlow> = pairs
                .iter()
                .filter_map(|(question, answer)| judge(question, answer))
                .collect();
            removed += end(ebpf, &ended)?;
            Ok(())
        })?;
        Ok(removed)
    }

    /// Calls `visit` with every entry of the half-open table, in which the two directions of a flow are pushed
    /// out one by one.
    pub fn walk_half_open(&self, mut visit: impl FnMut(&FlowKey, &FlowEntry)) -> Result<()> {
        walk(names::HALF_OPEN, &self.half_open, |key, half_open| {
            visit(key, &half_open.entry);
        })
    }

    /// Calls `visit` with every entry of a flow table.
    pub fn walk_flows(
        &self,
        table: FlowTable,
        mut visit: impl FnMut(&FlowKey, &FlowEntry),
    ) -> Result<()> {
        match table {
            FlowTable::Established => self.walk_established(|question, answer| {
                visit(&question.key, &question.entry);
                visit(&answer.key, &answer.entry);
            }),
            FlowTable::HalfOpen => self.walk_half_open(visit),
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
fn enter(ebpf: &mut Ebpf, flows: &[Pair<'_>]) -> Result<()> {
    for chunk in flows.chunks(ENTERED) {
        let mut list = Entered::new_zeroed();
        for (place, (question, answer)) in list.flows.iter_mut().zip(chunk) {
            *place = [**question, **answer];
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
