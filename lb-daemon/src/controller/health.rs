//! What the health of the nodes decides: who takes new flows.

use lb_common::net::Zone;
use tracing::{info, warn};

use super::Controller;
use crate::{
    contents::Contents,
    datapath,
    health::Change,
    node_state::{NodeState, Wanted},
    plan::Plan,
    takers::Takers,
};

impl Controller {
    /// Takes in that a node answers its checks, or does not any more.
    pub(super) fn hear(&mut self, change: &Change) -> datapath::Result<()> {
        let (service, node) = (&change.key.service, &change.key.node);
        if let Some(reason) = &change.reason {
            warn!("check of {service}, node {node}: {reason}");
        } else {
            info!("check of {service}, node {node}: it answers");
        }
        self.decide()
    }

    /// Decides who takes new flows as things are now, and makes the rings say so.
    pub(super) fn decide(&mut self) -> datapath::Result<()> {
        let takers = self.takers_of(&self.plan);
        let contents = Contents::with(&self.plan, &self.indexes, &takers);
        self.fill(&contents)?;
        // Who hears of an outage wants to hear of its end.
        for told in takers.told(&self.takers) {
            warn!("{told}");
        }
        self.takers = takers;
        Ok(())
    }

    /// Who takes new flows of a plan's services as things are now.
    pub(super) fn takers_of(&self, plan: &Plan) -> Takers {
        self.takers.decide(plan, |service, node| {
            let healthy = self.checks.is_healthy(plan, service, &node.name);
            NodeState::of(Wanted::Enabled, healthy)
        })
    }

    /// The interfaces that checks may leave by.
    pub(super) fn own_interfaces(&self) -> Vec<(u32, Zone)> {
        let held = self.interfaces.iter();
        held.map(|held| (held.link.index, held.zone)).collect()
    }
}
