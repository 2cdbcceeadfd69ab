//! One round over all flows: which are over, and what the others are (pure).

use lb_common::{
    flow::{FlowEntry, FlowKey},
    upkeep::EndedFlow,
};

use crate::{
    census::Census,
    datapath::{FlowTable, Pair},
    endings::Endings,
    expiry,
    plan::Timeouts,
    port_audit::PortAudit,
};

/// What a round goes by, and what it has found.
#[derive(Clone, Debug)]
pub struct Round {
    endings: Endings,
    timeouts: Timeouts,
    /// The flows that it leaves where they are, and the indexes of all that it has seen.
    pub census: Census,
    /// The ports that no flow has, in a round that looks for them.
    pub audit: Option<PortAudit>,
}

impl Round {
    /// A round that has seen nothing yet.
    pub fn new(endings: Endings, timeouts: Timeouts, audit: Option<PortAudit>, now: u32) -> Self {
        Self {
            endings,
            timeouts,
            census: Census::new(now),
            audit,
        }
    }

    /// Judges a confirmed flow: what is to be ended.
    pub fn judge(&mut self, [question, answer]: &Pair, now: u32) -> Option<EndedFlow> {
        const TABLE: FlowTable = FlowTable::Established;
        let (key, entry) = (&question.key, &question.entry);
        self.note(key, entry);
        self.note(&answer.key, &answer.entry);
        let at_once = self.endings.ends(u32::from(entry.node_cell), key.protocol);
        let peer = Some(&answer.entry);
        if !at_once && !expiry::is_over(TABLE, key, entry, peer, &self.timeouts, now) {
            self.census.note(TABLE, entry);
            return None;
        }
        Some(EndedFlow {
            key: *key,
            last_seen: [entry.last_seen, answer.entry.last_seen],
            at_once: u32::from(at_once),
            is_half_open: 0,
        })
    }

    /// Judges an entry of the half-open table. `peer` looks the other direction up, which few need.
    ///
    /// # Errors
    ///
    /// Those of `peer`.
    pub fn judge_half_open<E>(
        &mut self,
        key: &FlowKey,
        entry: &FlowEntry,
        now: u32,
        peer: impl FnOnce(&FlowKey) -> Result<Option<FlowEntry>, E>,
    ) -> Result<Option<EndedFlow>, E> {
        const TABLE: FlowTable = FlowTable::HalfOpen;
        self.note(key, entry);
        let at_once = self.endings.ends(u32::from(entry.node_cell), key.protocol);
        let is_over = |peer| expiry::is_over(TABLE, key, entry, peer, &self.timeouts, now);
        let mut peer_seen = 0;
        if !at_once {
            let mut over = is_over(None);
            if over {
                let peer = peer(&key.answer_to(&entry.rewrite))?;
                over = is_over(peer.as_ref());
                peer_seen = peer.map_or(entry.last_seen, |peer| peer.last_seen);
            }
            if !over {
                self.census.note(TABLE, entry);
                return Ok(None);
            }
        }
        Ok(Some(EndedFlow {
            key: *key,
            last_seen: [entry.last_seen, peer_seen],
            at_once: u32::from(at_once),
            is_half_open: 1,
        }))
    }

