//! Packets of the packet tests: built from a few words, and decoded for people.

use std::{fmt::Write as _, net::SocketAddrV4};

use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};

/// A packet, as a test writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Ethernet source and destination.
    pub macs: ([u8; 6], [u8; 6]),
    /// From whom.
    pub source: SocketAddrV4,
    /// To whom.
    pub destination: SocketAddrV4,
    /// TCP or UDP.
    pub transport: Transport,
    /// Time to live.
    pub ttl: u8,
    /// Data.
    pub payload: Vec<u8>,
}

/// The protocol header of a [`Spec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP: flags as on the wire, sequence and acknowledgment number.
    Tcp(u8, u32, u32),
    /// UDP.
    Udp,
    /// ICMP: type, code, and the four bytes after the checksum.
    Icmp(u8, u8, [u8; 4]),
}

/// TCP flags.
pub mod flags {
    /// No more data.
    pub const FIN: u8 = 0x01;
    /// Open.
    pub const SYN: u8 = 0x02;
    /// Reset.
    pub const RST: u8 = 0x04;
    /// Acknowledgment.
    pub const ACK: u8 = 0x10;
}

/// `"203.0.113.10:443"`.
pub fn at(address: &str) -> SocketAddrV4 {
    address
        .parse()
        .unwrap_or_else(|error| panic!("{address}: {error}"))
}

/// A TCP segment; addresses of Ethernet are filled in by the runner.
pub fn tcp(source: &str, destination: &str, flags: u8) -> Spec {
    Spec {
        macs: ([0; 6], [0; 6]),
        source: at(source),
        destination: at(destination),
        transport: Transport::Tcp(flags, 1000, if flags & flags::ACK == 0 { 0 } else { 5001 }),
        ttl: 64,
        payload: Vec::new(),
    }
}

/// A UDP datagram; addresses of Ethernet are filled in by the runner.
pub fn udp(source: &str, destination: &str) -> Spec {
    Spec {
        macs: ([0; 6], [0; 6]),
        source: at(source),
        destination: at(destination),
        transport: Transport::Udp,
        ttl: 64,
        payload: b"datagram".to_vec(),
    }
}

/// An ICMP message: type, code, and the four bytes after the checksum.
pub fn icmp(source: &str, destination: &str, kind: u8, code: u8, rest: [u8; 4]) -> Spec {
    let host = |address: &str| at(&format!("{address}:0"));
    Spec {
        macs: ([0; 6], [0; 6]),
        source: host(source),
        destination: host(destination),
        transport: Transport::Icmp(kind, code, rest),
        ttl: 64,
        payload: Vec::new(),
    }
}

/// The RST to a segment (RFC 9293, section 3.5.2).
pub fn rst_to(segment: &Spec) -> Spec {
    let (source, destination) = (segment.destination.to_string(), segment.source.to_string());
    let Transport::Tcp(bits, sequence, acknowledgment) = segment.transport else {
        panic!("{segment:?} is no TCP");
    };
    if bits & flags::ACK != 0 {
        return tcp(&source, &destination, flags::RST).numbers(acknowledgment, 0);
    }
    let ends = [flags::SYN, flags::FIN].map(|flag| u32::from(bits & flag != 0));
    let length = segment.payload.len() as u32 + ends[0] + ends[1];
    tcp(&source, &destination, flags::RST | flags::ACK).numbers(0, sequence + length)
}

/// The ICMP error about a packet: its IP header and eight bytes more are quoted.
pub fn icmp_error(source: &str, about: &Spec, kind: u8, code: u8, rest: [u8; 4]) -> Spec {
    let quote = about.frame()[14..42].to_vec();
    icmp(source, &about.source.ip().to_string(), kind, code, rest).payload(quote)
}

impl Spec {
    /// With these sequence and acknowledgment numbers (TCP).
    #[must_use]
    pub fn numbers(mut self, sequence: u32, acknowledgment: u32) -> Self {
        if let Transport::Tcp(flags, ..) = self.transport {
            self.transport = Transport::Tcp(flags, sequence, acknowledgment);
        }
        self
    }

    /// With this time to live.
    #[must_use]
    pub fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    /// With this data.
    #[must_use]
    pub fn payload(mut self, payload: Vec<u8>) -> Self {
        self.payload = payload;
        self
    }

    /// With these Ethernet addresses: from, to.
    #[must_use]
    pub fn macs(mut self, source: [u8; 6], destination: [u8; 6]) -> Self {
        self.macs = (source, destination);
        self
    }

