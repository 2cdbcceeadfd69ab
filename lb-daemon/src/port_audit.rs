//! Marks of SNAT ports that no flow has (pure).
//!
//! A half-open flow that is pushed out leaves its port marked. Only ports that were marked before
//! the flows were looked through can be found stale: those of flows that are opened meanwhile stay marked.

use std::collections::BTreeMap;

use lb_common::{
    flow::{Direction, FlowEntry, FlowKey},
    service::NO_POOL,
};

/// Marked ports that no flow has been seen with, 64 a word, by their pool.
#[derive(Clone, Debug, Default)]
pub struct PortAudit(BTreeMap<u16, Vec<u64>>);

impl PortAudit {
    /// Of these pools with their marks.
    pub fn of(marked: impl IntoIterator<Item = (u16, Vec<u64>)>) -> Self {
        Self(marked.into_iter().collect())
    }

    /// Notes the port of a flow, by either of its entries.
    pub fn note(&mut self, key: &FlowKey, entry: &FlowEntry) {
        if entry.snat_pool == NO_POOL {
            return;
        }
        let port = if entry.role.direction() == Direction::TO_NODE {
            entry.rewrite.source_port
        } else {
            key.destination_port
        };
        let port = port.number();
        if let Some(words) = self.0.get_mut(&entry.snat_pool)
            && let Some(word) = words.get_mut(usize::from(port / 64))
        {
            *word &= !(1 << (port % 64));
        }
    }

    /// The ports that no flow has: pool, word, and its bits.
    pub fn stale(&self) -> impl Iterator<Item = (u16, u16, u64)> {
        self.0.iter().flat_map(|(pool, words)| {
            let words = (0..).zip(words).filter(|(_, ports)| **ports != 0);
            words.map(|(word, ports)| (*pool, word, *ports))
        })
    }
}

#[cfg(test)]
mod tests {
    use lb_common::{
        flow::{FlowState, Opened, Rewrite, Role},
        net::{Ip4, Port, Protocol, Zone},
        service::Treatment,
    };

    use super::*;

    /// An entry of a flow from pool 3 by `port`, with its key.
    fn seen(direction: Direction, pool: u16, port: u16) -> (FlowKey, FlowEntry) {
        let nowhere = (Ip4::UNSPECIFIED, Port::new(0));
        let to = (Ip4::UNSPECIFIED, Port::new(port));
        let (to, source_port) = match direction {
            Direction::TO_NODE => (nowhere, Port::new(port)),
            _ => (to, Port::new(0)),
        };
        let entry = FlowEntry {
            rewrite: Rewrite {
                source_port,
                ..Rewrite::default()
            },
            generation: 0,
            next_hop: 0,
            node_cell: 0,
            snat_pool: pool,
            role: Role::new(direction, Treatment::Snat),
            state: FlowState::ESTABLISHED,
            last_seen: 0,
            opened: Opened::at(0),
            packets: 0,
            bytes: 0,
        };
        let key = FlowKey::new(Zone::External, Protocol::Tcp, nowhere, to);
        (key, entry)
    }

    #[test]
    fn what_was_marked_and_is_not_seen_is_stale() {
        let marked = vec![0, 0b1011, u64::MAX];
        let mut audit = PortAudit::of([(3, marked), (4, vec![1])]);
        for (key, entry) in [
            seen(Direction::TO_NODE, 3, 64),
            seen(Direction::TO_CLIENT, 3, 67),
            seen(Direction::TO_NODE, 3, 128 + 63),
            // Not marked when the audit began, of a pool that is not looked at, and of none.
            seen(Direction::TO_NODE, 3, 66),
            seen(Direction::TO_NODE, 5, 65),
            seen(Direction::TO_NODE, NO_POOL, 65),
        ] {
            audit.note(&key, &entry);
        }
        let stale: Vec<_> = audit.stale().collect();
        assert_eq!(stale, [(3, 1, 0b10), (3, 2, u64::MAX >> 1), (4, 0, 1)]);
    }
}
