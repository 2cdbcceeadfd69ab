//! The sockets of a host, as its kernel lists them: who listens, and who is connected to whom.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddrV4},
};

use anyhow::{Context as _, Result};

use super::namespace::Namespace;

/// State of a TCP socket that is connected (`TCP_ESTABLISHED` of Linux).
const ESTABLISHED: u8 = 0x01;
/// State of a TCP socket that listens, and of an unconnected UDP socket it is 7 (`TCP_LISTEN`,
/// `TCP_CLOSE`).
const LISTEN: u8 = 0x0a;

/// A TCP or UDP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Socket {
    local: SocketAddrV4,
    remote: SocketAddrV4,
    state: u8,
}

/// Whether TCP listens at all of these.
pub fn all_listen(host: &Namespace, at: &[SocketAddrV4]) -> bool {
    list(host, "tcp").is_ok_and(|sockets| {
        at.iter().all(|address| {
            sockets
                .iter()
                .any(|socket| socket.state == LISTEN && socket.local == *address)
        })
    })
}

/// Whether there is a UDP socket at each of these.
pub fn all_bound(host: &Namespace, at: &[SocketAddrV4]) -> bool {
    list(host, "udp").is_ok_and(|sockets| {
        at.iter()
            .all(|address| sockets.iter().any(|socket| socket.local == *address))
    })
}

/// Who is connected to a TCP server.
pub fn clients_of(host: &Namespace, server: SocketAddrV4) -> Result<Vec<SocketAddrV4>> {
    Ok(list(host, "tcp")?
        .into_iter()
        .filter(|socket| socket.state == ESTABLISHED && socket.local == server)
        .map(|socket| socket.remote)
        .collect())
}

fn list(host: &Namespace, protocol: &str) -> Result<Vec<Socket>> {
    // Those of the thread: the process as a whole is in another namespace.
    let path = format!("/proc/thread-self/net/{protocol}");
    let text = host.enter(|| fs::read_to_string(path))??;
    text.lines()
        .skip(1)
        .map(|line| parse(line).with_context(|| format!("no socket: {line}")))
        .collect()
}

/// Number, local end, remote end, state, and more.
fn parse(line: &str) -> Option<Socket> {
    let mut words = line.split_whitespace().skip(1);
    Some(Socket {
        local: end(words.next()?)?,
        remote: end(words.next()?)?,
        state: u8::from_str_radix(words.next()?, 16).ok()?,
    })
}

/// The address is printed as the number that its four bytes are on this machine.
fn end(text: &str) -> Option<SocketAddrV4> {
    let (address, port) = text.split_once(':')?;
    let address = u32::from_str_radix(address, 16).ok()?;
    Some(SocketAddrV4::new(
        Ipv4Addr::from(address.to_ne_bytes()),
        u16::from_str_radix(port, 16).ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernel_is_read() {
        let address = u32::from_ne_bytes([203, 0, 113, 10]);
        let line =
            format!("  12: {address:08X}:13C5 00000000:0000 0A 00000000:00000000 00:00000000");
        assert_eq!(
            parse(&line),
            Some(Socket {
                local: SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 10), 5061),
                remote: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0),
                state: LISTEN,
            })
        );
        assert_eq!(parse("  12: 0A:1"), None);
    }
}
