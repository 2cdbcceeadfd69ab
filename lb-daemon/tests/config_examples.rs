//! The example files in `config/`, which users start from.

use lb_daemon::config::{Config, Limits, Settings, Timeouts};

const EXAMPLE: &str = include_str!("../../config/edgelb.toml");
const MINIMAL: &str = include_str!("../../config/minimal.toml");

#[test]
fn the_examples_are_right() {
    for text in [EXAMPLE, MINIMAL] {
        let warnings = Config::parse_with_warnings(text).map(|(_, warnings)| warnings);
        assert_eq!(warnings, Ok(Vec::new()));
    }
}

/// The contract: later versions add keys, and none of these goes or gets another name.
#[test]
fn the_example_has_every_key() {
    for key in [
        "[pool]",
        "name",
        "xmpp",
        "one_side",
        "internal_networks",
        "[interfaces]",
        "external",
        "internal",
        "manage_addresses",
        "[vips]",
        "access",
        "webconf",
        "av",
        "[[nodes]]",
        "weight",
        "[[services]]",
        "listen",
        "treatment",
        "zone",
        "nodes",
        "[timeouts]",
        "tcp_established",
        "tcp_half_open",
        "tcp_closing",
        "udp",
        "[limits]",
        "max_flows",
        "max_half_open",
        "snat_ports",
        "[balancing]",
        "balance",
        "slow_start",
        "[[balancing.services]]",
        "affinity",
        "[health]",
        "enabled",
        "interval",
        "timeout",
        "rise",
        "fall",
        "calm",
        "on_all_down",
        "on_node_down",
        "drain_timeout",
        "[[health.services]]",
        "check",
        "gate",
        "tls",
        "server_name",
        "ca",
        "status",
    ] {
        let stands = EXAMPLE.lines().any(|line| {
            line.split(['=', '#'])
                .next()
                .is_some_and(|before| before.trim() == key)
        });
        assert!(stands, "{key}");
    }
}

#[test]
fn the_example_shows_the_defaults() {
    let mut lines: Vec<&str> = EXAMPLE.lines().collect();
    // A default of several lines of comment is still one line of key.
    lines.retain(|line| !line.contains("# default"));
    let bare = lines
        .join("\n")
        .replace(", weight = 100", "")
        .replace("weight   = 100", "");
    assert_ne!(bare, EXAMPLE);
    assert_eq!(Config::parse(&bare), Config::parse(EXAMPLE));
    let config = Config::parse(EXAMPLE).expect("the example is right");
    assert_eq!(config.timeouts, Timeouts::default());
    assert_eq!(config.limits, Limits::default());
    assert!(config.health.enabled);
    assert_eq!(config.health.general, Settings::default());
}
