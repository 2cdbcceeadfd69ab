//! A changed configuration, applied to what is running as the difference between the two.
//!
//! Everything that can be refused is found out before anything is touched; what fails after that is
//! taken back.

use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use tracing::{info, warn};

use super::{AttachedInterface, Controller, outlive};
use crate::{
    addresses::{self, AssignedVip},
    changes,
    config::Config,
    contents::{self, Contents},
    datapath,
    health::target::targets,
    network::Link,
    plan::Plan,
    service_manager,
};

impl Controller {
    /// Reads the configuration file again and applies it. Returns what has changed, a line for each.
    ///
    /// # Errors
    ///
    /// Why it cannot be applied; everything is as it was then.
    pub(super) async fn reload(&mut self) -> Result<Vec<String>> {
        service_manager::reloading();
        let outcome = self.apply_file().await;
        service_manager::ready();
        outcome
    }

    async fn apply_file(&mut self) -> Result<Vec<String>> {
        let begun = Instant::now();
        let (config, warnings) = Config::load_with_warnings(&self.config)?;
        let plan = Plan::of(&config);
        let fixed = changes::fixed(&self.plan, &plan);
        if !fixed.is_empty() {
            bail!("{}: {}", self.config.display(), fixed.join("; "));
        }
        let told = changes::told(&self.plan, &plan);
        self.change(plan).await?;
        for warning in warnings {
            warn!("{}:{warning}", self.config.display());
        }
        for change in &told {
            info!("reload: {change}");
        }
        info!(
            "reloaded {} in {} ms",
            self.config.display(),
            begun.elapsed().as_millis()
        );
        Ok(told)
    }

    async fn change(&mut self, plan: Plan) -> Result<()> {
        let links = self.links(&plan).await?;
        let mut indexes = self.indexes.clone();
        indexes
            .assign(&plan)
            .context("the configuration does not fit into the maps")?;
        let checks = self.checks.prepare(targets(&plan))?;
        let shares = self.warm_up.shares(&plan, Instant::now());
        let (takers, drains) = (self.takers_of(&plan), self.drains_of(&plan));
        let contents = Contents::with(&plan, &indexes, &takers, &shares, &drains);

        // What is new comes before what leads to it, and what is old goes last.
        let attached = self.attach_new(&plan, &links)?;
        let vips = match self.change_vips(&plan, &links).await {
            Ok(vips) => vips,
            Err(error) => {
                self.take_back(attached);
                return Err(error);
            }
        };
        // Before the maps: what is noted too much is found to be in no flow, what is missing is lost.
        let noted = self.datapath.note_seats(&indexes.records());
        if let Err(error) = noted.and_then(|()| self.fill(&contents)) {
            addresses::release(&only_in(&vips, &self.vips), &self.network).await;
            self.take_back(attached);
            return Err(error.into());
        }
        self.indexes = indexes;
        self.plan = plan;
        self.wishes.retain(&self.plan);
        self.remember();
        let gone = only_in(&self.vips, &vips);
        self.vips = vips;
        // From here on it is done; what goes wrong now is for the next round to put right.
        outlive(self.settle(&links, attached));
        self.checks.ways().set_interfaces(self.own_interfaces());
        self.checks.set(checks);
        outlive(self.decide());
        // A node that has another address is another one.
        outlive(self.release_clients());
        addresses::release(&gone, &self.network).await;
        outlive(self.resolve_first(&links).await);
        outlive(self.end_flows());
        Ok(())
    }

    /// The links of the plan's interfaces, in its order. One that carries a program of somebody else is
    /// refused.
    async fn links(&self, plan: &Plan) -> Result<Vec<Link>> {
        let mut links = Vec::new();
        for planned in &plan.interfaces {
            let link = self.network.link(&planned.name).await?;
            let ours = self.interfaces.iter();
            if link.program.is_some()
                && !ours
                    .map(|held| held.link.index)
                    .any(|held| held == link.index)
            {
                return Err(datapath::Error::Busy(link.name).into());
            }
            links.push(link);
        }
        Ok(links)
    }

