//! The bench runs, and every figure, file and target of it is there. What the figures are is not asked:
//! these runs are short.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use lb_tests::bench::figures::{Run, Section};

/// Runs a part of the bench with few flows: what it has found, and its report in `folder`.
fn bench(part: &str, folder: &Path) -> Result<Run> {
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args([part, "--quick", "--json", "-", "--report"])
        .arg(folder)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}\n{said}", output.status);
    serde_json::from_slice(&output.stdout).context("standard output is JSON and nothing else")
}

/// Makes sure that a section has these figures and no others, each at these numbers of flows.
fn has(run: &Run, section: &str, names: &[&str], flows: &[u64]) -> Result<()> {
    let found = run.section(section);
    let found = found.with_context(|| format!("there is no section {section:?}"))?;
    let rows = |section: &Section| -> BTreeSet<(String, u64)> {
        let rows = section.rows.iter();
        rows.map(|row| (row.name.clone(), row.flows.unwrap_or(0)))
            .collect()
    };
    let wanted = names
        .iter()
        .flat_map(|name| flows.iter().map(|flows| ((*name).to_owned(), *flows)))
        .collect::<BTreeSet<_>>();
    ensure!(rows(found) == wanted, "{section}: {:#?}", rows(found));
    for row in &found.rows {
        let value = row.value;
        ensure!(value.min.is_finite() && value.max.is_finite(), "{row:?}");
        ensure!(
            value.min <= value.median && value.median <= value.max,
            "{row:?}"
        );
    }
    Ok(())
}

const FLOORS: [&str; 2] = ["floor: parse", "floor: parse + look-up + rewrite"];
const DRIVER: &str = "floor: the driver alone";

#[test]
fn the_packet_part_has_a_figure_for_every_path() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = bench("packet", folder.path())?;
    let tcp = [
        "snat hit, to the node",
        "snat hit, to the client",
        "routed in",
        "routed out",
        "policy drop",
        "pass to the kernel",
        "new TCP flow: its SYN",
        "new TCP flow: SYN, SYN-ACK and ACK",
    ];
    let udp = [
        "dnat hit, to the node",
        "dnat hit, to the client",
        "dnat hit, STUN request",
        "dnat hit, STUN response matched to it",
        "new UDP flow: data",
        "new UDP flow: STUN request",
    ];
    for (section, paths) in [("packet, TCP", &tcp[..]), ("packet, UDP", &udp)] {
        let net = [&FLOORS[..], paths].concat();
        let raw = [&[DRIVER][..], &net].concat();
        has(&run, section, &raw, &[1, 1000])?;
        has(&run, &format!("{section}, net"), &net, &[1, 1000])?;
        let fastest = run
            .section(section)
            .into_iter()
            .flat_map(|found| &found.rows);
        ensure!(fastest.clone().all(|row| row.value.min > 0.0), "{section}");
    }
    ensure!(run.targets.len() == 4, "{:#?}", run.targets);
    let report = fs::read_to_string(folder.path().join("report.md"))?;
    for name in tcp.iter().chain(&udp) {
        ensure!(report.contains(name), "{name} is not in\n{report}");
    }
    for plot in ["packet-tcp-ns-packet.svg", "packet-udp-net-ns-packet.svg"] {
        ensure!(report.contains(plot), "{plot} is not in\n{report}");
        ensure!(fs::read_to_string(folder.path().join(plot))?.contains("</svg>"));
    }
    Ok(())
}

#[test]
fn the_memory_part_has_a_figure_for_the_kernel_and_for_the_daemon() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = bench("memory", folder.path())?;
    let section = run.section("memory, 1000 flows").context("no section")?;
    for name in [
        "kernel: all maps",
        "CPU time of a sweep",
        "daemon: RSS without flows",
        "daemon: RSS after sweeps",
        "a full edgelb flows",
        "daemon: RSS after edgelb flows",
        "daemon: RSS at its peak, in edgelb flows",
    ] {
        let row = section.row(name, Some(1000));
        let row = row.with_context(|| format!("there is no {name:?}: {section:#?}"))?;
        ensure!(row.value.min > 0.0, "{row:?}");
    }
    // The targets are about a million flows.
    ensure!(run.targets.is_empty(), "{:?}", run.targets);
    Ok(())
}

#[test]
fn the_wire_part_has_a_figure_for_every_contender() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = bench("wire", folder.path())?;
    let packets = ["bare XDP", "edgelb", "kernel routing", "nftables full NAT"];
    let mut wanted = Vec::new();
    for arrangement in ["two-arm", "one-arm"] {
        for size in [64, 1400] {
            let section = format!("wire, {arrangement}, {size} bytes");
            wanted.extend(packets.map(|name| (section.clone(), name)));
            wanted.push((section, "edgelb, routed media"));
        }
    }
    let mut add = |section: &str, names: &[&'static str]| {
        wanted.extend(names.iter().map(|name| (section.to_owned(), *name)));
    };
    add("wire, new flows", &["SYNs, edgelb", "handshakes, edgelb"]);
    add("wire, one processor and two", &["edgelb, growth"]);
    add("wire, daemon at work", &["sweeps", "all flows are listed"]);
    add("wire, largest pool", &["new connections, beside them"]);
    add(
        "wire, new connections",
        &["direct routing", "edgelb", "HAProxy", "nginx stream"],
    );
    add("wire, request latency", &["edgelb: p99", "HAProxy: p99.9"]);
    for (section, name) in wanted {
        let rows = run.section(&section).map(|section| section.named(name));
        let row = rows.and_then(|mut rows| rows.next());
        let row = row.with_context(|| format!("there is no {name:?} in {section:?}"))?;
        ensure!(row.value.min > 0.0, "{row:?}");
    }
    ensure!(run.targets.len() == 12, "{:#?}", run.targets);
    Ok(())
}

#[test]
fn the_pktgen_part_says_why_it_sends_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = bench("pktgen", folder.path())?;
    let section = run.section("pktgen").context("no section")?;
    ensure!(
        section.rows.is_empty() && section.notes.len() == 1,
        "{section:#?}"
    );
    let note = &section.notes[0];
    ensure!(
        note.contains("CONFIG_NET_PKTGEN") || note.contains("--pktgen"),
        "{note}"
    );
    Ok(())
}

#[test]
fn what_is_asked_wrongly_is_refused() -> Result<()> {
    for arguments in [
        &["packets"][..],
        &["packet", "--flows", "0"],
        &["packet", "--rounds", "0"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_bench"))
            .args(arguments)
            .output()?;
        ensure!(!output.status.success(), "{arguments:?}");
        ensure!(output.stdout.is_empty(), "{arguments:?}");
    }
    Ok(())
}
