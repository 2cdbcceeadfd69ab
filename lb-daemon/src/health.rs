//! Health checks: whether the nodes of a service answer.
//!
//! `target` says who is asked what, `message` what is said, `verdict` what follows from the answers; all
//! of that is pure. A `task` for each target does the asking, and the controller hears of changes.

mod ask;
mod departure;
mod failure;
pub mod message;
pub mod target;
mod task;
mod tls;
pub mod verdict;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use futures_util::future::join_all;
use tokio::{sync::mpsc, time::timeout};

pub use self::{departure::Ways, task::Report};
use self::{
    target::{Key, Target, gate_of},
    task::{Means, Running},
};
use crate::plan::{Plan, PlannedService};

/// How long the checks have to end when the daemon does.
const PATIENCE: Duration = Duration::from_millis(1500);

/// A node that has become healthy for a service, or is not any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Service and node.
    pub key: Key,
    /// What it has become.
    pub healthy: bool,
    /// Why it is not healthy.
    pub reason: Option<String>,
}

/// Targets that can be asked, and the TLS clients that this takes.
pub struct Prepared {
    targets: Vec<Target>,
    clients: BTreeMap<Key, tls::Client>,
}

/// The checks that are running.
pub struct Checks {
    ways: Ways,
    changes: mpsc::Sender<Change>,
    running: BTreeMap<Key, Running>,
}

impl Checks {
    /// None yet; `changes` will hear of every change. To be used within the runtime.
    pub const fn new(ways: Ways, changes: mpsc::Sender<Change>) -> Self {
        Self {
            ways,
            changes,
            running: BTreeMap::new(),
        }
    }

    /// The interfaces by which checks leave.
    pub const fn ways(&self) -> &Ways {
        &self.ways
    }

    /// Finds out what it takes to ask these targets; nothing changes yet.
    ///
    /// # Errors
    ///
    /// That a file of certificates cannot be used.
    pub fn prepare(&self, targets: Vec<Target>) -> Result<Prepared> {
        let mut clients = BTreeMap::new();
        for target in &targets {
            let node = (*target.address.ip()).into();
            let client = tls::client(&target.check, node)
                .with_context(|| format!("check of service {}", target.key.service))?;
            if let Some(client) = client {
                clients.insert(target.key.clone(), client);
            }
        }
        Ok(Prepared { targets, clients })
    }

    /// Asks these targets from here on, and no others. A target that is the same as before goes on as
    /// it is; one that is asked differently keeps what is known of it as long as it is in the same place.
    pub fn set(&mut self, mut prepared: Prepared) {
        let mut before = std::mem::take(&mut self.running);
        for target in prepared.targets {
            let running = match before.remove(&target.key) {
                Some(running) if running.target == target => running,
                before => {
                    let client = prepared.clients.remove(&target.key);
                    self.start(target, client, before)
                }
            };
            self.running.insert(running.target.key.clone(), running);
        }
        for gone in before.into_values() {
            tokio::spawn(gone.stop());
        }
    }

    fn start(
        &self,
        target: Target,
        client: Option<tls::Client>,
        before: Option<Running>,
    ) -> Running {
        let known = match &before {
            Some(before) if before.target.address == target.address => before.report(),
            _ => Report::unknown(Instant::now()),
        };
        let means = Means {
            client,
            ways: self.ways.clone(),
            changes: self.changes.clone(),
        };
        Running::start(target, means, known, before)
    }

    /// Whether a node is healthy for a service: by the service's own checks, and by those of its gate.
    pub fn is_healthy(&self, plan: &Plan, service: &PlannedService, node: &str) -> bool {
        let gate = gate_of(plan, service).map(|gate| &plan.services[gate]);
        [Some(service), gate].into_iter().flatten().all(|service| {
            self.answers(&Key {
                service: service.name.clone(),
                node: node.to_owned(),
            })
        })
    }

    /// Whether a node answers the checks of a service. Who is not checked does.
    pub fn answers(&self, key: &Key) -> bool {
        let running = self.running.get(key);
        running.is_none_or(|running| running.report().verdict.is_healthy())
    }

    /// What is known of a node of a service, and how it is asked; nothing of one that is not checked.
    pub fn report(&self, key: &Key) -> Option<(&Target, Report)> {
        let running = self.running.get(key)?;
        Some((&running.target, running.report()))
    }

    /// Ends all checks, once their connections are closed; a node that is slow to answer is not waited
    /// for much longer.
    pub async fn stop(&mut self) {
        let running = std::mem::take(&mut self.running);
        let ends = running.into_values().map(Running::stop);
        // Those that are not over by then end with the daemon.
        let _ = timeout(PATIENCE, join_all(ends)).await;
    }
}