    fn note(&mut self, key: &FlowKey, entry: &FlowEntry) {
        self.census.in_use.note(entry.node_cell, entry.snat_pool);
        if let Some(audit) = &mut self.audit {
            audit.note(key, entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use lb_common::{
        flow::{Direction, FlowCell, FlowState, Rewrite, Role},
        net::{Ip4, Port, Protocol, Zone},
        service::Treatment,
    };

    use super::*;
    use crate::{config::Config, indexes::Indexes, plan::Plan, takers::Takers};

    const SEEN: u32 = 10_000;

    /// A round in which nodes 0 and 1 are known and the first keeps no flow.
    fn round(audit: Option<PortAudit>) -> Round {
        let plan = |nodes: &str| {
            let text = format!(
                "[pool]\nname = \"p\"\n[interfaces]\nexternal = [\"e\"]\n[[services]]\nname = \"s\"\n\
                 listen = \"203.0.113.1:443/tcp\"\ntreatment = \"snat\"\nnodes = [{nodes}]\n"
            );
            Plan::of(&Config::parse(&text).expect("the test's configuration is right"))
        };
        let kept = "{ name = \"b\", address = \"192.0.2.2:443\" }";
        let mut indexes = Indexes::default();
        let both = format!("{{ name = \"a\", address = \"192.0.2.1:443\" }}, {kept}");
        indexes.assign(&plan(&both)).expect("it fits");
        let plan = plan(kept);
        indexes.assign(&plan).expect("it fits");
        let endings = Endings::of(&plan, &indexes, &Takers::default());
        Round::new(endings, plan.timeouts, audit, SEEN)
    }

    fn entry(direction: Direction, node: u16, last_seen: u32) -> FlowEntry {
        FlowEntry {
            rewrite: Rewrite {
                source_port: Port::new(2000),
                ..Rewrite::default()
            },
            generation: 0,
            next_hop: 0,
            node_cell: node,
            snat_pool: 0,
            role: Role::new(direction, Treatment::Snat),
            state: FlowState::ESTABLISHED,
            last_seen,
            opened: 0,
            packets: 0,
            bytes: 0,
        }
    }

    fn key() -> FlowKey {
        let client = (Ip4::from_octets([198, 51, 100, 1]), Port::new(40_000));
        let vip = (Ip4::from_octets([203, 0, 113, 1]), Port::new(443));
        FlowKey::new(Zone::External, Protocol::Tcp, client, vip)
    }

    fn pair(node: u16, asked: u32, answered: u32) -> Pair {
        let cell = |entry: FlowEntry| FlowCell { key: key(), entry };
        [
            cell(entry(Direction::TO_NODE, node, asked)),
            cell(entry(Direction::TO_CLIENT, node, answered)),
        ]
    }

    #[test]
    fn flows_end_when_both_directions_are_idle_or_their_node_keeps_none() {
        for (flow, now, ended) in [
            (pair(1, SEEN, SEEN), SEEN + 3599, None),
            (pair(1, SEEN, SEEN), SEEN + 3600, Some(0)),
            (pair(1, SEEN, SEEN + 1), SEEN + 3600, None),
            (pair(0, SEEN, SEEN), SEEN, Some(1)),
        ] {
            let mut round = round(None);
            let judged = round.judge(&flow, now);
            assert_eq!(judged.map(|ended| ended.at_once), ended, "{flow:?}");
            if let Some(judged) = judged {
                let seen = [flow[0].entry.last_seen, flow[1].entry.last_seen];
                assert_eq!((judged.last_seen, judged.is_half_open), (seen, 0));
            }
            // What ends is counted no more, and its indexes are in use until it is gone.
            let node = u32::from(flow[0].entry.node_cell);
            let counted = u64::from(ended.is_none());
            assert_eq!(round.census.of_node(node).established, counted);
            assert_eq!(round.census.in_use.flows(node), 1);
        }
    }

    #[test]
    fn the_other_direction_of_a_half_open_flow_is_looked_up_where_it_decides() {
        // When the entry was last seen, its peer if that is looked up, and when both are judged.
        for (node, peer, now, ended) in [
            (1, None, SEEN + 29, None),
            (1, Some(Some(SEEN + 1)), SEEN + 30, None),
            (1, Some(Some(SEEN)), SEEN + 30, Some(0)),
            (1, Some(None), SEEN + 30, Some(0)),
            (0, None, SEEN, Some(1)),
        ] {
            let mut round = round(None);
            let mut asked = false;
            let judged = round.judge_half_open(
                &key(),
                &entry(Direction::TO_NODE, node, SEEN),
                now,
                |_| -> Result<_, Infallible> {
                    asked = true;
                    let seen = peer.expect("it need not be looked up");
                    Ok(seen.map(|seen| entry(Direction::TO_CLIENT, node, seen)))
                },
            );
            let Ok(judged) = judged;
            let name = format!("{node} {peer:?} {now}");
            assert_eq!(asked, peer.is_some(), "{name}");
            assert_eq!(judged.map(|ended| ended.at_once), ended, "{name}");
            let counted = round.census.of_node(u32::from(node)).half_open;
            assert_eq!(counted, u64::from(ended.is_none()), "{name}");
        }
    }

    #[test]
    fn a_round_that_audits_ports_sees_those_of_all_flows() {
        let mut round = round(Some(PortAudit::of([(0, vec![u64::MAX; 32])])));
        round.judge(&pair(1, SEEN, SEEN), SEEN);
        let audit = round.audit.expect("it audits");
        let stale: u32 = audit.stale().map(|(_, _, ports)| ports.count_ones()).sum();
        assert_eq!(stale, 32 * 64 - 2);
    }
}
