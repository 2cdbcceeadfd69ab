//! What the receiving kernels say of the packets that they got.

use std::fs;

use anyhow::{Context as _, Result};

use super::namespace::Namespace;

/// The counters that no sound packet moves.
const COMPLAINTS: [(&str, &str); 4] = [
    ("Ip", "InHdrErrors"),
    ("Tcp", "InCsumErrors"),
    ("Udp", "InCsumErrors"),
    ("Icmp", "InCsumErrors"),
];

/// Packets that the kernel of a host found broken, by counter; what never happened is left out.
pub fn complaints(host: &Namespace) -> Result<Vec<(String, u64)>> {
    // That of the thread: the process as a whole is in another namespace.
    let text = host.enter(|| fs::read_to_string("/proc/thread-self/net/snmp"))??;
    let mut complaints = Vec::new();
    for (protocol, counter) in COMPLAINTS {
        let count = find(&text, protocol, counter)
            .with_context(|| format!("/proc/net/snmp has no {protocol} {counter}"))?;
        if count > 0 {
            complaints.push((format!("{protocol} {counter}"), count));
        }
    }
    Ok(complaints)
}

/// A protocol has a line of names and a line of numbers.
fn find(snmp: &str, protocol: &str, counter: &str) -> Option<u64> {
    let mut lines = snmp
        .lines()
        .filter_map(|line| line.strip_prefix(protocol)?.strip_prefix(": "));
    let names = lines.next()?.split(' ');
    let mut numbers = lines.next()?.split(' ');
    let at = names.into_iter().position(|name| name == counter)?;
    numbers.nth(at)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_by_its_name() {
        let snmp =
            "Udp: InErrors InCsumErrors\nUdp: 3 4\nUdpLite: InErrors InCsumErrors\nUdpLite: 5 6\n";
        assert_eq!(find(snmp, "Udp", "InCsumErrors"), Some(4));
        assert_eq!(find(snmp, "UdpLite", "InErrors"), Some(5));
        assert_eq!(find(snmp, "Udp", "OutErrors"), None);
        assert_eq!(find(snmp, "Tcp", "InErrors"), None);
    }
}
