//! coturn: STUN and TURN as an Edge Server offers it, on its ports and with its relay range.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    ops::RangeInclusive,
    time::Duration,
};

use anyhow::Result;

use super::{folder::Folder, namespace::Namespace, process::Process, sockets};

/// STUN and TURN over UDP.
pub const UDP: u16 = 3478;
/// STUN and TURN over TCP.
pub const TCP: u16 = 443;
/// Ports of relayed addresses.
pub const RELAY: RangeInclusive<u16> = 50_000..=59_999;
/// Who may relay.
pub const USER: &str = "user";
/// And by which password.
pub const PASSWORD: &str = "secret";

/// Starts it on these addresses; it relays from the first.
pub fn serve(
    name: &str,
    namespace: &Namespace,
    at: &[Ipv4Addr],
    folder: &Folder,
) -> Result<Process> {
    let mut command = namespace.command("turnserver")?;
    command
        .args(["-n", "--no-cli", "--no-tls", "--no-dtls", "--simple-log"])
        .args(["--log-file", "stdout", "--relay-threads", "1"])
        .args([
            "--lt-cred-mech",
            "--realm",
            name,
            "--user",
            &format!("{USER}:{PASSWORD}"),
        ])
        .args(["--listening-port", &UDP.to_string()])
        .args(["--min-port", &RELAY.start().to_string()])
        .args(["--max-port", &RELAY.end().to_string()])
        .arg("--userdb")
        .arg(folder.file(&format!("{name}.turn.db")))
        .arg("--pidfile")
        .arg(folder.file(&format!("{name}.turn.pid")));
    for address in at {
        command
            .args(["--listening-ip", &address.to_string()])
            .arg(format!("--aux-server={address}:{TCP}"));
    }
    if let Some(relay) = at.first() {
        command.args(["--relay-ip", &relay.to_string()]);
    }
    let log = folder.file(&format!("{name}.turn.log"));
    let mut process = Process::start("turnserver", &mut command, log)?;
    let on = |port| -> Vec<_> {
        at.iter()
            .map(|address| SocketAddrV4::new(*address, port))
            .collect()
    };
    process.wait_until(Duration::from_secs(10), |_| {
        sockets::all_bound(namespace, &on(UDP)) && sockets::all_listen(namespace, &on(TCP))
    })?;
    Ok(process)
}
