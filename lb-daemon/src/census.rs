//! The flows, counted (pure).

use lb_common::{
    flow::{Direction, FlowEntry},
    service::{MAX_NODES, MAX_SERVICES},
};

use crate::{datapath::Stage, indexes::InUse, snapshot::FlowCounts};

/// What a walk over the flows has found.
#[derive(Clone, Debug)]
pub struct Census {
    /// Second of the monotonic clock at which the walk began.
    began: u32,
    /// By the cell of the node.
    by_node: Vec<Counted>,
    /// Confirmed flows.
    pub established: u64,
    /// Flows that are not confirmed yet.
    pub half_open: u64,
    /// The indexes that they carry.
    pub in_use: InUse,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    flows: FlowCounts,
    /// Those that were opened before the walk began.
    earlier: u64,
}

impl Census {
    /// Of a walk that has seen nothing yet.
    pub fn new(began: u32) -> Self {
        Self {
            began,
            by_node: vec![Counted::default(); (MAX_SERVICES * MAX_NODES) as usize],
            established: 0,
            half_open: 0,
            in_use: InUse::default(),
        }
    }

    /// Counts an entry that stays. A flow counts once, by the entry of its client's packets: one that only
    /// the node is closing is told by the other entry and counts as established here.
    pub fn note(&mut self, stage: Stage, entry: &FlowEntry) {
        if entry.role.direction() != Direction::TO_NODE {
            return;
        }
        match stage {
            Stage::Confirmed => self.established += 1,
            Stage::HalfOpen => self.half_open += 1,
        }
        let Some(counted) = self.by_node.get_mut(usize::from(entry.node_cell)) else {
            return;
        };
        if entry.state.is_closing() {
            counted.flows.closing += 1;
        } else if stage == Stage::HalfOpen {
            counted.flows.half_open += 1;
        } else {
            counted.flows.established += 1;
        }
        // The second in which the walk began is on both sides of it; of its flows, few were opened later.
        counted.earlier += u64::from(entry.opened.second() <= self.began);
    }

    /// The flows of the node with this cell, by state.
    pub fn of_node(&self, cell: u32) -> FlowCounts {
        self.counted(cell).flows
    }

    /// How many flows the node with this cell has when it has opened `since` since the walk began: of those, the
    /// walk has come upon some and not upon others.
    pub fn load(&self, cell: u32, since: u64) -> u64 {
        self.counted(cell).earlier + since
    }

    fn counted(&self, cell: u32) -> Counted {
        let counted = self.by_node.get(cell as usize);
        counted.copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use lb_common::{
        flow::{FlowState, Opened, Rewrite, Role},
        service::Treatment,
    };

    use super::*;

    const BEGAN: u32 = 1000;

    fn entry(direction: Direction, node_cell: u16, state: FlowState, opened: u32) -> FlowEntry {
        FlowEntry {
            rewrite: Rewrite::default(),
            generation: 0,
            next_hop: 0,
            node_cell,
            snat_pool: 0,
            role: Role::new(direction, Treatment::Snat),
            state,
            last_seen: 0,
            opened: Opened::at(opened),
            packets: 0,
            bytes: 0,
        }
    }

    #[test]
    fn a_flow_counts_once_by_node_and_state() {
        use FlowState as S;
        use Stage::{Confirmed, HalfOpen};
        let mut census = Census::new(BEGAN);
        for (stage, node, state, opened) in [
            (Confirmed, 7, S::ESTABLISHED, BEGAN - 1),
            (Confirmed, 7, S::ESTABLISHED, BEGAN + 1),
            (Confirmed, 7, S::FIN, BEGAN),
            (HalfOpen, 7, S::OPENING, BEGAN),
            (HalfOpen, 8, S::RESET, 0),
        ] {
            census.note(stage, &entry(Direction::TO_NODE, node, state, opened));
            census.note(stage, &entry(Direction::TO_CLIENT, node, state, opened));
        }
        let (seven, eight) = (census.of_node(7), census.of_node(8));
        assert_eq!(
            (seven.established, seven.closing, seven.half_open),
            (2, 1, 1)
        );
        assert_eq!(
            (eight.established, eight.closing, eight.half_open),
            (0, 1, 0)
        );
        assert_eq!((census.established, census.half_open), (3, 2));
        assert_eq!(census.of_node(9), FlowCounts::default());
    }

    /// What the data path has counted since the walk began is not counted twice.
    #[test]
    fn the_load_is_what_was_there_before_the_walk_and_what_has_come_since() {
        let mut census = Census::new(BEGAN);
        for opened in [BEGAN - 1, BEGAN, BEGAN + 1, BEGAN + 2] {
            let entry = entry(Direction::TO_NODE, 7, FlowState::ESTABLISHED, opened);
            census.note(Stage::Confirmed, &entry);
        }
        assert_eq!(census.load(7, 5), 7);
        assert_eq!(census.load(8, 5), 5);
    }
}
