//! A responder that behaves to an Allocate request without credentials as an Edge Server's A/V service
//! does: over UDP, and over TCP behind the pseudo-TLS handshake. There is no MS-TURN server to install.
//!
//! Source: requirements EV7, EV8, IV4, IV5 and the facts about MS-TURN. It knows nothing of edgelb's own
//! messages, so that the two are held against each other.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::namespace::Namespace;

/// How often is looked whether it is over.
const POLL: Duration = Duration::from_millis(50);
/// How long a client on TCP has for its next word.
const PATIENCE: Duration = Duration::from_secs(2);

const MAGIC_COOKIE: [u8; 8] = [0x00, 0x0F, 0x00, 0x04, 0x72, 0xC6, 0x4B, 0xC6];

/// The A/V service on one address; it ends when this is dropped.
pub struct MsTurn {
    running: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl MsTurn {
    /// Starts it on 3478/udp and 443/tcp.
    pub fn start(namespace: &Namespace, address: Ipv4Addr) -> Result<Self> {
        Self::start_at(namespace, address, 3478, 443)
    }

    /// Starts it on other ports.
    pub fn start_at(
        namespace: &Namespace,
        address: Ipv4Addr,
        udp_port: u16,
        tcp_port: u16,
    ) -> Result<Self> {
        let running = Arc::new(AtomicBool::new(true));
        let (udp, tcp) = namespace
            .enter(|| -> Result<_> {
                let udp = UdpSocket::bind(SocketAddrV4::new(address, udp_port))?;
                udp.set_read_timeout(Some(POLL))?;
                let tcp = TcpListener::bind(SocketAddrV4::new(address, tcp_port))?;
                tcp.set_nonblocking(true)?;
                Ok((udp, tcp))
            })?
            .with_context(|| format!("MS-TURN on {address}"))?;
        let mut threads = Vec::new();
        let on = Arc::clone(&running);
        threads.push(thread::spawn(move || serve_udp(&udp, address, &on)));
        let on = Arc::clone(&running);
        threads.push(thread::spawn(move || serve_tcp(&tcp, address, &on)));
        Ok(Self { running, threads })
    }
}

impl Drop for MsTurn {
    fn drop(&mut self) {
        self.running.store(false, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn serve_udp(socket: &UdpSocket, own: Ipv4Addr, running: &AtomicBool) {
    let mut message = [0; 2048];
    while running.load(Ordering::Relaxed) {
        if let Ok((length, from)) = socket.recv_from(&mut message)
            && let Some(answer) = answer(&message[..length], own)
        {
            // Whoever asked may be gone.
            let _ = socket.send_to(&answer, from);
        }
    }
}

fn serve_tcp(listener: &TcpListener, own: Ipv4Addr, running: &AtomicBool) {
    while running.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => {
                // A client that breaks off is its own affair.
                thread::spawn(move || converse(stream, own));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(POLL / 5),
            Err(_) => return,
        }
    }
}

fn converse(mut stream: TcpStream, own: Ipv4Addr) -> Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut hello = [0; 50];
    stream.read_exact(&mut hello)?;
    // What is not this very handshake gets no answer: a real TLS client fails here.
    if hello[..11] != [0x16, 3, 1, 0, 0x2D, 1, 0, 0, 0x29, 3, 1]
        || hello[43..] != [0, 0, 2, 0, 0x18, 1, 0]
    {
        return Ok(());
    }
    let mut server = vec![0x16, 3, 1, 0, 0x4E, 2, 0, 0, 0x46, 3, 1];
    server.extend([0x5A; 32]);
    server.push(0x20);
    server.extend([0xA5; 32]);
    server.extend([0, 0x18, 0, 14, 0, 0, 0]);
    stream.write_all(&server)?;
    loop {
        let mut frame = [0; 4];
        stream.read_exact(&mut frame)?;
        let mut message = vec![0; usize::from(u16::from_be_bytes([frame[2], frame[3]]))];
        stream.read_exact(&mut message)?;
        if let (0x02, Some(answer)) = (frame[0], answer(&message, own)) {
            let mut framed = vec![0x02, 0];
            framed.extend(u16::try_from(answer.len())?.to_be_bytes());
            framed.extend(answer);
            stream.write_all(&framed)?;
        }
    }
}

/// The error 401, with this node's own address as Alternate Server. A message that does not begin with
/// the magic cookie is ignored, and so is everything but an Allocate request.
fn answer(message: &[u8], own: Ipv4Addr) -> Option<Vec<u8>> {
    if message.get(..2)? != [0x00, 0x03] || message.get(20..28)? != MAGIC_COOKIE {
        return None;
    }
    let mut attributes = MAGIC_COOKIE.to_vec();
    attributes.extend([0x00, 0x09, 0, 16, 0, 0, 4, 1]);
    attributes.extend(b"Unauthorized");
    attributes.extend([0x00, 0x0E, 0, 8, 0, 1, 0x0D, 0x96]);
    attributes.extend(own.octets());
    attributes.extend([0x00, 0x14, 0, 4]);
    attributes.extend(b"edge");
    attributes.extend([0x00, 0x15, 0, 4]);
    attributes.extend(b"once");
    let mut answer = vec![0x01, 0x13];
    answer.extend(u16::try_from(attributes.len()).ok()?.to_be_bytes());
    answer.extend(message.get(4..20)?);
    answer.extend(attributes);
    Some(answer)
}
