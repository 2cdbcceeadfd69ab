//! Who is asked what, as it follows from a configuration.

use std::time::Duration;

use lb_daemon::{
    config::Config,
    health::target::{gate_of, on_all_down, targets},
    node_state::OnAllDown,
    plan::Plan,
};

const EXAMPLE: &str = include_str!("../../config/edgelb.toml");

fn plan(health: &str) -> Plan {
    let (pool, _) = EXAMPLE.split_once("[health]").expect("the example has it");
    Plan::of(&Config::parse(&format!("{pool}{health}")).expect("the test's configuration is right"))
}

/// Each target on a line.
fn lines(health: &str) -> Vec<String> {
    targets(&plan(health))
        .iter()
        .map(|target| {
            format!(
                "{} {} {}/{} {} of {} {}",
                target.key.service,
                target.key.node,
                target.address,
                target.protocol.name(),
                target.check.name(),
                target.vip,
                target.zone.name()
            )
        })
        .collect()
}

#[test]
fn every_service_of_an_edge_pool_has_its_default() {
    let found = lines("");
    for (line, node) in [
        "access-443 edge1 203.0.113.11:443/tcp tls of 203.0.113.10 external",
        "access-5061 edge1 203.0.113.11:5061/tcp tls of 203.0.113.10 external",
        "access-5269 edge1 203.0.113.11:5269/tcp tcp of 203.0.113.10 external",
        "webconf-443 edge1 203.0.113.21:443/tcp tls of 203.0.113.20 external",
        "av-3478 edge1 203.0.113.31:3478/udp ms-turn of 203.0.113.30 external",
        "av-443 edge1 203.0.113.31:443/tcp ms-turn of 203.0.113.30 external",
        "internal-5061 edge1 10.20.0.11:5061/tcp tls of 10.20.0.10 internal",
        "internal-5062 edge1 10.20.0.11:5062/tcp tls of 10.20.0.10 internal",
        "internal-3478 edge1 10.20.0.11:3478/udp ms-turn of 10.20.0.10 internal",
        "internal-443 edge1 10.20.0.11:443/tcp ms-turn of 10.20.0.10 internal",
        "sip-tls a 203.0.113.41:5061/tcp tcp of 203.0.113.40 external",
    ]
    .into_iter()
    .zip(found.iter().step_by(2))
    {
        assert_eq!(node, line);
    }
    assert_eq!(found.len(), 22, "two nodes each: {found:#?}");
}

#[test]
fn who_is_not_to_be_asked_is_not() {
    assert_eq!(lines("[health]\nenabled = false\n"), [""; 0]);
    let without = lines("[[health.services]]\nname = \"access-443\"\ncheck = \"none\"\n");
    assert_eq!(without.len(), 20);
    assert!(!without.iter().any(|line| line.starts_with("access-443")));
    // Nothing says how a UDP service of one's own could be asked.
    let (udp, _) = EXAMPLE.split_once("[health]").expect("the example has it");
    let udp = udp.replace("203.0.113.40:5061/tcp", "203.0.113.40:5061/udp");
    let plan = Plan::of(&Config::parse(&udp).expect("it is right"));
    assert_eq!(targets(&plan).len(), 20);
}

#[test]
fn what_is_said_of_a_service_holds_for_its_nodes() {
    let health = "[health]\ninterval = \"500ms\"\nfall = 2\non_all_down = \"last\"\n\
        [[health.services]]\nname = \"sip-tls\"\ncheck = \"sip\"\nrise = 5\non_all_down = \"refuse\"\n";
    let plan = plan(health);
    let targets = targets(&plan);
    let of = |service: &str| {
        targets
            .iter()
            .find(|target| target.key.service == service)
            .expect("it is asked")
    };
    let (own, general) = (of("sip-tls"), of("access-443"));
    assert_eq!((own.check.name(), general.check.name()), ("sip", "tls"));
    assert_eq!(own.timeout, Duration::from_millis(250));
    assert_eq!((own.thresholds.rise, own.thresholds.fall), (5, 2));
    assert_eq!((general.thresholds.rise, general.thresholds.fall), (2, 2));
    let of = |service: &str| {
        let found = plan.services.iter().find(|planned| planned.name == service);
        on_all_down(&plan, found.expect("it is planned"))
    };
    assert_eq!(of("sip-tls"), OnAllDown::Refuse);
    assert_eq!(of("access-443"), OnAllDown::Last);
}

#[test]
fn a_gate_is_found_by_name_and_by_port() {
    for (service, gate, found) in [
        ("webconf-443", "5061", "access-5061"),
        ("webconf-443", "access-5061", "access-5061"),
        ("internal-443", "5061", "internal-5061"),
        // That of the same VIP.
        ("av-3478", "443", "av-443"),
        ("access-5061", "443", "access-443"),
    ] {
        let plan = plan(&format!(
            "[[health.services]]\nname = \"{service}\"\ngate = \"{gate}\"\n"
        ));
        let gates: Vec<_> = plan
            .services
            .iter()
            .filter_map(|of| Some((&*of.name, &*plan.services[gate_of(&plan, of)?].name)))
            .collect();
        assert_eq!(gates, [(service, found)]);
    }
}
