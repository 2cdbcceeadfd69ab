//! `edgelb ports` as it is called, and nftables as the judge of its rules.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/edgelb.toml");

fn ports(file: &str, format: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_edgelb"))
        .args(["ports", "--config", file])
        .args(format)
        .output()
        .expect("the program under test starts")
}

fn shown(file: &str, format: &[&str]) -> String {
    let output = ports(file, format);
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).expect("what is shown is text")
}

#[test]
fn the_table_is_for_people() {
    let text = shown(EXAMPLE, &[]);
    assert_eq!(text, shown(EXAMPLE, &["--format", "table"]));
    for (number, title) in [
        "External side, the nodes' own addresses",
        "Internal side, the nodes' own addresses",
        "External side, VIPs",
        "Internal side, VIP",
        "Routes of edge1",
        "Routes of edge2",
        "No part of the Edge pool and not shown here: [[services]] sip-tls",
    ]
    .iter()
    .enumerate()
    {
        let paragraph = text.split("\n\n").nth(number).unwrap_or_default();
        assert_eq!(paragraph.lines().next(), Some(*title), "{text}");
    }
    for line in [
        "  Default gateway of the external interface (203.0.113.11, 203.0.113.21, 203.0.113.31): 203.0.113.10, the Access VIP (H11)",
        "  Internal networks through 10.20.0.10, the internal VIP (H10); no default gateway on the internal interface",
        "      route -p add 172.16.0.0 mask 255.240.0.0 10.20.0.10",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[test]
fn tsv_is_for_programs() {
    let text = shown(EXAMPLE, &["--format", "tsv"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines.first(),
        Some(
            &"id\ttable\trole\tnode\tprotocol\tsource\tsource_port\tdestination\tdestination_port\tnat\tpurpose"
        )
    );
    // 19 rows of each of two nodes, 14 of VIPs.
    // 19 rows and one rule of the configuration for each of two nodes, 14 rows of VIPs.
    assert_eq!(lines.len(), 1 + 20 * 2 + 14);
    for wanted in [
        "EN4\texternal-node\tA/V RTP\tedge2\ttcp\t203.0.113.32\t50000-59999\tany\tany\tnone\tmedia to federation partners and remote users",
        "IN6\tinternal-node\tMTLS\tedge1\ttcp\tany\tany\t10.20.0.11\t50001\tnone\tcentralized logging service",
        "EV5\texternal-vip\tAccess SIP/MTLS\t-\ttcp\t203.0.113.10\tany\tany\t5061\tsource of a node becomes 203.0.113.10\tSIP federation and public IM out, opened by a node, leaves from the VIP",
        "EV6\texternal-vip\tWeb Conferencing PSOM/TLS\t-\ttcp\tany\tany\t203.0.113.20\t443\tdestination becomes a node, source becomes 203.0.113.20\tweb conferencing media",
        "IV4\tinternal-vip\tSTUN/MS-TURN\t-\tudp\tany\tany\t10.20.0.10\t3478\tdestination becomes a node, source is kept\tpreferred A/V media path between internal and external users",
    ] {
        assert!(lines.contains(&wanted), "{wanted}\n{text}");
    }
}

#[test]
fn json_says_the_same() {
    let json: serde_json::Value =
        serde_json::from_str(&shown(EXAMPLE, &["--format", "json"])).expect("it is JSON");
    let tsv = shown(EXAMPLE, &["--format", "tsv"]);
    let mut tsv = tsv.lines();
    let header: Vec<&str> = tsv.next().unwrap_or_default().split('\t').collect();
    let listed = json["ports"].as_array().expect("ports is a list");
    assert_eq!(listed.len(), 54);
    for (port, line) in listed.iter().zip(tsv) {
        for (key, value) in header.iter().zip(line.split('\t')) {
            assert_eq!(port[key], value, "{line}");
        }
    }
    assert_eq!(json["pool"], "edge");
    assert_eq!(json["routes"].as_array().map(Vec::len), Some(8));
    assert_eq!(json["routes"][0]["network"], "0.0.0.0/0");
    assert_eq!(json["routes"][0]["gateway"], "203.0.113.10");
}

/// Runs `script` with the ruleset in `$1`, in a network namespace of its own. Without nft, unshare or
/// the right to a namespace this fails: a ruleset that nobody has judged is not ready.
fn in_a_namespace(script: &str, ruleset: &Path) -> String {
    let output = Command::new("unshare")
        .args(["--map-root-user", "--net", "sh", "-euc", script, "sh"])
        .arg(ruleset)
        .output()
        .expect("unshare (util-linux) is installed");
    assert!(output.status.success(), "{script}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn nftables_takes_the_ruleset_and_replaces_it() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let without_xmpp = folder.join("without-xmpp.toml");
    let example = fs::read_to_string(EXAMPLE).expect("the example can be read");
    fs::write(
        &without_xmpp,
        example.replace("xmpp = true", "xmpp = false"),
    )
    .expect("the folder for temporary files can be written to");
    let minimal = EXAMPLE.replace("edgelb.toml", "minimal.toml");
    for (number, (file, rows)) in [
        (EXAMPLE, 34),
        (minimal.as_str(), 33),
        (without_xmpp.to_str().expect("the path is text"), 31),
    ]
    .into_iter()
    .enumerate()
    {
        let ruleset = folder.join(format!("ports-{number}.nft"));
        fs::write(&ruleset, shown(file, &["--format", "nft"]))
            .expect("the folder for temporary files can be written to");
        in_a_namespace("nft -c -f - < \"$1\"", &ruleset);
        // Twice, beside the chain of an administrator who uses it, which stays.
        let kept = "nft -f \"$1\"; nft add chain inet filter forward '{ type filter hook forward priority 0; policy drop; }'; nft add rule inet filter forward jump edge_external; nft add rule inet filter forward jump edge_internal; nft -f \"$1\"; nft -n list ruleset";
        let loaded = in_a_namespace(kept, &ruleset);
        assert_eq!(loaded.matches("comment \"").count(), rows, "{loaded}");
        assert_eq!(loaded.matches("jump edge_").count(), 2, "{loaded}");
    }
}

#[test]
fn without_an_edge_pool_there_are_no_ports() {
    let file = concat!(env!("CARGO_TARGET_TMPDIR"), "/no-pool.toml");
    fs::write(
        file,
        "[pool]\nname = \"web\"\n[interfaces]\nexternal = [\"eth0\"]\n[[services]]\nname = \"https\"\nlisten = \"192.0.2.1:443/tcp\"\ntreatment = \"snat\"\nnodes = [{ name = \"a\", address = \"192.0.2.11:443\" }]\n",
    )
    .expect("the folder for temporary files can be written to");
    let output = ports(file, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        format!("edgelb: {file}: no [vips], so there is no Edge pool to show the ports of\n")
    );
}
