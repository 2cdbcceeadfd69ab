//! What follows from a configuration: the services of an Edge pool, row by row.

use lb_daemon::{config::Config, plan::Plan};

const EXAMPLE: &str = include_str!("../../config/edgelb.toml");

fn plan(text: &str) -> Plan {
    Plan::of(&Config::parse(text).expect("the test's configuration is right"))
}

/// A service on one line, as an engineer would note it down.
fn lines(plan: &Plan) -> Vec<String> {
    let line = |service: &lb_daemon::plan::PlannedService| {
        let nodes: Vec<String> = service
            .nodes
            .iter()
            .map(|node| format!("{} {} {}", node.name, node.address, node.weight))
            .collect();
        format!(
            "{} {} {} {} {}/{} -> {}",
            service.row.unwrap_or("-"),
            service.name,
            service.zone.name(),
            service.treatment.name(),
            service.listen,
            service.protocol.name(),
            nodes.join(", ")
        )
    };
    plan.services.iter().map(line).collect()
}

#[test]
fn every_row_that_a_client_asks_for_is_served() {
    let wanted = [
        "EV3 access-443 external snat 203.0.113.10:443/tcp -> edge1 203.0.113.11:443 100, edge2 203.0.113.12:443 100",
        "EV4 access-5061 external snat 203.0.113.10:5061/tcp -> edge1 203.0.113.11:5061 100, edge2 203.0.113.12:5061 100",
        "EV1 access-5269 external snat 203.0.113.10:5269/tcp -> edge1 203.0.113.11:5269 100, edge2 203.0.113.12:5269 100",
        "EV6 webconf-443 external snat 203.0.113.20:443/tcp -> edge1 203.0.113.21:443 100, edge2 203.0.113.22:443 100",
        "EV7 av-3478 external dnat 203.0.113.30:3478/udp -> edge1 203.0.113.31:3478 100, edge2 203.0.113.32:3478 100",
        "EV8 av-443 external dnat 203.0.113.30:443/tcp -> edge1 203.0.113.31:443 100, edge2 203.0.113.32:443 100",
        "IV1 internal-5061 internal snat 10.20.0.10:5061/tcp -> edge1 10.20.0.11:5061 100, edge2 10.20.0.12:5061 100",
        "IV3 internal-5062 internal snat 10.20.0.10:5062/tcp -> edge1 10.20.0.11:5062 100, edge2 10.20.0.12:5062 100",
        "IV4 internal-3478 internal dnat 10.20.0.10:3478/udp -> edge1 10.20.0.11:3478 100, edge2 10.20.0.12:3478 100",
        "IV5 internal-443 internal dnat 10.20.0.10:443/tcp -> edge1 10.20.0.11:443 100, edge2 10.20.0.12:443 100",
        "- sip-tls external snat 203.0.113.40:5061/tcp -> a 203.0.113.41:5061 100, b 203.0.113.42:5061 100",
    ];
    let found = lines(&plan(EXAMPLE));
    assert_eq!(found.len(), wanted.len(), "{found:#?}");
    for (found, wanted) in found.iter().zip(wanted) {
        assert_eq!(found, wanted);
    }
}

#[test]
fn a_pool_without_xmpp_has_no_service_for_it() {
    let plan = plan(&EXAMPLE.replace("xmpp = true", "xmpp = false"));
    assert_eq!(plan.services.len(), 10);
    assert!(
        plan.services
            .iter()
            .all(|service| service.listen.port() != 5269)
    );
}

#[test]
fn every_vip_is_named_once() {
    let more = r#"
        [[services]]
        name = "on-a-vip-of-the-pool"
        listen = "203.0.113.10:8443/tcp"
        treatment = "snat"
        nodes = [{ name = "a", address = "203.0.113.41:8443" }]
    "#;
    let plan = plan(&format!("{EXAMPLE}{more}"));
    let vips: Vec<String> = plan
        .vips
        .iter()
        .map(|vip| format!("{} {} {}", vip.name, vip.address, vip.zone.name()))
        .collect();
    assert_eq!(
        vips,
        [
            "access 203.0.113.10 external",
            "webconf 203.0.113.20 external",
            "av 203.0.113.30 external",
            "internal 10.20.0.10 internal",
            "sip-tls 203.0.113.40 external",
        ]
    );
}

#[test]
fn a_load_balancer_without_an_edge_pool_has_only_what_is_written_out() {
    let plan = plan(
        r#"
        [pool]
        name = "web"
        [interfaces]
        external = ["eth0", "eth1"]
        manage_addresses = false
        [[services]]
        name = "https"
        listen = "192.0.2.1:443/tcp"
        treatment = "dnat"
        nodes = [{ name = "a", address = "192.0.2.11:8443", weight = 1 }]
        [timeouts]
        udp = 90
        [limits]
        snat_ports = "2000-2999"
        "#,
    );
    assert_eq!(
        lines(&plan),
        ["- https external dnat 192.0.2.1:443/tcp -> a 192.0.2.11:8443 1"]
    );
    assert_eq!(plan.interfaces.len(), 2);
    assert!(!plan.manage_addresses);
    assert_eq!(plan.timeouts.udp.as_secs(), 90);
    assert_eq!(plan.timeouts.tcp_established.as_secs(), 3600);
    assert_eq!(plan.limits.snat_ports, 2000..=2999);
}
