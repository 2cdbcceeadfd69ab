//! Interfaces that go down and come back, and those that change their address.

use anyhow::Result;
use lb_common::net::Mac;
use tracing::{info, warn};

use super::Controller;
use crate::network::Link;

impl Controller {
    /// Takes in a change of an interface. With the link the kernel has lost the neighbours behind it, and
    /// nobody else asks for them: the packets of XDP pass it by.
    pub(super) async fn follow_link(
        &mut self,
        index: u32,
        running: bool,
        mac: Option<Mac>,
    ) -> Result<()> {
        let mut held = self.interfaces.iter_mut();
        let Some(held) = held.find(|held| held.link.index == index) else {
            return Ok(());
        };
        let name = held.link.name.clone();
        let came_up = running && !held.running;
        let has_moved = mac.is_some_and(|mac| mac != held.link.mac);
        if held.running && !running {
            warn!("interface {name}: the link is down");
        }
        held.running = running;
        if !came_up && !has_moved {
            return Ok(());
        }
        info!("interface {name}: the link is up");
        let link = self.network.link(&name).await?;
        for held in &mut self.interfaces {
            if held.link.index == link.index {
                held.link = link.clone();
            }
        }
        let links: Vec<Link> = self
            .interfaces
            .iter()
            .map(|held| held.link.clone())
            .collect();
        for held in &self.interfaces {
            let cell = self.cell_of(&held.link, held.zone);
            self.datapath.set_interface(&held.link.name, &cell)?;
        }
        self.neighbours.set_links(&links);
        // Every flow looks its way up again, and leaves from the address that the interface has now.
        self.datapath.raise_route_generation()?;
        self.resolve_first(&links).await
    }
}
