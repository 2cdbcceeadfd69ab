//! What edgelb prints of its configuration and of what it has dropped.

use std::process::Command;

use anyhow::{Context as _, Result};

use super::{Instance, run};

impl Instance {
    /// What `edgelb check` says of its configuration, and whether it is content with it.
    pub fn check(&self) -> Result<(bool, String)> {
        let mut command = Command::new(&self.program);
        let output = command
            .args(["check", "--config"])
            .arg(&self.config)
            .output()?;
        let printed = [output.stdout, output.stderr].concat();
        Ok((
            output.status.success(),
            String::from_utf8_lossy(&printed).into_owned(),
        ))
    }

    /// The gateway of each route that `edgelb ports` prints for a node, by network.
    pub fn routes(&self, node: &str) -> Result<Vec<(String, String)>> {
        let mut command = Command::new(&self.program);
        command
            .args(["ports", "--format", "json", "--config"])
            .arg(&self.config);
        let ports: serde_json::Value = serde_json::from_str(&run(&mut command)?)?;
        let routes = ports["routes"]
            .as_array()
            .context("edgelb ports has no routes")?;
        Ok(routes
            .iter()
            .filter(|route| route["node"] == node)
            .filter_map(|route| {
                let text = |key: &str| route[key].as_str().map(str::to_owned);
                Some((text("network")?, text("gateway")?))
            })
            .collect())
    }

    /// Packets that it has dropped for one reason.
    pub fn dropped(&self, reason: &str) -> Result<u64> {
        let drops = self.status()?.drops;
        Ok(drops
            .iter()
            .filter(|drop| drop.reason == reason)
            .map(|drop| drop.packets)
            .sum())
    }
}
