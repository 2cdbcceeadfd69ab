//! DNS: dnsmasq answers, dig asks.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use super::{
    folder::Folder,
    namespace::{Namespace, run},
    process::Process,
    sockets,
};

/// The name that there is an answer for.
pub const NAME: &str = "sipexternal.partner.example";

const PORT: u16 = 53;

/// A running dnsmasq.
pub struct Dns {
    process: Process,
    at: Ipv4Addr,
}

impl Dns {
    /// Starts it; its answer is its own address.
    pub fn start(namespace: &Namespace, at: Ipv4Addr, folder: &Folder) -> Result<Self> {
        let mut command = namespace.command("dnsmasq")?;
        command
            .args([
                "--keep-in-foreground",
                "--conf-file=/dev/null",
                "--pid-file=",
            ])
            .args(["--no-resolv", "--no-hosts", "--user=root"])
            .args(["--log-queries=extra", "--log-facility=-"])
            .args(["--bind-interfaces", &format!("--listen-address={at}")])
            .arg(format!("--address=/{NAME}/{at}"));
        let mut process = Process::start("dnsmasq", &mut command, folder.file("dnsmasq.log"))?;
        let place = [SocketAddrV4::new(at, PORT)];
        process.wait_until(Duration::from_secs(5), |_| {
            sockets::all_bound(namespace, &place) && sockets::all_listen(namespace, &place)
        })?;
        Ok(Self { process, at })
    }

    /// Asks it from somewhere over UDP or TCP; returns whom it has seen.
    pub fn ask(&self, client: &Namespace, from: SocketAddrV4, tcp: bool) -> Result<SocketAddrV4> {
        let before = self.process.printed().len();
        let mut command = client.command("dig")?;
        command
            .args(["+short", "+tries=1", "+time=3"])
            .args(["-b", &format!("{}#{}", from.ip(), from.port())])
            .arg(format!("@{}", self.at))
            .args([if tcp { "+tcp" } else { "+notcp" }, NAME]);
        let answer = run(&mut command)?;
        ensure!(answer.trim() == self.at.to_string(), "dig says: {answer}");
        let printed = self.process.printed();
        // `dnsmasq[1]: 1 203.0.113.11/51008 query[A] sipexternal.partner.example from 203.0.113.11`
        printed[before..]
            .lines()
            .filter(|line| line.contains(" query[A] "))
            .find_map(|line| line.split(' ').nth(2)?.replace('/', ":").parse().ok())
            .with_context(|| format!("no query in what dnsmasq has printed: {printed}"))
    }

    /// Leaves it running when this is dropped.
    pub fn keep(&mut self) {
        self.process.keep();
    }
}
