//! Captures on the lab's links, and what tcpdump finds in them.

use std::{fs, net::Ipv4Addr, path::PathBuf, process::Command, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use super::{
    folder::Folder,
    namespace::{Namespace, run},
    process::Process,
};

/// The kernel hands packets to tcpdump in blocks; one that is not full comes after a second.
const BLOCK_TIMEOUT: Duration = Duration::from_millis(1100);

/// Buffer between kernel and tcpdump (KiB): enough for the time that it is not scheduled.
const BUFFER: &str = "65536";

/// Most packets that one capture takes.
const LIMIT: &str = "2000000";

/// A running capture of all TCP and UDP over IPv4 on one interface, in full length.
pub struct Capture {
    process: Process,
    file: PathBuf,
    link: String,
}

/// What was captured.
pub struct Captured {
    file: PathBuf,
    /// Where.
    pub link: String,
    count: u64,
}

impl Capture {
    /// Starts, and waits until no packet is missed any more.
    pub fn start(
        namespace: &Namespace,
        host: &str,
        interface: &str,
        folder: &Folder,
    ) -> Result<Self> {
        let link = format!("{host}-{interface}");
        let file = folder.file(&format!("{link}.pcap"));
        let mut command = namespace.command("tcpdump")?;
        command
            // As root: the folder is root's.
            .args(["-Z", "root", "-n", "-s", "0", "-B", BUFFER, "-c", LIMIT])
            .args(["-i", interface, "-w"])
            .arg(&file)
            .arg("ip and (tcp or udp)");
        let log = folder.file(&format!("{link}.tcpdump.log"));
        let mut process = Process::start("tcpdump", &mut command, log)?;
        process.wait_until(Duration::from_secs(5), |tcpdump| {
            tcpdump.printed().contains("listening on")
        })?;
        Ok(Self {
            process,
            file,
            link,
        })
    }

    /// Stops all of them.
    ///
    /// # Errors
    ///
    /// When packets are missing: what was not seen cannot be said to be good.
    pub fn stop_all(captures: Vec<Self>) -> Result<Vec<Captured>> {
        thread::sleep(BLOCK_TIMEOUT);
        captures.into_iter().map(Self::stop).collect()
    }

    fn stop(mut self) -> Result<Captured> {
        self.process.end(Signal::SIGINT)?;
        let printed = self.process.printed();
        // `77027 packets captured`, but `1 packet captured`.
        let count = |what: &str| {
            printed
                .lines()
                .find_map(|line| {
                    line.strip_suffix(what)?
                        .split(' ')
                        .next()?
                        .parse::<u64>()
                        .ok()
                })
                .with_context(|| {
                    format!("tcpdump on {} has not said: {what}\n{printed}", self.link)
                })
        };
        let dropped = count(" dropped by kernel")?;
        ensure!(
            dropped == 0,
            "the capture on {} has lost {dropped} packets",
            self.link
        );
        Ok(Captured {
            count: count(" captured")?,
            file: self.file,
            link: self.link,
        })
    }
}

/// What tcpdump says of one packet.
#[derive(Clone, Debug)]
pub struct Packet {
    /// IP source.
    pub source: Ipv4Addr,
    /// IP destination.
    pub destination: Ipv4Addr,
    /// Ports of source and destination, where there are any.
    pub ports: Option<(u16, u16)>,
    /// Bytes above TCP or UDP.
    pub payload: Option<usize>,
    /// Time to live.
    pub ttl: u8,
    /// Whether every checksum in it has been found right.
    pub sound: bool,
    /// All of it, for people.
    pub text: String,
}

impl Packet {
    /// Reads the lines of one packet. A checksum that tcpdump could not verify is no right one.
    fn parse(text: &str) -> Option<Self> {
        let (ip, transport) = text.split_once('\n')?;
        let ttl = ip.split_once("ttl ")?.1.split_once(',')?.0;
        let (source, rest) = transport.trim_start().split_once(" > ")?;
        let destination = rest.split_once(": ")?.0;
        let transport_is_right = [" (correct), ", "[udp sum ok] ", "[no cksum] "]
            .iter()
            .any(|verdict| rest.contains(verdict));
        Some(Self {
            source: address(source)?,
            destination: address(destination)?,
            ports: port(source).zip(port(destination)),
            payload: length(rest),
            ttl: ttl.parse().ok()?,
            sound: transport_is_right && !ip.contains("bad cksum"),
            text: text.to_owned(),
        })
    }
}

/// The address in `198.51.100.1.57223`.
fn address(of: &str) -> Option<Ipv4Addr> {
    let end = of.match_indices('.').nth(3).map_or(of.len(), |(at, _)| at);
    of[..end].parse().ok()
}

/// The port in `198.51.100.1.57223`.
fn port(of: &str) -> Option<u16> {
    let (at, _) = of.match_indices('.').nth(3)?;
    of[at + 1..].parse().ok()
}

/// What stands behind `length` where tcpdump speaks of TCP or UDP; it may go on about what is above, or
/// speak of that alone.
fn length(rest: &str) -> Option<usize> {
    let number = rest.split_once("length ")?.1;
    let end = number
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(number.len());
    number[..end].parse().ok()
}

impl Captured {
    /// Every packet, as tcpdump reads it with checksums verified. (tshark takes 0xffff for wrong where
    /// 0 is as right; Linux sends one packet of 65,536 like that.)
    pub fn packets(&self) -> Result<Vec<Packet>> {
        let printed = run(Command::new("tcpdump")
            .args(["-Z", "root", "-n", "-t", "-vv", "-r"])
            .arg(&self.file))?;
        let packets = records(&printed)
            .map(|record| {
                Packet::parse(record).with_context(|| format!("on {}: {record}", self.link))
            })
            .collect::<Result<Vec<_>>>()?;
        ensure!(
            packets.len() as u64 == self.count,
            "on {} {} packets were captured, and {} read",
            self.link,
            self.count,
            packets.len()
        );
        Ok(packets)
    }

    /// Removes the file.
    pub fn remove(self) -> Result<()> {
        fs::remove_file(&self.file).with_context(|| self.file.display().to_string())
    }
}

/// The packets in what tcpdump has printed: each begins a line, and goes on in lines that are indented.
fn records(printed: &str) -> impl Iterator<Item = &str> {
    let mut rest = printed;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest
            .match_indices('\n')
            .find(|(at, _)| !rest[at + 1..].starts_with([' ', '\t']))
            .map_or(rest.len(), |(at, _)| at + 1);
        let record;
        (record, rest) = rest.split_at(end);
        Some(record.trim_end())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const IP: &str = "IP (tos 0x0, ttl 62, id 0, offset 0, flags [DF], proto TCP (6), length 52)";
    const BAD_IP: &str = "IP (tos 0x0, ttl 62, id 0, offset 0, flags [DF], proto TCP (6), length 52, bad cksum 1234 (->5678)!)";

    #[test]
    fn only_verified_checksums_are_sound() {
        for (ip, transport, sound) in [
            (
                IP,
                "Flags [S], cksum 0x7ca7 (correct), seq 1, length 0",
                true,
            ),
            (
                BAD_IP,
                "Flags [S], cksum 0x7ca7 (correct), seq 1, length 0",
                false,
            ),
            (
                IP,
                "Flags [S], cksum 0x7ca7 (incorrect -> 0x1234), seq 1, length 0",
                false,
            ),
            (IP, "Flags [S], seq 1, length 0", false),
            (IP, "[udp sum ok] UDP, length 3", true),
            (IP, "[no cksum] UDP, length 3", true),
            (IP, "[bad udp cksum 0x1 -> 0x2!] UDP, length 3", false),
        ] {
            let text = format!("{ip}\n    203.0.113.10.443 > 198.51.100.1.57223: {transport}");
            let packet = Packet::parse(&text).expect("a packet");
            assert_eq!(packet.sound, sound, "{text}");
            assert_eq!(packet.source, Ipv4Addr::new(203, 0, 113, 10));
            assert_eq!(packet.destination, Ipv4Addr::new(198, 51, 100, 1));
            assert_eq!(packet.ports, Some((443, 57_223)));
            assert_eq!(packet.ttl, 62);
        }
    }

    #[test]
    fn a_packet_may_take_many_lines() {
        let printed = "IP a\n    b\n\tc\nIP d\n    e\n";
        let records: Vec<_> = records(printed).collect();
        assert_eq!(records, ["IP a\n    b\n\tc", "IP d\n    e"]);
    }
}
