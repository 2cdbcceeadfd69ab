//! The port tables: the rows are those of the requirements, and what is shown is what the plan has.

use std::collections::BTreeSet;

use lb_common::net::Protocol;

use lb_daemon::{
    config::Config,
    plan::Plan,
    port_table::{
        End, Line, ROWS,
        nft::ruleset,
        ports_text,
        routes::{Route, routes},
    },
};

const EXAMPLE: &str = include_str!("../../config/edgelb.toml");
/// The table of the requirements.
const WANTED: &str = include_str!("data/ports.tsv");

fn config(text: &str) -> Config {
    Config::parse(text).expect("the test's configuration is right")
}

fn plan(text: &str) -> Plan {
    Plan::of(&config(text))
}

fn lines(text: &str) -> Vec<Line> {
    lb_daemon::port_table::lines(&plan(text))
}

fn ids(lines: &[Line]) -> BTreeSet<&str> {
    lines.iter().map(|line| line.row.id).collect()
}

#[test]
fn the_rows_are_those_of_the_requirements() {
    let mut wanted = WANTED.lines();
    assert_eq!(
        wanted.next(),
        Some("id\ttable\trole\tl4\tport\tsource\tdestination\tpath\tpurpose")
    );
    let rows: Vec<String> = ROWS
        .iter()
        .map(|row| {
            [
                row.id,
                row.table.name(),
                row.role,
                row.protocol.name(),
                &ports_text(Some(&row.ports)),
                &row.source.to_string(),
                &row.destination.to_string(),
                row.path.name(),
                row.purpose,
            ]
            .join("\t")
        })
        .collect();
    assert_eq!(rows, wanted.collect::<Vec<_>>());
}

/// Every row that the plan fills the maps for.
fn planned(plan: &Plan) -> BTreeSet<&str> {
    let services = plan.services.iter().filter_map(|service| service.row);
    let outbound = plan.outbound.iter().map(|outbound| outbound.row);
    let rules = plan.node_addresses.iter().flat_map(|node| &node.rules);
    services
        .chain(outbound)
        .chain(rules.map(|rule| rule.row.unwrap_or("policy")))
        .collect()
}

#[test]
fn what_is_planned_has_a_line_and_the_reverse() {
    let one_side = EXAMPLE.replace("one_side = false", "one_side = true");
    let external: Vec<&str> = one_side
        .lines()
        .filter(|line| !line.starts_with("internal = \"") && !line.starts_with("internal   "))
        .collect();
    for (text, rows) in [
        (EXAMPLE.to_owned(), 34),
        (EXAMPLE.replace("xmpp = true", "xmpp = false"), 31),
        (external.join("\n"), 20),
    ] {
        let plan = plan(&text);
        let lines = lb_daemon::port_table::lines(&plan);
        assert_eq!(ids(&lines), planned(&plan));
        assert_eq!(ids(&lines).len(), rows);
        // One line for each thing planned: none is lost, none is made up.
        let rules: usize = plan
            .node_addresses
            .iter()
            .map(|node| node.rules.len())
            .sum();
        let services = plan.services.iter().filter(|service| service.row.is_some());
        assert_eq!(lines.len(), services.count() + plan.outbound.len() + rules);
    }
    let without = lines(&EXAMPLE.replace("xmpp = true", "xmpp = false"));
    let gone: Vec<&str> = ROWS
        .iter()
        .map(|row| row.id)
        .filter(|id| !ids(&without).contains(id))
        .collect();
    assert_eq!(gone, ["IN1", "EV1", "EV2"]);
}

/// The plan and the rows say the same twice; here the two meet.
#[test]
fn every_line_is_what_its_row_says() {
    let config = config(EXAMPLE);
    for line in lines(EXAMPLE) {
        let row = line.row;
        let address = |end| match end {
            End::Any => None,
            End::Vip(role) => config.vips.get(role),
            End::Node(role) => config
                .nodes
                .iter()
                .find(|node| Some(&node.name) == line.node.as_ref())
                .and_then(|node| node.addresses.get(role)),
        };
        assert_eq!(line.source, address(row.source), "{line:?}");
        assert_eq!(line.destination, address(row.destination), "{line:?}");
        if row.id == "policy" {
            // Protocol and ports are those of the example's one rule.
            assert_eq!(line.protocol, Protocol::Udp);
            assert_eq!(line.destination_ports, Some(123..=123));
            continue;
        }
        assert_eq!(line.protocol, row.protocol, "{line:?}");
        // Media leaves from the ports of the row; everything else goes to them.
        let (ports, other) = match row.id {
            "EN4" | "EN5" => (&line.source_ports, &line.destination_ports),
            _ => (&line.destination_ports, &line.source_ports),
        };
        assert_eq!(ports.as_ref(), Some(&row.ports), "{line:?}");
        assert_eq!(*other, None, "{line:?}");
        let vip = match (row.source, row.destination) {
            (End::Vip(role), _) | (_, End::Vip(role)) => config.vips.get(role),
            _ => None,
        };
        let vip = vip.map_or_else(String::new, |vip| vip.to_string());
        let nat = match row.path.name() {
            "balanced" => format!("destination becomes a node, source becomes {vip}"),
            "balanced-no-snat" => "destination becomes a node, source is kept".to_owned(),
            "vip-out" => format!("source of a node becomes {vip}"),
            _ => "none".to_owned(),
        };
        assert_eq!(line.nat.to_string(), nat, "{line:?}");
    }
}

