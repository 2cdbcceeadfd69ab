//! The flow table. It is read from here; changes are made by the eBPF programs for upkeep, because only those
//! have atomic operations on the index.

use aya::{
    Ebpf,
    programs::{TestRun as _, TestRunOptions, Xdp},
};
use lb_common::{
    flow::FlowCell,
    names,
    turn::Turn,
    upkeep::{ENDED, ENTERED, Ended, EndedFlow, Entered, EnteredFlow},
};
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::{Datapath, Error, Result, table::Cells};

/// Both directions of a flow: that of the client's packets, and that of the answers.
pub type Pair = [FlowCell; 2];

/// How far a flow has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The client has not shown yet that it hears the node.
    HalfOpen,
    /// It has.
    Confirmed,
}

impl Stage {
    /// That of a flow.
    pub const fn of([_, answer]: &Pair) -> Self {
        if answer.entry.opened.turn().is_some() {
            Self::HalfOpen
        } else {
            Self::Confirmed
        }
    }
}

/// How far a walk over the flow table has come: the cell that is next. A flow that is there all the time is seen
/// once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress(u32);

impl Progress {
    /// Nothing has been seen.
    pub const BEGINNING: Self = Self(0);
}

/// Cells that are read at a time; even, because they come in pairs.
const BATCH: u32 = 4096;

/// The flow table, as the daemon reads it.
pub struct Flows {
    pub cells: Cells<FlowCell>,
    pub turns: Cells<u64>,
    pub state: Cells<u64>,
}

impl Flows {
    /// The flows in a batch of cells from `first` on, and where the next batch begins, if there is one.
    fn read(&self, first: u32) -> Result<(Vec<Pair>, Option<u32>)> {
        let turns = self.turns.len();
        let count = |cell, limit| -> Result<u32> {
            let count = self.state.get(cell)?.min(u64::from(limit));
            Ok(u32::try_from(count).unwrap_or(limit))
        };
        // What has never been given out is empty. First are the pairs that the turns began with.
        let taken = 2 * count(names::TURNS_TAKEN, turns)?;
        let others = 2 * turns;
        let used = others + 2 * count(names::FLOW_PAIRS_USED, self.cells.len() / 2 - turns)?;
        let first = if first < taken {
            first
        } else {
            first.max(others)
        };
        let end = if first < taken { taken } else { used };
        let count = end.saturating_sub(first).min(BATCH);
        if count == 0 {
            return Ok((Vec::new(), None));
        }
        let cells = self.cells.read_mapped(first, count)?;
        let pairs = cells
            .as_chunks()
            .0
            .iter()
            .copied()
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

    /// The acknowledgment number that confirms a flow, 0 for one that is confirmed.
    fn expected(&self, [_, answer]: &Pair) -> Result<u32> {
        let turn = answer.entry.opened.turn();
        turn.map_or(Ok(0), |turn| Ok(Turn(self.turns.get(turn)?).expected()))
    }
}

impl Datapath {
    /// The next flows of a walk; with them how far it has come then, or nothing at its end.
    pub fn read_flows(&self, from: Progress) -> Result<(Vec<Pair>, Option<Progress>)> {
        let (pairs, next) = self.flows.read(from.0)?;
        Ok((pairs, next.map(Progress)))
    }

    /// Calls `visit` with every flow.
    pub fn walk_flows(&self, mut visit: impl FnMut(&Pair)) -> Result<()> {
        self.flows.walk(|pairs| {
            pairs.iter().for_each(&mut visit);
            Ok(())
        })
    }

    /// Removes flows, with their SNAT ports; returns how many. One that has carried a packet since it was looked
    /// at stays.
    pub fn end(&mut self, flows: &[EndedFlow]) -> Result<u64> {
        end(&mut self.ebpf, flows)
    }

    /// Copies the flows of a table that had another size. Those that have been copied catch up with what has become
    /// of them.
    pub(super) fn copy_outgrown(&mut self) -> Result<()> {
        let ebpf = &mut self.ebpf;
        self.outgrown
            .as_ref()
            .map_or(Ok(()), |old| old.walk(|pairs| enter(ebpf, old, pairs)))
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

/// Enters flows of another table.
///
/// # Errors
///
/// [`Error::TooSmall`] where there is no room.
fn enter(ebpf: &mut Ebpf, old: &Flows, pairs: &[Pair]) -> Result<()> {
    for chunk in pairs.chunks(ENTERED) {
        let mut list = Entered::new_zeroed();
        for (place, pair) in list.flows.iter_mut().zip(chunk) {
            *place = EnteredFlow {
                cells: *pair,
                expected: old.expected(pair)?,
                reserved: 0,
            };
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
