//! What a wrong file is told, word for word.

use super::*;

const EXAMPLE: &str = include_str!("../../../config/edgelb.toml");

/// A right file, which the cases below spoil in one place each.
const RIGHT: &str = r#"[pool]
name = "edge"
xmpp = true
[interfaces]
external = ["ext0"]
internal = ["int0"]
[vips]
access = "203.0.113.10"
internal = "10.20.0.10"
[[nodes]]
name = "edge1"
access = "203.0.113.11"
internal = "10.20.0.11"
[[nodes]]
name = "edge2"
access = "203.0.113.12"
internal = "10.20.0.12"
weight = 50
[[services]]
name = "sip-tls"
listen = "203.0.113.40:5061/tcp"
treatment = "snat"
nodes = [
  { name = "a", address = "203.0.113.41:5061" },
]
[timeouts]
udp = "2m"
[limits]
max_flows = 1000
"#;

/// Every problem of `text`, a line each, as the user sees it after the name of the file.
fn problems(text: &str) -> String {
    match Config::parse(text) {
        Ok(_) => "no problem".to_owned(),
        Err(problems) => {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            lines.join("\n")
        }
    }
}

/// Puts `new` in place of the only `old` in [`RIGHT`], and compares what is said with `expected`.
fn check(cases: &[(&str, &str, &str)]) {
    let mut wrong = Vec::new();
    for (old, new, expected) in cases {
        assert_eq!(
            RIGHT.matches(old).count(),
            1,
            "{old:?} must stand once in the right file"
        );
        let found = problems(&RIGHT.replace(old, new));
        if found != *expected {
            wrong.push(format!(
                "{old:?} -> {new:?}\n  said:   {found}\n  wanted: {expected}"
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_right_file_is_right() {
    assert_eq!(problems(RIGHT), "no problem");
}

#[test]
fn unknown_keys_are_told_the_nearest_one() {
    check(&[
        (
            "weight = 50",
            "wieght = 50",
            "18: nodes[1].wieght: unknown key \"wieght\"; did you mean \"weight\"?",
        ),
        (
            "xmpp = true",
            "xmp = true",
            "3: pool.xmp: unknown key \"xmp\"; did you mean \"xmpp\"?",
        ),
        (
            "[limits]",
            "[limit]",
            "28: limit: unknown key \"limit\"; did you mean \"limits\"?",
        ),
        (
            "udp =",
            "upd =",
            "27: timeouts.upd: unknown key \"upd\"; did you mean \"udp\"?",
        ),
        (
            "\"203.0.113.41:5061\" }",
            "\"203.0.113.41:5061\", adress = 1 }",
            "24: services[0].nodes[0].adress: unknown key \"adress\"; did you mean \"address\"?",
        ),
        (
            "xmpp = true",
            "colour = 1",
            "3: pool.colour: unknown key \"colour\"; known here are name, xmpp, one_side, internal_networks",
        ),
    ]);
}

#[test]
fn single_values() {
    const ADDRESS: &str =
        "an IPv4 address of a host, such as \"203.0.113.10\" (IPv6 is not served yet)";
    check(&[
        (
            "weight = 50",
            "weight = 0",
            "18: nodes[1].weight: 0 is not a weight; a whole number from 1 to 1000 is",
        ),
        (
            "weight = 50",
            "weight = 1001",
            "18: nodes[1].weight: 1001 is not a weight; a whole number from 1 to 1000 is",
        ),
        (
            "weight = 50",
            "weight = -1",
            "18: nodes[1].weight: -1 is not a weight; a whole number from 1 to 1000 is",
        ),
        (
            "weight = 50",
            "weight = \"50\"",
            "18: nodes[1].weight: \"50\" is not a weight; a whole number from 1 to 1000 is",
        ),
        (
            "weight = 50",
            "weight = 99999999999999999999",
            "18: nodes[1].weight: 99999999999999999999 is not a weight; a whole number from 1 to 1000 is",
        ),
        (
            "xmpp = true",
            "xmpp = \"yes\"",
            "3: pool.xmpp: \"yes\" is not true or false",
        ),
        (
            "name = \"edge\"",
            "name = \"\"",
            "2: pool.name: \"\" is not a name (letters, digits, \"-\", \"_\" and \".\", at most 64)",
        ),
        (
            "[\"ext0\"]",
            "\"ext0\"",
            "5: interfaces.external: \"ext0\" is not a list of interface names, such as [\"ext0\"]",
        ),
        (
            "[\"ext0\"]",
            "[]",
            "5: interfaces.external: an empty list; at least one external interface is needed",
        ),
        (
            "[\"ext0\"]",
            "[\"a-name-too-long-\"]",
            "5: interfaces.external[0]: \"a-name-too-long-\" is not the name of an interface (1 to 15 characters)",
        ),
        (
            "\"203.0.113.10\"",
            "\"203.0.113.256\"",
            &format!("8: vips.access: \"203.0.113.256\" is not {ADDRESS}"),
        ),
        (
            "\"203.0.113.10\"",
            "\"2001:db8::1\"",
            &format!("8: vips.access: \"2001:db8::1\" is not {ADDRESS}"),
        ),
        (
            "\"203.0.113.10\"",
            "\"224.0.0.1\"",
            &format!("8: vips.access: \"224.0.0.1\" is not {ADDRESS}"),
        ),
        (
            "\"203.0.113.10\"",
            "\"127.0.0.1\"",
            &format!("8: vips.access: \"127.0.0.1\" is not {ADDRESS}"),
        ),
        (
            "\"203.0.113.10\"",
            "\"0.0.0.0\"",
            &format!("8: vips.access: \"0.0.0.0\" is not {ADDRESS}"),
        ),
        (
            "\"203.0.113.10\"",
            "\"255.255.255.255\"",
            &format!("8: vips.access: \"255.255.255.255\" is not {ADDRESS}"),
        ),
    ]);
}

#[test]
fn single_values_of_services_and_limits() {
    check(&[
        (
            "\"snat\"",
            "\"nat\"",
            "22: services[0].treatment: \"nat\" is not a treatment; \"snat\" (the node sees the VIP) and \"dnat\" (the node sees the client) are",
        ),
        (
            "treatment = \"snat\"",
            "treatment = \"snat\"\nzone = \"dmz\"",
            "23: services[0].zone: \"dmz\" is not a zone; \"external\" and \"internal\" are",
        ),
        (
            ":5061/tcp",
            ":0/tcp",
            "21: services[0].listen: \"203.0.113.40:0/tcp\" is not address, port and protocol, such as \"203.0.113.40:5061/tcp\" or \"203.0.113.40:3478/udp\"",
        ),
        (
            ":5061/tcp",
            ":5061/sctp",
            "21: services[0].listen: \"203.0.113.40:5061/sctp\" is not address, port and protocol, such as \"203.0.113.40:5061/tcp\" or \"203.0.113.40:3478/udp\"",
        ),
        (
            "203.0.113.41:5061",
            "203.0.113.41",
            "24: services[0].nodes[0].address: \"203.0.113.41\" is not address and port of a host, such as \"203.0.113.41:5061\"",
        ),
        (
            "udp = \"2m\"",
            "udp = \"2 moons\"",
            "27: timeouts.udp: \"2 moons\" is not a time in whole seconds from 1s to 7d, such as \"30s\", \"2m\", \"60m\" or a whole number of seconds",
        ),
        (
            "udp = \"2m\"",
            "udp = 0",
            "27: timeouts.udp: 0 is not a time in whole seconds from 1s to 7d, such as \"30s\", \"2m\", \"60m\" or a whole number of seconds",
        ),
        (
            "max_flows = 1000",
            "max_flows = 1.5",
            "29: limits.max_flows: 1.5 is not a number of flows; a whole number from 16 to 16777216 is",
        ),
    ]);
}

#[test]
fn snat_ports_leave_room_for_the_health_checks() {
    for range in [
        "1024-64512",
        "0-100",
        "2000-1999",
        "5000",
        "1024-65536",
        "a-b",
        "-",
    ] {
        check(&[(
            "max_flows = 1000",
            &format!("snat_ports = \"{range}\""),
            &format!(
                "29: limits.snat_ports: \"{range}\" is not a range of ports within 1024-64511, such as \"1024-64511\" (64512 and up are for health checks)"
            ),
        )]);
    }
    check(&[(
        "max_flows = 1000",
        "snat_ports = \"64511-64511\"",
        "no problem",
    )]);
}

#[test]
fn values_that_do_not_fit_together() {
    check(&[
        (
            "[\"int0\"]",
            "[\"ext0\"]",
            "6: interfaces.internal[0]: \"ext0\" is interfaces.external[0] already; an interface is named once and is on one side (H13)",
        ),
        (
            "[\"int0\"]",
            "[]",
            "9: vips.internal: an internal VIP needs an internal interface; interfaces.internal lists them",
        ),
        (
            "name = \"edge2\"",
            "name = \"edge1\"",
            "14: nodes[1]: the name \"edge1\" is that of nodes[0] already; every node needs its own",
        ),
        (
            "\"203.0.113.12\"",
            "\"203.0.113.11\"",
            "16: nodes[1].access: 203.0.113.11 is nodes[0].access already; every address is used once (H5)",
        ),
        (
            "\"203.0.113.12\"",
            "\"203.0.113.10\"",
            "16: nodes[1].access: 203.0.113.10 is vips.access already; every address is used once (H5)",
        ),
        (
            "access = \"203.0.113.12\"\n",
            "",
            "14: nodes[1].access: missing; node \"edge2\" needs an address of its own for the access VIP 203.0.113.10 (H5)",
        ),
        (
            "weight = 50",
            "av = \"203.0.113.32\"",
            "18: nodes[1].av: 203.0.113.32 is for no VIP; vips.av is missing",
        ),
        (
            "203.0.113.40:5061/tcp",
            "203.0.113.12:5061/tcp",
            "21: services[0].listen: 203.0.113.12 is nodes[1].access; an address is either a VIP or a node's",
        ),
        (
            "203.0.113.40:5061/tcp",
            "203.0.113.10:443/tcp",
            "21: services[0].listen: 203.0.113.10:443/tcp is the service access-443 that follows from [vips] already",
        ),
    ]);
}

#[test]
fn source_nat_is_refused_for_av() {
    const H2: &str = "\"snat\" is not possible for A/V: STUN and TURN work only when the node sees the client's real address; \"dnat\" is right (H2, H7)";
    let internal = RIGHT
        .replace(
            "203.0.113.40:5061/tcp\"",
            "10.20.0.10:3478/tcp\"\nzone = \"internal\"",
        )
        .replace("203.0.113.41", "10.20.0.41");
    assert_eq!(
        problems(&internal),
        format!("23: services[0].treatment: {H2}")
    );
    let av = EXAMPLE.replace("203.0.113.40:5061/tcp", "203.0.113.30:5349/tcp");
    let line = 1 + av
        .lines()
        .position(|line| line.starts_with("treatment"))
        .unwrap_or(0);
    assert_eq!(
        problems(&av),
        format!("{line}: services[0].treatment: {H2}")
    );
}

#[test]
fn what_is_missing() {
    for (text, expected) in [
        (
            "",
            "1: pool: missing; a section [pool] is needed\n1: interfaces: missing; a section [interfaces] is needed",
        ),
        (
            "[pool]\nname = \"a\"\n[interfaces]\nexternal = [\"e\"]\n",
            "1: nothing to balance; [vips] with [[nodes]], or [[services]], says what",
        ),
        (
            "[pool]\nname = \"a\"\n[interfaces]\nexternal = [\"e\"]\n[vips]\nav = \"192.0.2.1\"\n",
            "5: vips: VIPs without a node; [[nodes]] lists the Edge Servers\n5: vips: only external VIPs; vips.internal is missing, and an Edge pool is balanced on both sides or on neither; pool.one_side = true says that one is wanted (H15)",
        ),
        (
            "[pool]\n[interfaces]\n",
            "1: pool.name: missing; a name is needed\n2: interfaces.external: missing; a list of interface names, such as [\"ext0\"] is needed",
        ),
    ] {
        assert_eq!(problems(text), expected, "{text:?}");
    }
}

#[test]
fn what_is_not_toml() {
    for (text, expected) in [
        (
            "[pool]\nname = \"edge\"\nname = \"b\"\n",
            "3: column 1: not TOML: duplicate key",
        ),
        (
            "[pool]\n\nname = \"edge\n",
            "3: column 13: not TOML: invalid basic string, expected `\"`",
        ),
    ] {
        assert_eq!(problems(text), expected, "{text:?}");
    }
}

#[test]
fn wrong_values_of_all_sections_are_told_at_once_in_the_order_of_the_lines() {
    let text = RIGHT
        .replace("weight = 50", "weight = 0")
        .replace("max_flows", "max_flow")
        .replace("\"203.0.113.10\"", "\"x\"");
    let problems = Config::parse(&text).expect_err("three values are wrong");
    let found: Vec<(usize, &str)> = problems
        .iter()
        .map(|problem| (problem.line, problem.key.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            (8, "vips.access"),
            (18, "nodes[1].weight"),
            (29, "limits.max_flow")
        ]
    );
}

#[test]
fn an_error_names_the_file() {
    let folder = std::env::temp_dir().join(format!("edgelb-config-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a temporary folder can be made");
    let file = folder.join("edgelb.toml");
    fs::write(&file, RIGHT.replace("weight = 50", "weight = 0")).expect("and written to");
    let invalid = Config::load(&file).map_err(|error| error.to_string());
    let missing = Config::load(&folder.join("none")).map_err(|error| error.to_string());
    fs::remove_dir_all(&folder).expect("and removed");
    let file = file.display();
    assert_eq!(
        invalid,
        Err(format!(
            "{file}:18: nodes[1].weight: 0 is not a weight; a whole number from 1 to 1000 is"
        ))
    );
    assert!(missing.is_err_and(|error| error.contains("none: cannot be read: ")));
}

#[test]
fn services_fit_with_the_pool_and_with_each_other() {
    let node = "  { name = \"a\", address = \"203.0.113.41:5061\" },\n";
    check(&[
        (
            "name = \"sip-tls\"",
            "name = \"access-443\"",
            "20: services[0].name: \"access-443\" is the name of a service that follows from [vips]; every service needs its own name",
        ),
        (
            "203.0.113.40:5061/tcp",
            "10.20.0.10:8058/tcp",
            "21: services[0].listen: 10.20.0.10 is internal (vips.internal) and the service is external; nothing passes between the two sides (H13)",
        ),
        (
            "203.0.113.41:5061",
            "10.20.0.11:5061",
            "24: services[0].nodes[0]: 10.20.0.11 is internal (nodes[0].internal) and the service is external; nothing passes between the two sides (H13)",
        ),
        (
            "203.0.113.41:5061",
            "203.0.113.10:5061",
            "24: services[0].nodes[0]: 203.0.113.10 is vips.access; an address is either a VIP or a node's",
        ),
        (
            "203.0.113.40:5061/tcp",
            "203.0.113.40:64512/tcp",
            "21: services[0].listen: port 64512 is kept for the health checks of this machine (64512 and up); a port from 1 to 64511 is right",
        ),
        (
            node,
            &node.repeat(2),
            "25: services[0].nodes[1]: the name \"a\" is that of services[0].nodes[0] already; every node needs its own\n25: services[0].nodes[1]: 203.0.113.41:5061 is services[0].nodes[0] already; a node stands behind a service once",
        ),
        (
            "udp = \"2m\"",
            "udp = \"1500ms\"",
            "27: timeouts.udp: \"1500ms\" is not a time in whole seconds from 1s to 7d, such as \"30s\", \"2m\", \"60m\" or a whole number of seconds",
        ),
        (
            "[\"int0\"]",
            "[\"\", \"a/b\"]",
            "6: interfaces.internal[0]: \"\" is not the name of an interface (1 to 15 characters)\n6: interfaces.internal[1]: \"a/b\" is not the name of an interface (1 to 15 characters)",
        ),
    ]);
}

#[test]
fn every_line_that_is_not_toml_is_told() {
    assert_eq!(
        problems("a = 1\na = 2\nb = = 3\n"),
        "2: column 1: not TOML: duplicate key\n3: column 5: not TOML: extra `=`"
    );
}

/// Every warning about `text`, a line each, as the user sees it after the name of the file.
fn warnings(text: &str) -> String {
    match Config::parse_with_warnings(text) {
        Ok((_, warnings)) => {
            let lines: Vec<String> = warnings.iter().map(ToString::to_string).collect();
            lines.join("\n")
        }
        Err(problems) => format!("{problems:?}"),
    }
}

/// [`RIGHT`] with each of `changes` made once.
fn changed(changes: &[(&str, &str)]) -> String {
    let mut text = RIGHT.to_owned();
    for (old, new) in changes {
        assert!(text.contains(old), "{old:?} must stand in the right file");
        text = text.replacen(old, new, 1);
    }
    text
}

const EXTERNAL_ONLY: [(&str, &str); 3] = [
    ("internal = \"10.20.0.10\"\n", ""),
    ("internal = \"10.20.0.11\"\n", ""),
    ("internal = \"10.20.0.12\"\n", ""),
];

const INTERNAL_ONLY: [(&str, &str); 3] = [
    ("access = \"203.0.113.10\"\n", ""),
    ("access = \"203.0.113.11\"\n", ""),
    ("access = \"203.0.113.12\"\n", ""),
];

#[test]
fn a_pool_on_one_side_must_be_wanted() {
    for (changes, line) in [
        (
            EXTERNAL_ONLY,
            "7: vips: only external VIPs; vips.internal is missing, and an Edge pool is balanced on both sides or on neither; pool.one_side = true says that one is wanted (H15)",
        ),
        (
            INTERNAL_ONLY,
            "7: vips: only an internal VIP; vips.access, vips.webconf and vips.av are missing, and an Edge pool is balanced on both sides or on neither; pool.one_side = true says that one is wanted (H15)",
        ),
    ] {
        assert_eq!(problems(&changed(&changes)), line);
        let wanted = changed(&changes).replace("xmpp = true", "one_side = true");
        assert_eq!(problems(&wanted), "no problem");
    }
    check(&[(
        "xmpp = true",
        "one_side = 1",
        "3: pool.one_side: 1 is not true or false",
    )]);
}

#[test]
fn the_rules_of_an_edge_pool() {
    check(&[
        (
            "\"snat\"",
            "\"dsr\"",
            "22: services[0].treatment: \"dsr\" is not possible: the Edge Server does not support it, so replies pass the load balancer on the way back; \"snat\" or \"dnat\" is right (H14)",
        ),
        (
            "internal = \"10.20.0.12\"",
            "internal = \"203.0.113.11\"",
            "17: nodes[1].internal: 203.0.113.11 is nodes[0].access already; the internal and the external side are different networks (H13)",
        ),
        (
            "internal = \"10.20.0.10\"",
            "internal = \"203.0.113.10\"",
            "9: vips.internal: 203.0.113.10 is vips.access already; the internal and the external side are different networks (H13)",
        ),
    ]);
}

#[test]
fn what_goes_to_each_node_by_itself_is_not_balanced() {
    let internal = |listen: &str, node: &str| {
        problems(&changed(&[
            (
                "203.0.113.40:5061/tcp\"",
                &format!("{listen}\"\nzone = \"internal\""),
            ),
            ("203.0.113.41:5061", node),
        ]))
    };
    for (port, what) in [
        (8057, "internal Web Conferencing"),
        (23456, "XMPP"),
        (4443, "CMS replication"),
        (50001, "logging"),
        (50002, "logging"),
        (50003, "logging"),
    ] {
        let message = format!(
            "{port}/tcp is never balanced: {what} goes to each node's own internal address (H16)"
        );
        assert_eq!(
            internal(
                &format!("10.20.0.10:{port}/tcp"),
                &format!("10.20.0.11:{port}")
            ),
            format!("21: services[0].listen: {message}")
        );
        // Nor on another VIP, and under another port.
        assert_eq!(
            internal("10.20.0.40:9000/tcp", &format!("10.20.0.11:{port}")),
            format!("25: services[0].nodes[0]: {message}")
        );
        // What is no node of the pool has nothing to do with it.
        assert_eq!(
            internal(
                &format!("10.20.0.40:{port}/tcp"),
                &format!("10.20.0.41:{port}")
            ),
            "no problem"
        );
    }
    for listen in ["10.20.0.10:8057/udp", "10.20.0.10:50004/tcp"] {
        assert_eq!(internal(listen, "10.20.0.41:8057"), "no problem");
    }
}

#[test]
fn source_nat_to_a_nodes_media_is_refused_on_every_vip() {
    const H2: &str = "\"snat\" is not possible for A/V: STUN and TURN work only when the node sees the client's real address; \"dnat\" is right (H2, H7)";
    for (listen, zone, node) in [
        ("203.0.113.40:5061/tcp", "external", "203.0.113.31:443"),
        ("10.20.0.40:9000/udp", "internal", "10.20.0.11:3478"),
        ("10.20.0.40:9000/tcp", "internal", "10.20.0.11:443"),
    ] {
        // A check of this service would not fit the other protocol.
        let (example, _) = EXAMPLE
            .split_once("[health]")
            .expect("the example has every section");
        let text = example
            .replace("203.0.113.40:5061/tcp", listen)
            .replace("zone      = \"external\"", &format!("zone = {zone:?}"))
            .replace("203.0.113.41:5061", node)
            .replace("203.0.113.42:5061", &node.replace("1:", "2:"));
        let line = 1 + text
            .lines()
            .position(|line| line.starts_with("treatment"))
            .unwrap_or(0);
        assert_eq!(
            problems(&text),
            format!("{line}: services[0].treatment: {H2}")
        );
        assert_eq!(
            problems(&text.replace("treatment = \"snat\"", "treatment = \"dnat\"")),
            "no problem"
        );
    }
}

#[test]
fn internal_networks_are_networks() {
    const NETWORK: &str = "an IPv4 network without host bits, such as \"10.0.0.0/8\" (the default route is the Access VIP's)";
    for value in [
        "10.0.0.1/8",
        "10.0.0.0",
        "10.0.0.0/33",
        "0.0.0.0/0",
        "128.0.0.0/0",
        "224.0.0.0/4",
        "127.0.0.0/8",
        "fd00::/8",
        "",
    ] {
        check(&[(
            "xmpp = true",
            &format!("internal_networks = [\"192.168.0.0/16\", {value:?}]"),
            &format!("3: pool.internal_networks[1]: {value:?} is not {NETWORK}"),
        )]);
    }
    check(&[
        (
            "xmpp = true",
            "internal_networks = \"10.0.0.0/8\"",
            "3: pool.internal_networks: \"10.0.0.0/8\" is not a list of networks, such as [\"10.0.0.0/8\"]",
        ),
        (
            "xmpp = true",
            "internal_networks = [\"10.0.0.0/8\", \"10.0.0.0/8\"]",
            "3: pool.internal_networks[1]: 10.0.0.0/8 is pool.internal_networks[0] already",
        ),
        ("xmpp = true", "internal_networks = []", "no problem"),
    ]);
    let networks = |text: &str| {
        Config::parse(text).map(|config| {
            let networks = config.pool.internal_networks;
            networks.iter().map(ToString::to_string).collect::<Vec<_>>()
        })
    };
    assert_eq!(
        networks(RIGHT),
        Ok(["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]
            .map(str::to_owned)
            .to_vec())
    );
    let one = changed(&[("xmpp = true", "internal_networks = [\"10.20.0.0/14\"]")]);
    assert_eq!(networks(&one), Ok(vec!["10.20.0.0/14".to_owned()]));
}

#[test]
fn what_is_doubtful() {
    for (changes, expected) in [
        (vec![], ""),
        (
            vec![
                ("10.20.0.10", "203.0.113.110"),
                ("10.20.0.11", "203.0.113.111"),
                ("10.20.0.12", "203.0.113.112"),
            ],
            "9: vips.internal: warning: 203.0.113.110 and 203.0.113.10 (vips.access) look like one subnet; the internal and the external side are different networks (H13)",
        ),
        (
            vec![("10.20.0.12", "203.0.113.112")],
            "17: nodes[1].internal: warning: 203.0.113.112 and 203.0.113.10 (vips.access) look like one subnet; the internal and the external side are different networks (H13)",
        ),
        (
            vec![("203.0.113.41:5061", "10.20.0.41:5061")],
            "9: vips.internal: warning: 10.20.0.10 and 10.20.0.41 (services[0].nodes[0]) look like one subnet; the internal and the external side are different networks (H13)\n24: services[0].nodes[0]: warning: 10.20.0.41 is within the internal network 10.0.0.0/8, a default of pool.internal_networks; the internal and the external side are different networks (H10, H13)",
        ),
        (
            vec![("xmpp = true", "internal_networks = [\"203.0.112.0/23\"]")],
            "3: pool.internal_networks[0]: warning: 203.0.112.0/23 contains 203.0.113.10 (vips.access); the internal and the external side are different networks (H10, H13)",
        ),
        (
            vec![
                ("203.0.113.11", "192.168.7.11"),
                ("203.0.113.12", "192.168.7.12"),
            ],
            "12: nodes[0].access: warning: 192.168.7.11 is within the internal network 192.168.0.0/16, a default of pool.internal_networks; the internal and the external side are different networks (H10, H13)",
        ),
        (
            vec![("udp = \"2m\"", "tcp_established = \"29m 59s\"")],
            "27: timeouts.tcp_established: warning: 29m 59s is shorter than the 30 minutes between two SIP keep-alives, so quiet connections that are still in use are cut; 30m or more is right",
        ),
        (vec![("udp = \"2m\"", "tcp_established = \"30m\"")], ""),
    ] {
        assert_eq!(warnings(&changed(&changes)), expected, "{changes:?}");
    }
}

#[test]
fn a_load_balancer_without_an_edge_pool_is_not_told_of_its_rules() {
    let text = "[pool]\nname = \"web\"\n[interfaces]\nexternal = [\"e\"]\n[[services]]\nname = \"https\"\nlisten = \"10.0.0.1:443/tcp\"\ntreatment = \"snat\"\nnodes = [{ name = \"a\", address = \"10.0.0.2:8057\" }]\n[timeouts]\ntcp_established = 60\n";
    assert_eq!(problems(text), "no problem");
    assert_eq!(warnings(text), "");
}

#[test]
fn a_pool_has_up_to_twelve_nodes() {
    let many_nodes = |number| {
        let nodes: Vec<String> = (3..=number)
            .map(|n| {
                format!(
                    "[[nodes]]\nname = \"edge{n}\"\naccess = \"203.0.113.{}\"\ninternal = \"10.20.0.{}\"\n",
                    n + 100,
                    n + 100
                )
            })
            .collect();
        let all = nodes.concat() + "[[services]]";
        changed(&[("[[services]]", &all)])
    };
    assert_eq!(
        warnings(&many_nodes(13)),
        "59: nodes[12]: warning: 13 nodes; an Edge pool has up to 12"
    );
    assert_eq!(warnings(&many_nodes(12)), "");
}
