//! The end of idle flows: both entries and the SNAT port go together.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use lb_common::{
    flow::{Direction, FlowEntry, FlowKey},
    service::{NO_POOL, SNAT_PORT_WORDS},
};
use tracing::debug;

use super::Controller;
use crate::{
    clock,
    datapath::{FlowTable, Result},
    expiry,
};

/// How often the bitmaps of the SNAT ports are made to agree with the flow tables. A half-open flow
/// that was pushed out of its table leaves its port marked until then; the data path tries marked
/// ports too when it finds no other.
pub const PORT_AUDIT_INTERVAL: Duration = Duration::from_secs(30);

impl Controller {
    /// Removes the flows that are over.
    pub(super) fn sweep(&mut self) -> Result<()> {
        for table in [FlowTable::Established, FlowTable::HalfOpen] {
            self.sweep_table(table)?;
        }
        if Instant::now() >= self.next_port_audit {
            self.audit_ports()?;
            self.next_port_audit = Instant::now() + PORT_AUDIT_INTERVAL;
        }
        Ok(())
    }

    fn sweep_table(&mut self, table: FlowTable) -> Result<()> {
        let now = clock::now();
        let timeouts = self.plan.timeouts;
        // First by each entry's own clock; only these are looked up again, with their other half.
        let mut quiet = Vec::new();
        self.datapath.walk_flows(table, |key, entry| {
            if expiry::is_over(table, key, entry, None, &timeouts, now) {
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