#[test]
fn every_node_has_a_line_of_its_own() {
    let lines = lines(EXAMPLE);
    for row in ROWS.iter().filter(|row| row.table.name().contains("node")) {
        let nodes: Vec<&str> = lines
            .iter()
            .filter(|line| line.row.id == row.id)
            .filter_map(|line| line.node.as_deref())
            .collect();
        assert_eq!(nodes, ["edge1", "edge2"], "{}", row.id);
    }
}

#[test]
fn routes_are_through_the_vips() {
    let text = EXAMPLE.replace(
        "internal_networks = [\"10.0.0.0/8\", \"172.16.0.0/12\", \"192.168.0.0/16\"]",
        "internal_networks = [\"10.16.0.0/12\"]",
    );
    let routes = routes(&config(&text));
    let commands = |command: fn(&Route) -> String| -> Vec<String> {
        routes
            .iter()
            .map(|route| format!("{}: {}", route.node, command(route)))
            .collect()
    };
    assert_eq!(
        commands(Route::route_add),
        [
            "edge1: route -p add 0.0.0.0 mask 0.0.0.0 203.0.113.10",
            "edge1: route -p add 10.16.0.0 mask 255.240.0.0 10.20.0.10",
            "edge2: route -p add 0.0.0.0 mask 0.0.0.0 203.0.113.10",
            "edge2: route -p add 10.16.0.0 mask 255.240.0.0 10.20.0.10",
        ]
    );
    assert_eq!(
        commands(Route::new_net_route).get(..2),
        Some(
            &[
                "edge1: New-NetRoute -DestinationPrefix 0.0.0.0/0 -InterfaceIndex (Get-NetIPAddress -IPAddress 203.0.113.11).InterfaceIndex -NextHop 203.0.113.10".to_owned(),
                "edge1: New-NetRoute -DestinationPrefix 10.16.0.0/12 -InterfaceIndex (Get-NetIPAddress -IPAddress 10.20.0.11).InterfaceIndex -NextHop 10.20.0.10".to_owned(),
            ][..]
        )
    );
}

/// Every line is in the ruleset, by row, address and port, and there is no rule besides.
#[test]
fn the_ruleset_accepts_the_lines_and_nothing_else() {
    let lines = lines(EXAMPLE);
    let text = ruleset("edge", &lines);
    let (external, internal) = text
        .split_once("flush chain inet filter edge_internal")
        .expect("there are two chains");
    assert!(text.contains(
        "ip saddr { 203.0.113.11, 203.0.113.12 } udp dport 123 accept comment \"policy: any\""
    ));
    for (chain, external) in [(external, true), (internal, false)] {
        let rules: Vec<&str> = chain
            .lines()
            .filter(|line| line.contains("comment") && !line.contains("policy: "))
            .collect();
        let rows: Vec<_> = ROWS
            .iter()
            .filter(|row| row.id.starts_with('E') == external)
            .collect();
        assert_eq!(rules.len(), rows.len());
        for (rule, row) in rules.iter().zip(rows) {
            let set = |of: fn(&Line) -> Option<std::net::Ipv4Addr>| {
                let of_row = lines.iter().filter(|line| line.row.id == row.id);
                let texts: Vec<String> = of_row
                    .filter_map(of)
                    .map(|address| address.to_string())
                    .collect();
                texts.join(", ")
            };
            let own = match row.source {
                End::Any => format!("ip daddr {{ {} }}", set(|line| line.destination)),
                _ => format!("ip saddr {{ {} }}", set(|line| line.source)),
            };
            let ports = match row.id {
                "EN4" | "EN5" => "sport",
                _ => "dport",
            };
            let wanted = format!(
                "{own} {} {ports} {} accept comment \"{}: {}\"",
                row.protocol.name(),
                ports_text(Some(&row.ports)),
                row.id,
                row.role
            );
            assert_eq!(rule.trim(), wanted);
        }
    }
    // Answers of both sides in both chains, and the rule of the configuration.
    assert_eq!(text.matches("accept").count(), ROWS.len() + 4 + 1);
}

#[test]
fn a_pool_on_one_side_has_rules_for_that_side() {
    let external: Vec<Line> = lines(EXAMPLE)
        .into_iter()
        .filter(|line| line.row.id.starts_with('E'))
        .collect();
    let text = ruleset("edge", &external);
    assert!(text.contains("edge_external") && !text.contains("edge_internal"));
    assert!(!text.contains("10.20.0"));
}
