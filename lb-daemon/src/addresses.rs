//! The VIPs as addresses of this machine: the kernel answers ARP for them.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::{Context as _, Result, bail};
use lb_common::next_hop::Neighbour;
use tracing::{info, warn};

use crate::{
    network::{Link, Network},
    plan::Plan,
};

/// How long another owner of a VIP has to answer ARP before the VIP is taken.
const CLAIM_WAIT: Duration = Duration::from_millis(500);

/// A VIP on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignedVip {
    /// The address.
    pub address: Ipv4Addr,
    /// Name of the interface that holds it.
    pub interface: String,
    /// Index of that interface.
    pub index: u32,
    /// True where edgelb has put it there, and takes it away with its data path.
    pub managed: bool,
}

/// Assigns every VIP of `plan` to the first interface of its zone (`manage_addresses`), or finds where
/// an administrator has put it.
///
/// # Errors
///
/// A VIP that another machine answers ARP for, that another interface of this machine holds, or that
/// nobody holds although `manage_addresses` is false.
pub async fn assign(plan: &Plan, links: &[Link], network: &Network) -> Result<Vec<AssignedVip>> {
    let mut assigned = Vec::new();
    let mut claims = Vec::new();
    for vip in &plan.vips {
        let name = &plan
            .interfaces
            .iter()
            .find(|interface| interface.zone == vip.zone)
            .with_context(|| format!("VIP {}: no {} interface", vip.address, vip.zone.name()))?
            .name;
        let link = links
            .iter()
            .find(|link| link.name == *name)
            .with_context(|| format!("interface {name}: there is no such interface"))?;
        match (network.holder(vip.address).await?, plan.manage_addresses) {
            (Some(held), manages) => {
                let Some(holder) = links.iter().find(|link| link.index == held.index) else {
                    bail!(
                        "VIP {}: already in use on another interface of this machine; `ip address show to {}` names it",
                        vip.address,
                        vip.address
                    );
                };
                info!("VIP {} is on {} already", vip.address, holder.name);
                assigned.push(on(vip.address, holder, manages && held.ours));
            }
            (None, true) => claims.push((vip.address, link)),
            (None, false) => bail!(
                "VIP {}: no interface has it, and interfaces.manage_addresses is false; `ip address add {}/32 dev {name}` assigns it",
                vip.address,
                vip.address
            ),
        }
    }
    refuse_foreign(&claims, network).await?;
    let mut added = Vec::new();
    for (address, link) in claims {
        if let Err(error) = network.add_address(link.index, address).await {
            release(&added, network).await;
            return Err(error);
        }
        info!("VIP {address} assigned to {}", link.name);
        added.push(on(address, link, true));
    }
    assigned.extend(added);
    Ok(assigned)
}

fn on(address: Ipv4Addr, link: &Link, managed: bool) -> AssignedVip {
    AssignedVip {
        address,
        interface: link.name.clone(),
        index: link.index,
        managed,
    }
}

/// Refuses VIPs that another machine answers ARP for (RFC 5227, section 2.1): two owners of one
/// address take turns in losing connections. The kernel's own neighbour table does the asking.
async fn refuse_foreign(claims: &[(Ipv4Addr, &Link)], network: &Network) -> Result<()> {
    if claims.is_empty() {
        return Ok(());
    }
    let wanted: Vec<Neighbour> = claims
        .iter()
        .map(|(address, link)| Neighbour {
            interface: link.index,
            address: (*address).into(),
        })
        .collect();
    // One that answers already may be a next hop: its entry must stay as it is.
    refuse_known(&wanted, network).await?;
    for neighbour in &wanted {
        network.keep_resolved(*neighbour).await?;
    }
    tokio::time::sleep(CLAIM_WAIT).await;
    let refused = refuse_known(&wanted, network).await;
    for neighbour in &wanted {
        // The entry itself would keep the kernel from answering for the address as its own.
        if let Err(error) = network.forget(*neighbour).await {
            warn!("VIP {:?}: {error:#}", neighbour.address);
        }
    }
    refused
}

/// Refuses VIPs whose owner the kernel knows.
async fn refuse_known(wanted: &[Neighbour], network: &Network) -> Result<()> {
    for report in network.neighbours().await? {
        if wanted.contains(&report.neighbour)
            && let Some(mac) = report.mac
        {
            bail!(
                "VIP {:?}: already in use in the network, by {mac:?}; two machines with one address lose each other's connections",
                report.neighbour.address
            );
        }
    }
    Ok(())
}

/// The addresses that edgelb has put on these interfaces, but for those of `vips`.
pub async fn left_over(
    indexes: &[u32],
    vips: &[AssignedVip],
    network: &Network,
) -> Result<Vec<AssignedVip>> {
    let mut held = network.addresses().await?;
    held.retain(|held| {
        held.ours
            && indexes.contains(&held.index)
            && vips
                .iter()
                .all(|vip| (vip.address, vip.index) != (held.address, held.index))
    });
    let left = held.into_iter().map(|held| AssignedVip {
        address: held.address,
        interface: format!("interface {}", held.index),
        index: held.index,
        managed: true,
    });
    Ok(left.collect())
}

/// Takes the managed VIPs away.
pub async fn release(assigned: &[AssignedVip], network: &Network) {
    for vip in assigned.iter().filter(|vip| vip.managed) {
        match network.remove_address(vip.index, vip.address).await {
            Ok(()) => info!("VIP {} taken from {}", vip.address, vip.interface),
            Err(error) => warn!("VIP {}: {error:#}", vip.address),
        }
    }
}
