//! What is asked of the load balancer of an Edge pool: the rows of four port tables, and rules.

use lb_daemon::port_table;

/// The rules: id, and what the pool relies on.
#[rustfmt::skip] // a table is read line by line
pub const RULES: [(&str, &str); 16] = [
    ("H1", "Access and Web Conferencing: source NAT at the load balancer"),
    ("H2", "A/V: no source NAT at the load balancer"),
    ("H3", "who asks a VIP is answered from that VIP"),
    ("H4", "who asks a node's address is answered from that address"),
    ("H5", "public addresses: one per node and service, and the VIP"),
    ("H6", "NAT: the node sees the VIP as its client, and answers to it"),
    ("H7", "A/V: the client's source address stays, on both sides"),
    ("H8", "what a node sends of its own for A/V has its real public address"),
    ("H9", "established A/V traffic goes to the node, not to the VIP"),
    ("H10", "the nodes reach internal networks through static routes"),
    ("H11", "the Access VIP is the nodes' default gateway"),
    ("H12", "small packets are not held back and merged"),
    ("H13", "nothing passes between the internal and the external side"),
    ("H14", "no DSR: replies pass the load balancer"),
    ("H15", "load balancing on both sides or on neither"),
    ("H16", "the internal VIP balances 5061, 5062, 3478 and 443 alone"),
];

/// Every row and every rule: id, and what it is about.
pub fn all() -> Vec<(&'static str, String)> {
    let rows = port_table::ROWS.iter().map(|row| {
        let ports = port_table::ports_text(Some(&row.ports));
        let about = format!(
            "{ports}/{} {} to {}, {}: {}",
            row.protocol.name(),
            row.source,
            row.destination,
            row.path.name(),
            row.role
        );
        (row.id, about)
    });
    let rules = RULES.into_iter().map(|(id, about)| (id, about.to_owned()));
    rows.chain(rules).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::lab::checks;

    /// The rows as they were published, whatever the product makes of them.
    const PUBLISHED: &str = include_str!("../../../lb-daemon/tests/data/ports.tsv");

    #[test]
    fn every_row_and_every_rule_has_a_check() {
        let checks = checks::all();
        let checked: BTreeSet<&str> = checks.iter().map(|check| check.id).collect();
        let published: Vec<&str> = PUBLISHED
            .lines()
            .skip(1)
            .filter_map(|line| line.split('\t').next())
            .collect();
        assert_eq!(published.len(), 33);
        let known: Vec<&str> = all().iter().map(|(id, _)| *id).collect();
        assert_eq!(known.len(), 33 + 16);
        let rules = RULES.iter().map(|(id, _)| *id);
        for id in published.into_iter().chain(rules) {
            assert!(known.contains(&id), "{id} is not known");
            assert!(checked.contains(id), "{id} has no check");
        }
    }

    #[test]
    fn every_check_has_a_name_of_its_own_that_begins_with_its_id() {
        let checks = checks::all();
        let names: BTreeSet<&str> = checks.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), checks.len());
        for check in checks {
            let prefix = format!("{}_", check.id.to_lowercase());
            assert!(check.name.starts_with(&prefix), "{check:?}");
        }
    }
}
