//! What the health of the nodes decides: who takes new flows.

use std::time::Instant;

use anyhow::Result;
use lb_common::net::Zone;
use tracing::{info, warn};

use super::{Controller, outlive};
use crate::{
    clock::Moment,
    contents::Contents,
    datapath,
    drains::Drains,
    health::{Change, target::Key},
    node_state::{NodeState, Wanted},
    plan::{Plan, PlannedNode, PlannedService},
    state_file::State,
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
        let now = Instant::now();
        self.warm_up.note(&self.plan, &self.takers, &takers, now);
        let shares = self.warm_up.shares(&self.plan, now);
        let drains = self.drains_of(&self.plan);
        let contents = Contents::with(&self.plan, &self.indexes, &takers, &shares, &drains);
        self.fill(&contents)?;
        // Who hears of an outage wants to hear of its end.
        for told in takers.told(&self.takers) {
            warn!("{told}");
        }
        let changed = takers != self.takers;
        self.takers = takers;
        if drains != self.drains {
            for told in drains.told(&self.drains, Moment::now()) {
                info!("{told}");
            }
            self.drains = drains;
            self.remember();
            self.release_clients()?;
        }
        if changed {
            self.remember();
            self.end_flows()?;
        }
        Ok(())
    }

    /// Wants something of a node from here on. Returns what has changed, a line each.
    pub(super) fn want(
        &mut self,
        node: &str,
        service: Option<&str>,
        wanted: Wanted,
    ) -> Result<Vec<String>> {
        let mut wishes = self.wishes.clone();
        wishes.want(&self.plan, node, service, wanted)?;
        let mut drains = self.drains.clone();
        drains.begin(&self.plan, &self.wishes, &wishes, Moment::now());
        // First of all on disk: what cannot be kept is not promised.
        let mut state = self.state_file.state().clone();
        state.wishes = wishes.clone();
        state.drains = drains.deadlines();
        self.state_file.write(state)?;
        self.wishes = wishes;
        let before = (self.takers.clone(), self.drains.clone());
        let begins = drains != self.drains;
        self.drains = drains;
        if begins {
            for told in self.drains.told(&before.1, Moment::now()) {
                info!("{told}");
            }
            outlive(self.keep_clients());
        }
        self.decide()?;
        if begins {
            // Once more: some have come while the others were looked for.
            outlive(self.keep_clients());
        }
        let mut told = self.takers.told(&before.0);
        told.extend(self.drains.told(&before.1, Moment::now()));
        Ok(told)
    }

    /// Keeps what the next daemon is to know.
    pub(super) fn remember(&mut self) {
        let state = State {
            wishes: self.wishes.clone(),
            drains: self.drains.deadlines(),
            down: self.takers.down(),
        };
        outlive(self.state_file.write(state));
    }

    /// Lets go of what an earlier daemon knew of nodes that have been asked since.
    pub(super) fn learn(&mut self) {
        if self.known_down.is_empty() {
            return;
        }
        let checks = &self.checks;
        self.known_down.retain(|(service, node)| {
            let report = checks.report(&Key {
                service: service.clone(),
                node: node.clone(),
            });
            report.is_some_and(|(_, report)| !report.verdict.is_decided())
        });
        outlive(self.decide());
    }

    /// Who takes new flows of a plan's services as things are now.
    pub(super) fn takers_of(&self, plan: &Plan) -> Takers {
        self.takers.decide(plan, |service, node| {
            let healthy = self.is_healthy(plan, service, node);
            NodeState::of(self.wishes.of(&service.name, &node.name), healthy)
        })
    }

    /// Which nodes of a plan's services still have the new flows of their clients while they drain.
    pub(super) fn drains_of(&self, plan: &Plan) -> Drains {
        let mut drains = self.drains.clone();
        let healthy =
            |service: &PlannedService, node: &PlannedNode| self.is_healthy(plan, service, node);
        drains.retain(plan, &self.wishes, healthy, Moment::now());
        drains
    }

    fn is_healthy(&self, plan: &Plan, service: &PlannedService, node: &PlannedNode) -> bool {
        let name = (service.name.clone(), node.name.clone());
        self.checks.is_healthy(plan, service, &node.name) && !self.known_down.contains(&name)
    }

    /// The interfaces that checks may leave by.
    pub(super) fn own_interfaces(&self) -> Vec<(u32, Zone)> {
        let held = self.interfaces.iter();
        held.map(|held| (held.link.index, held.zone)).collect()
    }
}
