//! A lab whose nodes are checked, and what edgelb says of them.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use lb_daemon::snapshot::{HealthStatus, NodeStatus};

use super::{
    Lab,
    edgelb::{self, UNCHECKED},
    ms_turn::MsTurn,
    plan::{Host, NODES},
};

/// How long a state has to become what it is to be: several times what it takes.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often it is looked at.
const POLL: Duration = Duration::from_millis(50);

/// The configuration of the lab's pool with checks, and with more behind it.
pub fn config(lab: &Lab, health: &str, more: &str) -> String {
    let usual = edgelb::config(lab.arrangement);
    usual.replacen(UNCHECKED, &format!("[health]\n{health}\n"), 1) + more
}

/// Has the running edgelb check the nodes.
pub fn check(lab: &Lab, health: &str, more: &str) -> Result<()> {
    let instance = &lab.edgelb.instance;
    instance.configure(&config(lab, health, more))?;
    instance.reload()?;
    Ok(())
}

/// The A/V services of a node, inside and outside.
pub fn av(lab: &Lab, node: usize) -> Result<[MsTurn; 2]> {
    let host = lab.host(Host::Edge(node));
    Ok([
        MsTurn::start(host, NODES[node].av)?,
        MsTurn::start(host, NODES[node].internal)?,
    ])
}

/// What edgelb says of a node of a service.
pub fn node(lab: &Lab, service: &str, node: &str) -> Result<NodeStatus> {
    let status = lab.edgelb.instance.status()?;
    let services = status.services.into_iter();
    services
        .filter(|known| known.name == service)
        .flat_map(|service| service.nodes)
        .find(|known| known.name == node)
        .with_context(|| format!("there is no {node} of {service}"))
}

/// What the checks say of a node of a service, once one has been over.
pub fn health(lab: &Lab, service: &str, name: &str) -> Result<HealthStatus> {
    wait(&format!("the first check of {service}, {name}"), || {
        let health = node(lab, service, name)?.health;
        Ok(health.filter(|health| health.checked_ago_ms.is_some()))
    })
}

/// Waits until a node of a service is in a state.
pub fn wait_for(lab: &Lab, service: &str, name: &str, state: &str) -> Result<NodeStatus> {
    let outcome = wait(&format!("{service}, {name}: {state}"), || {
        Ok(Some(node(lab, service, name)?).filter(|node| node.state == state))
    });
    outcome.with_context(|| match node(lab, service, name) {
        Ok(node) => format!("it is {node:#?}\n{}", lab.edgelb.log()),
        Err(error) => format!("{error:#}"),
    })
}

/// Waits until something is there.
pub fn wait<T>(what: &str, mut there: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(there) = there()? {
            return Ok(there);
        }
        if begun.elapsed() > PATIENCE {
            bail!("{what} does not happen within {PATIENCE:?}");
        }
        thread::sleep(POLL);
    }
}
