//! What pktgen is told, and what it says (Documentation/networking/pktgen.rst of Linux).

use std::{fmt, net::Ipv4Addr, str::FromStr};

/// An Ethernet address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mac([u8; 6]);

impl FromStr for Mac {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes: Vec<u8> = text
            .split(':')
            .map(|byte| u8::from_str_radix(byte, 16))
            .collect::<Result<_, _>>()
            .map_err(|_| format!("{text} is no Ethernet address"))?;
        let bytes = bytes
            .try_into()
            .map_err(|_| format!("{text} has not six bytes"))?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.map(|byte| format!("{byte:02x}")).join(":"))
    }
}

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// The NIC.
    pub interface: String,
    /// Destination.
    pub to: Ipv4Addr,
    /// UDP port there.
    pub port: u16,
    /// Ethernet address of the next hop.
    pub mac: Mac,
    /// The first source address.
    pub from: Ipv4Addr,
    /// Queues, each with the processor of the same number.
    pub queues: u32,
    /// Flows, shared among the queues.
    pub flows: u32,
    /// Bytes of a frame without its check sum.
    pub size: u32,
    /// Packets of each queue.
    pub count: u64,
    /// Packets in a second and queue, if not as many as can be.
    pub rate: Option<u32>,
}

impl Script {
    /// Every line that pktgen is told before it starts: the file below `/proc/net/pktgen`, and the line.
    pub fn commands(&self) -> Vec<(String, String)> {
        let mut commands = Vec::new();
        for queue in 0..self.queues {
            let thread = format!("kpktgend_{queue}");
            let device = self.device(queue);
            commands.push((thread.clone(), "rem_device_all".to_owned()));
            commands.push((thread, format!("add_device {device}")));
            for line in self.lines(queue) {
                commands.push((device.clone(), line));
            }
        }
        commands
    }

    /// What a queue is called by pktgen.
    pub fn device(&self, queue: u32) -> String {
        format!("{}@{queue}", self.interface)
    }

    fn lines(&self, queue: u32) -> Vec<String> {
        let flows = (self.flows / self.queues).max(1);
        let first = self.from.to_bits().wrapping_add(queue * flows);
        let address = |bits| Ipv4Addr::from_bits(bits);
        let mut lines = vec![
            format!("count {}", self.count),
            // pktgen leaves out the check sum too.
            format!("pkt_size {}", self.size),
            // Every packet is another flow's: none is sent twice.
            "clone_skb 0".to_owned(),
            "delay 0".to_owned(),
            format!("queue_map_min {queue}"),
            format!("queue_map_max {queue}"),
            format!("dst_mac {}", self.mac),
            format!("dst_min {}", self.to),
            format!("dst_max {}", self.to),
            format!("src_min {}", address(first)),
            format!("src_max {}", address(first.wrapping_add(flows - 1))),
            "flag IPSRC_RND".to_owned(),
            "udp_src_min 10000".to_owned(),
            "udp_src_max 10000".to_owned(),
            format!("udp_dst_min {}", self.port),
            format!("udp_dst_max {}", self.port),
            "flag UDPCSUM".to_owned(),
        ];
        lines.extend(self.rate.map(|rate| format!("ratep {rate}")));
        lines
    }
}

/// What pktgen says of a queue when it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Packets that left.
    pub packets: u64,
    /// In a second.
    pub per_second: u64,
}

/// Reads the file of a queue, such as
/// `Result: OK: 1000(c990+d10) usec, 5000 (64byte,0frags)` and, in the next line, `5000000pps 2560Mb/sec ...`.
pub fn result(file: &str) -> Option<Sent> {
    let mut lines = file
        .lines()
        .skip_while(|line| !line.trim_start().starts_with("Result: OK:"));
    let first = lines.next()?;
    let (_, after) = first.split_once("usec,")?;
    let packets = after.split_whitespace().next()?.parse().ok()?;
    let (rate, _) = lines.next()?.trim().split_once("pps")?;
    Some(Sent {
        packets,
        per_second: rate.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(queues: u32) -> Script {
        Script {
            interface: "eth1".to_owned(),
            to: Ipv4Addr::new(203, 0, 113, 30),
            port: 3478,
            mac: "02:00:00:00:00:0a".parse().expect("an address"),
            from: Ipv4Addr::new(198, 18, 0, 0),
            queues,
            flows: 1000,
            size: 64,
            count: 5,
            rate: None,
        }
    }

    #[test]
    fn each_queue_has_its_thread_and_its_own_flows() {
        let commands = script(2).commands();
        let of = |file: &str| -> Vec<&str> {
            commands
                .iter()
                .filter(|(name, _)| name == file)
                .map(|(_, line)| line.as_str())
                .collect()
        };
        assert_eq!(of("kpktgend_1"), ["rem_device_all", "add_device eth1@1"]);
        for (queue, first, last) in [
            (0, "src_min 198.18.0.0", "src_max 198.18.1.243"),
            (1, "src_min 198.18.1.244", "src_max 198.18.3.231"),
        ] {
            let lines = of(&format!("eth1@{queue}"));
            for line in [
                "count 5",
                "pkt_size 64",
                "dst_mac 02:00:00:00:00:0a",
                "dst_min 203.0.113.30",
                "udp_dst_min 3478",
                &format!("queue_map_min {queue}"),
                first,
                last,
            ] {
                assert!(lines.contains(&line), "{line}: {lines:?}");
            }
        }
    }

    #[test]
    fn a_queue_is_known_before_it_is_told_anything() {
        let commands = script(1).commands();
        let device = commands.iter().position(|(file, _)| file == "eth1@0");
        let added = commands
            .iter()
            .position(|(_, line)| line == "add_device eth1@0");
        assert!(added < device, "{commands:?}");
    }

    #[test]
    fn a_rate_is_said_only_where_there_is_one() {
        let says = |rate| {
            let script = Script { rate, ..script(1) };
            let mut lines = script.commands().into_iter();
            lines.any(|(_, line)| line == "ratep 1000")
        };
        assert!(says(Some(1000)) && !says(None));
    }

    #[test]
    fn a_result_is_read_and_an_unfinished_one_is_none() {
        let done = "Params: count 5000  min_pkt_size: 64\n     sofar: 5000 errors: 0\n\
                    Result: OK: 1000(c990+d10) usec, 5000 (64byte,0frags)\n  \
                    4999999pps 2559Mb/sec (2559999488bps) errors: 0\n";
        assert_eq!(
            result(done),
            Some(Sent {
                packets: 5000,
                per_second: 4_999_999,
            })
        );
        assert_eq!(result("Params: count 5000\nResult: Idle\n"), None);
        assert_eq!(result(""), None);
    }

    #[test]
    fn an_ethernet_address_has_six_bytes() {
        for (text, good) in [
            ("02:00:00:00:00:0a", true),
            ("02:00:00:00:00", false),
            ("02:00:00:00:00:0a:01", false),
            ("02:00:00:00:00:xx", false),
        ] {
            assert_eq!(text.parse::<Mac>().is_ok(), good, "{text}");
        }
    }
}
