//! The port tables as rules of nftables.

use std::{collections::BTreeSet, net::Ipv4Addr};

use lb_common::net::Zone;

use super::{Line, ports_text};

/// A ruleset for `nft -f`: a chain for the external and one for the internal firewall.
///
/// They are no base chains, so nothing changes until a forward chain of the same table jumps there.
/// Loading them again replaces them.
pub fn ruleset(pool: &str, lines: &[Line]) -> String {
    let mut text = format!(
        "# The Edge pool {pool}, by `edgelb ports --format nft`. From the forward chain of a firewall:\n"
    );
    let zones: Vec<(Zone, Vec<&Line>)> = [Zone::External, Zone::Internal]
        .into_iter()
        .map(|zone| {
            let of_zone = lines.iter().filter(|line| line.row.table.zone() == zone);
            (zone, of_zone.collect())
        })
        .filter(|(_, lines): &(_, Vec<_>)| !lines.is_empty())
        .collect();
    for (zone, _) in &zones {
        let zone = zone.name();
        text += &format!("#   the {zone} one:  jump edge_{zone}\n");
    }
    for (zone, lines) in zones {
        text += &chain(zone.name(), &lines);
    }
    text
}

fn chain(zone: &str, lines: &[&Line]) -> String {
    // The first of these makes the chain where there is none, so that it can be flushed.
    let mut text = format!(
        "\ntable inet filter {{\n    chain edge_{zone} {{\n    }}\n}}\nflush chain inet filter edge_{zone}\ntable inet filter {{\n    chain edge_{zone} {{\n"
    );
    let own = set(lines
        .iter()
        .flat_map(|line| [line.source, line.destination])
        .flatten());
    for side in ["saddr", "daddr"] {
        text += &format!("        ip {side} {own} ct state established,related accept\n");
    }
    for alike in lines.chunk_by(|a, b| differ_in_addresses_alone(a, b)) {
        let Some(first) = alike.first() else {
            continue;
        };
        text += "        ";
        for (side, addresses) in [
            ("saddr", set(alike.iter().filter_map(|line| line.source))),
            (
                "daddr",
                set(alike.iter().filter_map(|line| line.destination)),
            ),
        ] {
            if addresses != EMPTY {
                text += &format!("ip {side} {addresses} ");
            }
        }
        for (side, ports) in [
            ("sport", &first.source_ports),
            ("dport", &first.destination_ports),
        ] {
            if ports.is_some() {
                text += &format!(
                    "{} {side} {} ",
                    first.protocol.name(),
                    ports_text(ports.as_ref())
                );
            }
        }
        text += &format!("accept comment \"{}: {}\"\n", first.row.id, first.row.role);
    }
    text + "    }\n}\n"
}

/// True for the lines of a row, and for one rule of the configuration on several nodes.
fn differ_in_addresses_alone(a: &Line, b: &Line) -> bool {
    a.row == b.row
        && a.protocol == b.protocol
        && a.source_ports == b.source_ports
        && a.destination_ports == b.destination_ports
}

const EMPTY: &str = "{  }";

fn set(addresses: impl Iterator<Item = Ipv4Addr>) -> String {
    let unique: BTreeSet<Ipv4Addr> = addresses.collect();
    let texts: Vec<String> = unique.iter().map(ToString::to_string).collect();
    format!("{{ {} }}", texts.join(", "))
}
