//! Rounds over all flows: the end of idle ones, both entries and the SNAT port together, and the count of the
//! others.
//!
//! A round goes batch by batch, with pauses in between, so that neither the controller nor the data path,
//! whose caches it uses, is held up by a table of any size.

use std::time::{Duration, Instant};

use tracing::{debug, info, trace};

use super::{Controller, outlive};
use crate::{
    clock::{self, Moment},
    datapath::{Progress, Result},
    endings::Endings,
    indexes::Freed,
    port_audit::PortAudit,
    round::Round,
};

/// How often a round begins, unless the one before is still going on.
pub const ROUND_INTERVAL: Duration = Duration::from_secs(1);

/// How often a round makes the marks of the SNAT ports agree with the flow table. A half-open flow that was
/// pushed out leaves its port marked until then; the data path tries marked ports too when
/// it finds no other.
pub const PORT_AUDIT_INTERVAL: Duration = Duration::from_secs(30);

/// After each batch of a round there is a pause of this many times its length. A round does little but read the
/// table, and so takes from the data path what that has in the caches.
const PAUSE: u32 = 60;

/// A round that is going on.
pub struct Underway {
    round: Round,
    progress: Progress,
    /// The loads of the nodes by their cells, as they stood when it began.
    loads: Vec<(u32, u64)>,
    began: Instant,
    /// When it goes on.
    pub due: Instant,
    /// Flows that it has removed: of nodes that keep none, and idle ones.
    removed: [u64; 2],
}

impl Controller {
    /// What is to be looked at every second.
    pub(super) fn tick(&mut self) {
        self.learn();
        if self.warm_up.is_going_on() || self.drains.is_one_over(Moment::now()) {
            outlive(self.decide());
        }
        if self.underway.is_none() {
            outlive(self.begin_round());
        }
    }

    fn begin_round(&mut self) -> Result<()> {
        let mut audit = None;
        if Instant::now() >= self.next_port_audit {
            let pools = self.indexes.pools();
            let marked = pools.map(|pool| Ok((pool, self.datapath.snat_ports(pool)?)));
            audit = Some(PortAudit::of(marked.collect::<Result<Vec<_>>>()?));
            self.next_port_audit = Instant::now() + PORT_AUDIT_INTERVAL;
        }
        self.underway = Some(self.round(audit)?);
        Ok(())
    }

    fn round(&self, audit: Option<PortAudit>) -> Result<Underway> {
        let endings = Endings::of(&self.plan, &self.indexes, &self.takers);
        let nodes = self.contents.nodes.keys();
        let loads = nodes.map(|cell| Ok((*cell, self.datapath.load_of(*cell)?)));
        Ok(Underway {
            loads: loads.collect::<Result<_>>()?,
            round: Round::new(endings, self.plan.timeouts, audit, clock::now()),
            progress: Progress::BEGINNING,
            began: Instant::now(),
            due: Instant::now(),
            removed: [0; 2],
        })
    }

    /// Goes on with the round that is going on. One that fails is given up; the next begins in a second.
    pub(super) fn go_on(&mut self) -> Result<()> {
        let Some(mut underway) = self.underway.take() else {
            return Ok(());
        };
        let begun = Instant::now();
        if self.step(&mut underway)? {
            underway.due = Instant::now() + begun.elapsed() * PAUSE;
            self.underway = Some(underway);
            return Ok(());
        }
        let audit = underway.round.audit.take();
        self.conclude(underway)?;
        self.free_indexes()?;
        for (pool, word, ports) in audit.iter().flat_map(PortAudit::stale) {
            self.datapath.clear_snat_ports(pool, word, ports)?;
        }
        Ok(())
    }

    /// Ends the flows of nodes that keep none, without pauses: whoever is connected to such a node is to hear
    /// of it at once.
    pub(super) fn end_flows(&mut self) -> Result<()> {
        if Endings::of(&self.plan, &self.indexes, &self.takers).is_empty() {
            return Ok(());
        }
        self.go_round()
    }

    /// A whole round without pauses. The one that is going on knows less, and is given up.
    pub(super) fn go_round(&mut self) -> Result<()> {
        self.underway = None;
        let mut underway = self.round(None)?;
        while self.step(&mut underway)? {}
        self.conclude(underway)
    }

    /// Looks through a batch of flows, and removes those that are over; false when these were the last.
    fn step(&mut self, underway: &mut Underway) -> Result<bool> {
        let now = clock::now();
        let (pairs, next) = self.datapath.read_flows(underway.progress)?;
        let round = &mut underway.round;
        let ended = pairs.iter().filter_map(|pair| round.judge(pair, now));
        let (at_once, idle): (Vec<_>, Vec<_>) = ended.partition(|flow| flow.at_once != 0);
        underway.removed[0] += self.datapath.end(&at_once)?;
        underway.removed[1] += self.datapath.end(&idle)?;
        if let Some(next) = next {
            underway.progress = next;
        }
        Ok(next.is_some())
    }

    /// Takes in what a round has found.
    fn conclude(&mut self, underway: Underway) -> Result<()> {
        let [at_once, idle] = underway.removed;
        if at_once > 0 {
            info!("{at_once} flows of nodes that are down, disabled or gone removed");
        }
        if idle > 0 {
            debug!("{idle} idle flows removed");
        }
        self.census = underway.round.census;
        trace!(
            "a round over {} flows took {} ms",
            self.census.established + self.census.half_open,
            underway.began.elapsed().as_millis()
        );
        for (cell, before) in underway.loads {
            let since = self.datapath.load_of(cell)?.saturating_sub(before);
            self.datapath
                .set_load(cell, self.census.load(cell, since))?;
        }
        Ok(())
    }

    /// Frees the indexes that no flow carries any more.
    fn free_indexes(&mut self) -> Result<()> {
        let freed = self.indexes.release(&self.census.in_use);
        if freed != Freed::default() {
            self.datapath.note_seats(&self.indexes.records())?;
        }
        for cell in freed.cells {
            self.datapath.clear_node(cell)?;
        }
        for pool in freed.pools {
            self.datapath.clear_pool(pool)?;
        }
        Ok(())
    }
}
