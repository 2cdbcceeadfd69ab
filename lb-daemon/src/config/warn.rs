//! What is possible in a configuration, but most likely not what is wanted.

use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

use lb_common::net::Zone;

use super::{Warning, document::Place, parse::Located};

/// Nodes of an Edge pool, by its vendor's word.
const MAX_POOL_NODES: usize = 12;
/// Time between two SIP keep-alives.
const SIP_KEEP_ALIVE: Duration = Duration::from_mins(30);

/// Everything doubtful.
pub fn warnings(located: &Located) -> Vec<Warning> {
    let mut warnings = Vec::new();
    subnets(located, &mut warnings);
    internal_networks(located, &mut warnings);
    keep_alive(located, &mut warnings);
    nodes(located, &mut warnings);
    warnings
}

/// The addresses of VIPs and of nodes on one side, those of `[[services]]` too.
fn addresses(located: &Located, side: Zone) -> Vec<(Ipv4Addr, &Place)> {
    let nodes = located.nodes.iter().flat_map(|(_, addresses)| addresses);
    let mut all: Vec<(Ipv4Addr, &Place)> = located
        .vips
        .iter()
        .chain(nodes)
        .filter(|(role, ..)| role.zone() == side)
        .map(|(_, address, place)| (*address, place))
        .collect();
    for (service, places) in located.config.services.iter().zip(&located.services) {
        if service.zone == side {
            all.push((*service.listen.ip(), &places.listen));
            let nodes = service.nodes.iter().zip(&places.nodes);
            all.extend(nodes.map(|(node, place)| (*node.address.ip(), place)));
        }
    }
    all
}

/// The prefixes of the interfaces are not known here: addresses of both sides in one /24 are suspect.
fn subnets(located: &Located, warnings: &mut Vec<Warning>) {
    let subnet = |address: Ipv4Addr| {
        let [a, b, c, _] = address.octets();
        [a, b, c]
    };
    let external = addresses(located, Zone::External);
    let mut told = BTreeSet::new();
    for (address, place) in addresses(located, Zone::Internal) {
        let other = external
            .iter()
            .find(|(other, _)| subnet(*other) == subnet(address));
        if let Some((other, first)) = other
            && told.insert(subnet(address))
        {
            warnings.push(place.warning(format!(
                "{address} and {other} ({}) look like one subnet; the internal and the external side are different networks (H13)",
                first.key
            )));
        }
    }
}

/// The nodes' routes to the internal networks (H10) take their traffic away from the external side.
fn internal_networks(located: &Located, warnings: &mut Vec<Warning>) {
    // Without an internal VIP there are no routes through it.
    if located.config.vips.internal.is_none() {
        return;
    }
    let external = addresses(located, Zone::External);
    for network in &located.config.pool.internal_networks {
        let Some((address, place)) = external
            .iter()
            .find(|(address, _)| network.contains(address))
        else {
            continue;
        };
        let written = located
            .internal_networks
            .iter()
            .find(|(written, _)| written == network);
        warnings.push(match written {
            Some((_, at)) => at.warning(format!(
                "{network} contains {address} ({}); the internal and the external side are different networks (H10, H13)",
                place.key
            )),
            None => place.warning(format!(
                "{address} is within the internal network {network}, a default of pool.internal_networks; the internal and the external side are different networks (H10, H13)"
            )),
        });
    }
}

fn keep_alive(located: &Located, warnings: &mut Vec<Warning>) {
    let timeout = located.config.timeouts.tcp_established;
    // What needs no keep-alive of SIP has its own reasons for its timeouts.
    if let Some(place) = &located.tcp_established
        && timeout < SIP_KEEP_ALIVE
        && !located.vips.is_empty()
    {
        warnings.push(place.warning(format!(
            "{} is shorter than the 30 minutes between two SIP keep-alives, so quiet connections that are still in use are cut; 30m or more is right",
            humantime::format_duration(timeout)
        )));
    }
}

fn nodes(located: &Located, warnings: &mut Vec<Warning>) {
    if let Some((place, _)) = located.nodes.get(MAX_POOL_NODES) {
        warnings.push(place.warning(format!(
            "{} nodes; an Edge pool has up to {MAX_POOL_NODES}",
            located.nodes.len()
        )));
    }
}
