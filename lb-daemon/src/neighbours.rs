//! Next hops: keeps the kernel resolving them and the adjacency array up to date.
//!
//! The data path gives a neighbour its cell and fills it from the routing table; from then on the cell
//! is followed here.

use std::collections::{HashMap, HashSet};

use anyhow::Result;
use lb_common::next_hop::{Neighbour, NextHop};
use tracing::{info, warn};

use crate::{
    datapath::{self, Datapath},
    network::{Link, NeighbourReport, Network},
};

/// The neighbours that flows go through.
pub struct Neighbours {
    network: Network,
    links: HashMap<u32, Link>,
    /// All that were asked for.
    kept: HashSet<Neighbour>,
}

impl Neighbours {
    /// Follows neighbours on these interfaces.
    pub fn new(network: Network, links: &[Link]) -> Self {
        let mut neighbours = Self {
            network,
            links: HashMap::new(),
            kept: HashSet::new(),
        };
        neighbours.set_links(links);
        neighbours
    }

    /// From here on follows neighbours on these interfaces.
    pub fn set_links(&mut self, links: &[Link]) {
        let by_index = links.iter().map(|link| (link.index, link.clone()));
        self.links = by_index.collect();
        let links = &self.links;
        self.kept
            .retain(|neighbour| links.contains_key(&neighbour.interface));
    }

    /// Has the kernel resolve a neighbour from here on, once. An entry that an administrator has fixed
    /// is left alone.
    pub async fn keep(&mut self, neighbour: Neighbour) {
        if !self.links.contains_key(&neighbour.interface) || !self.kept.insert(neighbour) {
            return;
        }
        let fixed = match self.network.neighbours().await {
            Ok(known) => known
                .iter()
                .any(|report| report.neighbour == neighbour && report.permanent),
            Err(_) => false,
        };
        if fixed {
            return;
        }
        if let Err(error) = self.network.keep_resolved(neighbour).await {
            // Asked for again with the next packet that goes there.
            self.kept.remove(&neighbour);
            warn!("{error:#}");
        }
    }

    /// Writes into the neighbour's cell, if it has one, what the kernel reports of it.
    pub fn follow(
        &mut self,
        datapath: &mut Datapath,
        report: &NeighbourReport,
    ) -> datapath::Result<()> {
        let neighbour = report.neighbour;
        let Some(link) = self.links.get(&neighbour.interface) else {
            return Ok(());
        };
        let Some(cell) = datapath.neighbour_cell(&neighbour)? else {
            return Ok(());
        };
        let held = datapath.next_hop(cell)?;
        let next_hop = match report.mac {
            // The next packet looks it up, and with it the MTU of the route, which is not known here.
            Some(_) if held.interface == 0 => return Ok(()),
            Some(mac) => NextHop {
                destination_mac: mac,
                source_mac: link.mac,
                ..held
            },
            None => NextHop {
                interface: 0,
                ..held
            },
        };
        if next_hop == held {
            return Ok(());
        }
        datapath.set_next_hop(cell, &next_hop)?;
        match report.mac {
            Some(mac) if held.destination_mac != mac => {
                info!(
                    "next hop {:?} on {} is at {mac:?}",
                    neighbour.address, link.name
                );
            }
            Some(_) => {}
            None => warn!(
                "next hop {:?} on {} does not answer ARP; packets to it are dropped until it does",
                neighbour.address, link.name
            ),
        }
        Ok(())
    }

    /// Looks at one neighbour anew: a report may have come before its cell was there.
    pub async fn catch_up(&mut self, datapath: &mut Datapath, neighbour: Neighbour) -> Result<()> {
        for report in self.network.neighbours().await? {
            if report.neighbour == neighbour && report.mac.is_some() {
                self.follow(datapath, &report)?;
            }
        }
        Ok(())
    }
}
