//! The end of idle flows: both entries and the SNAT port go together.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use lb_common::{
    flow::{Direction, FlowEntry, FlowKey},
    service::{NO_POOL, SNAT_PORT_WORDS, node_cell},
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
        for table in [FlowTable::HalfOpen, FlowTable::Established] {
            self.sweep_table(table, &endings, &mut in_use)?;
        }
        Ok(in_use)
    }

    fn sweep_table(
        &mut self,
        table: FlowTable,
        endings: &Endings,
        in_use: &mut InUse,
    ) -> Result<()> {
        let now = clock::now();
        let timeouts = self.plan.timeouts;
        // First by each entry's own clock; only these are looked up again, with their other half.
        let mut quiet = Vec::new();
        let mut ended = Vec::new();
        self.datapath.walk_flows(table, |key, entry| {
            let cell = node_cell(entry.service, entry.node);
            in_use.note(cell, entry.snat_pool);
            if endings.ends(cell, key.protocol) {
                ended.push((*key, *entry));
            } else if expiry::is_over(table, key, entry, None, &timeouts, now) {
                quiet.push((*key, *entry));
            }
        })?;
        let mut over = 0_u32;
        for (key, entry) in quiet {
            let peer_key = key.answer_to(&entry.rewrite);
            let peer = self.datapath.flow(table, &peer_key)?;
            if expiry::is_over(table, &key, &entry, peer.as_ref(), &timeouts, now) {
                self.end(table, &key, &entry, &peer_key)?;
                over += 1;
            }
        }
        if over > 0 {
            debug!("{over} idle entries removed from the {table:?} table");
        }
        if !ended.is_empty() {
            let count = ended.len();
            info!(
                "{count} entries of nodes that are down, disabled or gone removed from the {table:?} table"
            );
        }
        for (key, entry) in ended {
            self.end(table, &key, &entry, &key.answer_to(&entry.rewrite))?;
        }
        Ok(())
    }

    fn end(
        &mut self,
        table: FlowTable,
        key: &FlowKey,
        entry: &FlowEntry,
        peer: &FlowKey,
    ) -> Result<()> {
        self.datapath.remove_flow(table, key)?;
        self.datapath.remove_flow(table, peer)?;
        if let Some((pool, port)) = snat_port(entry, key) {
            let word = port / 64;
            let bits = self.datapath.snat_word(pool, word)?;
            self.datapath
                .set_snat_word(pool, word, bits & !(1 << (port % 64)))?;
        }
        Ok(())
    }

    /// Clears the marks of ports that no flow has.
    fn audit_ports(&mut self) -> Result<()> {
        let mut used: HashMap<u32, Vec<u64>> = HashMap::new();
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

/// Pool and port of a flow with SNAT, from either of its entries.
fn snat_port(entry: &FlowEntry, key: &FlowKey) -> Option<(u32, u16)> {
    if entry.snat_pool == NO_POOL {
        return None;
    }
    let port = if entry.direction == Direction::TO_NODE {
        entry.rewrite.source_port
    } else {
        key.destination_port
    };
    Some((entry.snat_pool, port.number()))
}
