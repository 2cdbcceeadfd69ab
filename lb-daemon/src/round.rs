//! One round over all flows: which are over, and what the others are (pure).

use lb_common::{
    flow::{FlowEntry, FlowKey},
    upkeep::EndedFlow,
};

use crate::{
    census::Census,
    datapath::{Pair, Stage},
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

    /// Judges a flow: what is to be ended.
    pub fn judge(&mut self, pair: &Pair, now: u32) -> Option<EndedFlow> {
        let [question, answer] = pair;
        let (key, entry) = (&question.key, &question.entry);
        self.note(key, entry);
        self.note(&answer.key, &answer.entry);
        let at_once = self.endings.ends(u32::from(entry.node_cell), key.protocol);
        if !at_once && !expiry::is_over(pair, &self.timeouts, now) {
            self.census.note(Stage::of(pair), entry);
            return None;
        }
        Some(EndedFlow {
            key: *key,
            last_seen: [entry.last_seen, answer.entry.last_seen],
            at_once: u32::from(at_once),
            reserved: 0,
        })
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
    use lb_common::{
        flow::{Direction, FlowCell, FlowState, Opened, Rewrite, Role},
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
            opened: Opened::at(0),
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
        let half_open = |asked, answered| {
            let mut pair = pair(1, asked, answered);
            pair[1].entry.opened = Opened::in_turn(7);
            pair
        };
        for (flow, now, ended) in [
            (half_open(SEEN, SEEN), SEEN + 29, None),
            (half_open(SEEN, SEEN), SEEN + 30, Some(0)),
            (half_open(SEEN, SEEN + 1), SEEN + 30, None),
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
                assert_eq!(judged.last_seen, seen);
            }
            // What ends is counted no more, and its indexes are in use until it is gone.
            let node = u32::from(flow[0].entry.node_cell);
            let counted = u64::from(ended.is_none());
            let of_node = round.census.of_node(node);
            assert_eq!(of_node.established + of_node.half_open, counted);
            assert_eq!(round.census.in_use.flows(node), 1);
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