    /// Assigns VIPs that are new. One whose interface goes moves to another.
    async fn change_vips(&self, plan: &Plan, links: &[Link]) -> Result<Vec<AssignedVip>> {
        let stays = |vip: &&AssignedVip| links.iter().any(|link| link.index == vip.index);
        let moving: Vec<AssignedVip> = self
            .vips
            .iter()
            .filter(|vip| !stays(vip))
            .cloned()
            .collect();
        addresses::release(&moving, &self.network).await;
        let assigned = addresses::assign(plan, links, &self.network).await;
        if assigned.is_err() {
            for vip in moving.iter().filter(|vip| vip.managed) {
                outlive(self.network.add_address(vip.index, vip.address).await);
            }
        }
        assigned
    }

    /// Makes the maps hold `contents`; where that fails, what they held.
    pub(super) fn fill(&mut self, contents: &Contents) -> datapath::Result<()> {
        let changes = contents::difference(&self.contents, contents);
        for change in &changes {
            if let Err(error) = self.datapath.apply(change) {
                for back in contents::difference(contents, &self.contents) {
                    self.datapath.apply(&back)?;
                }
                return Err(error);
            }
        }
        self.contents = contents.clone();
        Ok(())
    }

    /// Attaches the program to the interfaces of the plan that do not carry it yet.
    pub(super) fn attach_new(
        &mut self,
        plan: &Plan,
        links: &[Link],
    ) -> Result<Vec<AttachedInterface>> {
        let mut attached = Vec::new();
        for (link, planned) in links.iter().zip(&plan.interfaces) {
            let mut held = self.interfaces.iter();
            if held.any(|held| held.link.index == link.index) {
                continue;
            }
            match self.attach(link, planned.zone) {
                Ok(interface) => attached.push(interface),
                Err(error) => {
                    self.take_back(attached);
                    return Err(error.into());
                }
            }
        }
        Ok(attached)
    }

    fn take_back(&mut self, attached: Vec<AttachedInterface>) {
        for interface in attached {
            outlive(self.detach(interface));
        }
    }

    fn detach(&mut self, interface: AttachedInterface) -> datapath::Result<()> {
        let AttachedInterface { link, attached, .. } = interface;
        self.datapath.detach(link.index, Some(attached))?;
        info!("interface {}: XDP detached", link.name);
        Ok(())
    }

    /// Makes the interfaces those of the plan that is in force now, in its order.
    pub(super) fn settle(
        &mut self,
        links: &[Link],
        new: Vec<AttachedInterface>,
    ) -> datapath::Result<()> {
        let mut held = std::mem::take(&mut self.interfaces);
        let mut changed = !new.is_empty();
        held.extend(new);
        for (link, planned) in links.iter().zip(&self.plan.interfaces) {
            let Some(at) = held.iter().position(|held| held.link.index == link.index) else {
                continue;
            };
            let interface = held.swap_remove(at);
            self.interfaces.push(AttachedInterface {
                link: link.clone(),
                zone: planned.zone,
                ..interface
            });
        }
        for interface in &self.interfaces {
            let cell = self.cell_of(&interface.link, interface.zone);
            self.datapath.set_interface(&interface.link.name, &cell)?;
        }
        changed |= !held.is_empty();
        for interface in held {
            self.detach(interface)?;
        }
        self.neighbours.set_links(links);
        if changed {
            // A flow may have gone by an interface that is no more ours.
            self.datapath.raise_route_generation()?;
        }
        Ok(())
    }
}

/// The VIPs of `some` that `others` does not have.
fn only_in(some: &[AssignedVip], others: &[AssignedVip]) -> Vec<AssignedVip> {
    let known = |vip: &AssignedVip| {
        let mut others = others.iter();
        others.any(|other| (other.address, other.index) == (vip.address, vip.index))
    };
    some.iter().filter(|vip| !known(vip)).cloned().collect()
}
