//! The end of idle flows: both entries and the SNAT port go together.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use lb_common::{
    flow::{Direction, FlowCell, FlowEntry, FlowKey},
    service::{NO_POOL, SNAT_PORT_WORDS},
    upkeep::EndedFlow,
};
use tracing::{debug, info};

use super::Controller;
use crate::{
    clock::{self, Moment},
    datapath::{FlowTable, Result},
    endings::Endings,
    expiry,
    indexes::{Freed, InUse},
};

/// How often the bitmaps of the SNAT ports are made to agree with the flow tables. A half-open flow
/// that was pushed out of its table leaves its port marked until then; the data path tries marked
/// ports too when it finds no other.
pub const PORT_AUDIT_INTERVAL: Duration = Duration::from_secs(30);

impl Controller {
    /// Removes the flows that are over, and frees the indexes that no flow carries any more.
    pub(super) fn sweep(&mut self) -> Result<()> {
        let in_use = self.sweep_flows()?;
        for cell in self.contents.nodes.keys() {
            self.datapath.set_load(*cell, in_use.flows(*cell))?;
        }
        if self.warm_up.is_going_on() || self.drains.is_one_over(Moment::now()) {
            self.decide()?;
        }
        let freed = self.indexes.release(&in_use);
        if freed != Freed::default() {
            self.datapath.note_seats(&self.indexes.records())?;
        }
        for cell in freed.cells {
            self.datapath.clear_node(cell)?;
        }
        for pool in freed.pools {
            self.datapath.clear_pool(pool)?;
        }
        if Instant::now() >= self.next_port_audit {
            self.audit_ports()?;
            self.next_port_audit = Instant::now() + PORT_AUDIT_INTERVAL;
        }
        Ok(())
    }

    /// Removes the flows that are over; returns what the flows carry.
    pub(super) fn sweep_flows(&mut self) -> Result<InUse> {
        let mut in_use = InUse::default();
        let endings = Endings::of(&self.plan, &self.indexes, &self.takers);
        // In this order: a flow that is confirmed meanwhile is seen in at least one of the two.
        self.sweep_half_open(&endings, &mut in_use)?;
        self.sweep_established(&endings, &mut in_use)?;
        Ok(in_use)
    }

    fn sweep_established(&mut self, endings: &Endings, in_use: &mut InUse) -> Result<()> {
        let now = clock::now();
        let timeouts = self.plan.timeouts;
        let mut cut = 0_u64;
        let removed = self.datapath.sweep_established(|question, answer| {
            let FlowCell { key, entry } = question;
            in_use.note(entry.node_cell, entry.snat_pool);
            in_use.note(answer.entry.node_cell, answer.entry.snat_pool);
            let ends = endings.ends(u32::from(entry.node_cell), key.protocol);
            cut += u64::from(ends);
            let peer = Some(&answer.entry);
            let is_over =
                ends || expiry::is_over(FlowTable::Established, key, entry, peer, &timeouts, now);
            is_over.then(|| EndedFlow {
                key: *key,
                last_seen: [entry.last_seen, answer.entry.last_seen],
                at_once: u32::from(ends),
                is_half_open: 0,
            })
        })?;
        report(FlowTable::Established, cut, removed.saturating_sub(cut));
        Ok(())
    }

    fn sweep_half_open(&mut self, endings: &Endings, in_use: &mut InUse) -> Result<()> {
        const TABLE: FlowTable = FlowTable::HalfOpen;
        let now = clock::now();
        let timeouts = self.plan.timeouts;
        // First by each entry's own clock; only these are looked up again, with their other half.
        let mut quiet = Vec::new();
        let mut ended = Vec::new();
        self.datapath.walk_half_open(|key, entry| {
            in_use.note(entry.node_cell, entry.snat_pool);
            if endings.ends(u32::from(entry.node_cell), key.protocol) {
                ended.push(ended_half_open(key, entry, None));
            } else if expiry::is_over(TABLE, key, entry, None, &timeouts, now) {
                quiet.push((*key, *entry));
            }
        })?;
        let mut over = Vec::new();
        for (key, entry) in quiet {
            let peer = self.datapath.half_open(&key.answer_to(&entry.rewrite))?;
            if expiry::is_over(TABLE, &key, &entry, peer.as_ref(), &timeouts, now) {
                let peer_seen = peer.map_or(entry.last_seen, |peer| peer.last_seen);
                over.push(ended_half_open(&key, &entry, Some(peer_seen)));
            }
        }
        let cut = self.datapath.end(&ended)?;
        let removed = self.datapath.end(&over)?;
        report(TABLE, cut, removed);
        Ok(())
    }

    /// Clears the marks of ports that no flow has.
    fn audit_ports(&mut self) -> Result<()> {
        let mut used: HashMap<u16, Vec<u64>> = HashMap::new();
        for table in [FlowTable::Established, FlowTable::HalfOpen] {
            self.datapath.walk_flows(table, |key, entry| {
                if let Some((pool, port)) = snat_port(entry, key) {
                    let words = used
                        .entry(pool)
                        .or_insert_with(|| vec![0; SNAT_PORT_WORDS as usize]);
                    words[usize::from(port / 64)] |= 1 << (port % 64);
                }
            })?;
        }
        for (pool, words) in used {
            for (word, used) in (0..).zip(words) {
                let marked = self.datapath.snat_word(pool, word)?;
                if marked & !used != 0 {
                    self.datapath.set_snat_word(pool, word, marked & used)?;
                }
            }
        }
        Ok(())
    }
}

/// A flow of the half-open table that is over. Without `peer_seen` it ends whatever comes by.
fn ended_half_open(key: &FlowKey, entry: &FlowEntry, peer_seen: Option<u32>) -> EndedFlow {
    EndedFlow {
        key: *key,
        last_seen: [entry.last_seen, peer_seen.unwrap_or_default()],
        at_once: u32::from(peer_seen.is_none()),
        is_half_open: 1,
    }
}

fn report(table: FlowTable, cut: u64, idle: u64) {
    if idle > 0 {
        debug!("{idle} idle flows removed from the {table:?} table");
    }
    if cut > 0 {
        info!(
            "{cut} flows of nodes that are down, disabled or gone removed from the {table:?} table"
        );
    }
}

/// Pool and port of a flow with SNAT, from either of its entries.
fn snat_port(entry: &FlowEntry, key: &FlowKey) -> Option<(u16, u16)> {
    if entry.snat_pool == NO_POOL {
        return None;
    }
    let port = if entry.role.direction() == Direction::TO_NODE {
        entry.rewrite.source_port
    } else {
        key.destination_port
    };
    Some((entry.snat_pool, port.number()))
}