    /// The frame, with right lengths and checksums.
    pub fn frame(&self) -> Vec<u8> {
        let start = PacketBuilder::ethernet2(self.macs.0, self.macs.1).ipv4(
            self.source.ip().octets(),
            self.destination.ip().octets(),
            self.ttl,
        );
        let mut frame = Vec::new();
        let written = match self.transport {
            Transport::Tcp(bits, sequence, acknowledgment) => {
                let mut tcp = start.tcp(
                    self.source.port(),
                    self.destination.port(),
                    sequence,
                    if bits & flags::RST == 0 { 64_000 } else { 0 },
                );
                if bits & flags::SYN != 0 {
                    tcp = tcp.syn();
                }
                if bits & flags::FIN != 0 {
                    tcp = tcp.fin();
                }
                if bits & flags::RST != 0 {
                    tcp = tcp.rst();
                }
                if bits & flags::ACK != 0 {
                    tcp = tcp.ack(acknowledgment);
                }
                tcp.write(&mut frame, &self.payload)
            }
            Transport::Icmp(kind, code, rest) => start
                .icmpv4_raw(kind, code, rest)
                .write(&mut frame, &self.payload),
            Transport::Udp => start
                .udp(self.source.port(), self.destination.port())
                .write(&mut frame, &self.payload),
        };
        written.unwrap_or_else(|error| panic!("{self:?}: {error}"));
        frame
    }
}

/// The frames of a packet in three fragments (RFC 791), the first with 24 bytes and the second with 16 of
/// the IP payload, which must be longer.
pub fn fragments(spec: &Spec) -> Vec<Vec<u8>> {
    const IP_AT: usize = 14;
    const PAYLOAD_AT: usize = 34;
    const MORE: u16 = 0x2000;
    let frame = spec.frame();
    let end = frame.len();
    [
        (PAYLOAD_AT, PAYLOAD_AT + 24, MORE),
        (PAYLOAD_AT + 24, PAYLOAD_AT + 40, MORE),
        (PAYLOAD_AT + 40, end, 0),
    ]
    .into_iter()
    .map(|(from, to, more)| {
        let mut fragment = frame[..PAYLOAD_AT].to_vec();
        fragment.extend_from_slice(&frame[from..to]);
        let length = (fragment.len() - IP_AT) as u16;
        let offset = ((from - PAYLOAD_AT) / 8) as u16;
        fragment[16..18].copy_from_slice(&length.to_be_bytes());
        // Any identification, the same for all.
        fragment[18..20].copy_from_slice(&[0x12, 0x34]);
        fragment[20..22].copy_from_slice(&(more | offset).to_be_bytes());
        set_ip_checksum(&mut fragment);
        fragment
    })
    .collect()
}

/// Makes the checksum of the IP header right.
pub fn set_ip_checksum(frame: &mut [u8]) {
    let header = usize::from(frame[14] & 0x0f) * 4;
    frame[24..26].fill(0);
    let sum = frame[14..14 + header].chunks(2).fold(0_u32, |sum, word| {
        sum + u32::from(u16::from_be_bytes([word[0], word[1]]))
    });
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
}

/// A frame for people: one line per header, with what is wrong with its checksums.
pub fn decode(frame: &[u8]) -> String {
    let mut text = format!("{} bytes", frame.len());
    let sliced = match SlicedPacket::from_ethernet(frame) {
        Ok(sliced) => sliced,
        Err(error) => return format!("{text}: {error}: {frame:02x?}"),
    };
    if let Some(etherparse::LinkSlice::Ethernet2(ethernet)) = &sliced.link {
        let _ = write!(
            text,
            "\n    ethernet {:02x?} -> {:02x?} {:?}",
            ethernet.source(),
            ethernet.destination(),
            ethernet.ether_type()
        );
    }
    let Some(NetSlice::Ipv4(ip)) = &sliced.net else {
        return text;
    };
    let header = ip.header().to_header();
    let _ = write!(
        text,
        "\n    ipv4 {} -> {} ttl {} length {}",
        ip.header().source_addr(),
        ip.header().destination_addr(),
        header.time_to_live,
        header.total_len
    );
    if header.calc_header_checksum() != header.header_checksum {
        let _ = write!(text, " BAD CHECKSUM {:04x}", header.header_checksum);
    }
    match &sliced.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            let _ = write!(
                text,
                "\n    tcp {} -> {} flags {:02x} seq {} ack {}",
                tcp.source_port(),
                tcp.destination_port(),
                tcp.slice()[13],
                tcp.sequence_number(),
                tcp.acknowledgment_number()
            );
            if tcp.calc_checksum_ipv4(header.source, header.destination) != Ok(tcp.checksum()) {
                let _ = write!(text, " BAD CHECKSUM {:04x}", tcp.checksum());
            }
        }
        Some(TransportSlice::Udp(udp)) => {
            let _ = write!(
                text,
                "\n    udp {} -> {}",
                udp.source_port(),
                udp.destination_port()
            );
            let right = udp.to_header().calc_checksum_ipv4(&header, udp.payload());
            if udp.checksum() != 0 && right != Ok(udp.checksum()) {
                let _ = write!(text, " BAD CHECKSUM {:04x}", udp.checksum());
            }
        }
        Some(TransportSlice::Icmpv4(icmp)) => {
            let _ = write!(
                text,
                "\n    icmp type {} code {} rest {:?} data {:02x?}",
                icmp.type_u8(),
                icmp.code_u8(),
                icmp.bytes5to8(),
                icmp.payload()
            );
            if icmp.icmp_type().calc_checksum(icmp.payload()) != icmp.checksum() {
                let _ = write!(text, " BAD CHECKSUM {:04x}", icmp.checksum());
            }
        }
        _ => {}
    }
    text
}
