//! SIP by sipp: servers that take calls, and clients that make them, each call over a connection of its
//! own.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use anyhow::{Result, ensure};

use super::{folder::Folder, namespace::Namespace, process::Process, sockets};

/// SIP in clear text, behind the TLS of nginx.
pub const BEHIND_TLS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 5060);

/// Where nginx puts TLS on calls and passes them on to the other side of the federation.
pub const TO_TLS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 5071);

/// How long the two ends of a call say nothing before the caller hangs up. They are in the connections'
/// tables of the hosts for so long.
const TALK: Duration = Duration::from_millis(700);

/// Most time for all calls of one client.
const PATIENCE: Duration = Duration::from_secs(10);

/// TCP with a connection for each call, no keyboard, and no more sockets than a process may open.
const ALWAYS: [&str; 5] = ["-t", "tn", "-nostdin", "-max_socket", "1000"];

/// Starts a server.
pub fn serve(
    host: &str,
    namespace: &Namespace,
    at: SocketAddrV4,
    folder: &Folder,
) -> Result<Process> {
    let log = folder.file(&format!("{host}.sipp-{at}.log"));
    let mut command = namespace.command("sipp")?;
    command.args(["-sn", "uas"]).args(ALWAYS).args([
        "-i",
        &at.ip().to_string(),
        "-p",
        &at.port().to_string(),
    ]);
    let mut process = Process::start("sipp", &mut command, log)?;
    process.wait_until(Duration::from_secs(5), |_| {
        sockets::all_listen(namespace, &[at])
    })?;
    Ok(process)
}

/// Calls that are being made.
pub struct Calls(Process);

impl Calls {
    /// Makes calls, all at the same time.
    pub fn make(
        namespace: &Namespace,
        from: Ipv4Addr,
        to: SocketAddrV4,
        calls: usize,
        folder: &Folder,
    ) -> Result<Self> {
        let log = folder.file("sipp-calls.log");
        let calls = calls.to_string();
        let mut command = namespace.command("sipp")?;
        command
            .args(["-sn", "uac"])
            .args(ALWAYS)
            .args(["-i", &from.to_string()])
            .args(["-m", &calls, "-l", &calls, "-r", "400", "-d"])
            .arg(TALK.as_millis().to_string())
            .args(["-timeout_error", "-timeout"])
            .arg(PATIENCE.as_secs().to_string())
            .arg(to.to_string());
        Ok(Self(Process::start("sipp", &mut command, log)?))
    }

    /// Waits until all are over, and looks at something again and again in the meantime.
    ///
    /// # Errors
    ///
    /// When one of the calls was not answered as it has to be.
    pub fn wait(mut self, mut meanwhile: impl FnMut() -> Result<()>) -> Result<()> {
        let status = loop {
            if let Some(status) = self.0.ended()? {
                break status;
            }
            meanwhile()?;
        };
        ensure!(
            status.success(),
            "sipp ended ({status}):\n{}",
            self.0.printed()
        );
        Ok(())
    }
}
