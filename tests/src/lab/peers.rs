//! Peers of all kinds on a node, and what the checks of edgelb make of them.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{
    Lab,
    health::{check, health, node, wait_for},
    plan::{Host, NODES, Node},
    process::Process,
};

/// The host of the peers.
pub const HOST: Host = Host::Edge(0);
/// The node that it is.
pub const NODE: &Node = &NODES[0];

/// Slow enough for a handshake on a busy machine.
const HEALTH: &str = "interval = \"600ms\"\ntimeout = \"500ms\"\nfall = 2";

/// A service with one node, and what comes of its checks.
pub struct Case {
    /// Name of the service.
    name: &'static str,
    /// Port on the node, and protocol.
    at: (u16, &'static str),
    /// Keys of `[[health.services]]`.
    keys: String,
    /// Part of the error; none where the node is in good health.
    error: Option<&'static str>,
}

/// A case; `error` is part of what is wrong, none where the node is in good health.
pub fn case(
    name: &'static str,
    at: (u16, &'static str),
    keys: impl Into<String>,
    error: Option<&'static str>,
) -> Case {
    Case {
        name,
        at,
        keys: keys.into(),
        error,
    }
}

/// Has edgelb check the node's Access address in all these ways, and compares what it says.
pub fn compare(lab: &Lab, cases: &[Case]) -> Result<()> {
    let address = NODE.access;
    let mut services = String::new();
    let mut keys = String::new();
    for Case {
        name,
        at,
        keys: own,
        ..
    } in cases
    {
        let (port, protocol) = at;
        // Several ways to ask one port, each a service of its own.
        let listen = 100 + services.matches("[[services]]").count();
        services += &format!(
            "[[services]]\nname = \"{name}\"\nlisten = \"203.0.113.40:{listen}/{protocol}\"\ntreatment = \"snat\"\n\
             nodes = [{{ name = \"edge1\", address = \"{address}:{port}\" }}]\n"
        );
        keys += &format!("[[health.services]]\nname = \"{name}\"\n{own}\n");
    }
    check(lab, &format!("{HEALTH}\n{keys}"), &services)?;
    for case in cases {
        let Case { name, error, .. } = case;
        let Some(wanted) = error else {
            // The first answer is there, and all that came since were good.
            let found = health(lab, name, "edge1")?;
            ensure!(
                found.healthy && found.latency_us.is_some(),
                "{name}: {found:?}"
            );
            continue;
        };
        let down = wait_for(lab, name, "edge1", "down")?;
        let found = down.health.and_then(|health| health.last_error);
        ensure!(
            found.as_deref().is_some_and(|found| found.contains(wanted)),
            "{name}: {found:?}, not {wanted:?}"
        );
    }
    // None has fallen since.
    for case in cases.iter().filter(|case| case.error.is_none()) {
        let found = node(lab, case.name, "edge1")?;
        let failed = found.health.and_then(|health| health.last_error);
        ensure!(
            found.state == "up" && failed.is_none(),
            "{}: {failed:?}",
            case.name
        );
    }
    Ok(())
}

/// Starts a program on the node, and waits until it listens.
pub fn start(
    lab: &Lab,
    name: &str,
    program: &str,
    arguments: &[&str],
    port: u16,
) -> Result<Process> {
    let host = lab.host(HOST);
    let mut command = host.command(program)?;
    command
        .args(arguments)
        .current_dir(lab.folder.subfolder(name)?);
    let log = lab.folder.file(&format!("{name}.log"));
    let mut process = Process::start(name, &mut command, log)?;
    let listening = format!(":{port}");
    process.wait_until(Duration::from_secs(10), |_| {
        // Without asking it anything: some of these answer one client at a time.
        let sockets = host
            .command("ss")
            .and_then(|mut ss| Ok(ss.arg("-Hlntu").output()?));
        sockets.is_ok_and(|sockets| {
            let text = String::from_utf8_lossy(&sockets.stdout).into_owned();
            text.split_whitespace()
                .any(|word| word.ends_with(&listening))
        })
    })?;
    Ok(process)
}

/// Files of a certificate that the lab's clients trust, and of its key.
pub fn certificate(lab: &Lab) -> (String, String) {
    let file = |name: &str| {
        let path = lab.folder.file(NODE.name).join(name);
        path.display().to_string()
    };
    (file("certificate.pem"), file("key.pem"))
}
