//! Everything off the machine again: programs, addresses, neighbours, pins.

use std::path::Path;

use anyhow::Result;

use crate::{addresses, datapath::Pins, network::Network};

/// Takes off what the pins below `pin_dir` tell of. Returns what was taken away, a line each.
///
/// # Errors
///
/// That an edgelb is running with these pins, or that the kernel refuses something.
pub async fn detach(pin_dir: &Path) -> Result<Vec<String>> {
    let Some(pins) = Pins::open_any(pin_dir)? else {
        return Ok(Vec::new());
    };
    let mut told = Vec::new();
    let links = pins.links()?;
    // First the program: no packet may find half of what it needs.
    for index in &links {
        pins.detach(*index)?;
        told.push(format!("interface {index}: XDP program detached"));
    }
    let (network, _) = Network::connect()?;
    let vips = addresses::left_over(&links, &[], &network).await?;
    addresses::release(&vips, &network).await;
    told.extend(
        vips.iter()
            .map(|vip| format!("VIP {} taken from {}", vip.address, vip.interface)),
    );
    for report in network.neighbours().await? {
        if report.managed && links.contains(&report.neighbour.interface) {
            network.forget(report.neighbour).await?;
        }
    }
    pins.remove()?;
    told.push(format!("{}: pins removed", pin_dir.display()));
    Ok(told)
}
