//! A client of STUN and TURN (RFC 8489, RFC 8656) over UDP or TCP.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use lb_common::net::Protocol;
use socket2::{Domain, Socket, Type};
use turn_client_proto::{
    api::{Transmit, TurnClientApi as _, TurnConfig, TurnEvent, TurnPollRet, TurnRecvRet},
    client::TurnClient,
    stun::{
        Instant as ProtocolTime,
        types::{
            TransportType,
            attribute::XorMappedAddress,
            message::{BINDING, Message, MessageWriteVec},
            prelude::MessageWrite as _,
        },
    },
    tcp::TurnClientTcp,
    types::TurnCredentials,
    udp::TurnClientUdp,
};

use super::coturn::{PASSWORD, USER};

/// How long a server may take for anything.
const PATIENCE: Duration = Duration::from_secs(5);
/// After so long a request over UDP is sent again.
const RETRANSMIT: Duration = Duration::from_millis(300);
/// How often the protocol's own timers are looked at.
const TICK: Duration = Duration::from_millis(20);

/// Where the messages go.
enum Wire {
    /// Not connected, so that an answer from somewhere else is seen.
    Udp(UdpSocket),
    Tcp(TcpStream),
}

/// Asks how the server sees the client.
pub fn binding_request() -> Vec<u8> {
    Message::builder_request(BINDING, MessageWriteVec::new()).finish()
}

/// A client on one socket.
pub struct Client {
    wire: Wire,
    turn: Option<TurnClient>,
    begun: Instant,
    media: VecDeque<(SocketAddrV4, Vec<u8>)>,
    /// The client's end.
    pub local: SocketAddrV4,
    /// Who is asked.
    pub asked: SocketAddrV4,
}

impl Client {
    /// Opens a socket of the namespace that the calling thread is in.
    pub fn open(protocol: Protocol, from: SocketAddrV4, to: SocketAddrV4) -> Result<Self> {
        let open = || -> Result<(Wire, SocketAddr)> {
            let kind = match protocol {
                Protocol::Udp => Type::DGRAM,
                Protocol::Tcp => Type::STREAM,
            };
            let socket = Socket::new(Domain::IPV4, kind, None)?;
            socket.bind(&SocketAddr::V4(from).into())?;
            if protocol == Protocol::Udp {
                let socket = UdpSocket::from(socket);
                socket.set_read_timeout(Some(TICK))?;
                let local = socket.local_addr()?;
                return Ok((Wire::Udp(socket), local));
            }
            socket.connect_timeout(&SocketAddr::V4(to).into(), PATIENCE)?;
            let stream = TcpStream::from(socket);
            stream.set_read_timeout(Some(TICK))?;
            stream.set_nodelay(true)?;
            let local = stream.local_addr()?;
            Ok((Wire::Tcp(stream), local))
        };
        let (wire, local) =
            open().with_context(|| format!("{from} to {to}/{}", protocol.name()))?;
        Ok(Self {
            wire,
            turn: None,
            begun: Instant::now(),
            media: VecDeque::new(),
            local: v4(local)?,
            asked: to,
        })
    }

    /// Asks how the server sees this client.
    pub fn binding(&mut self) -> Result<SocketAddrV4> {
        let request = binding_request();
        let transaction = Message::from_bytes(&request)?.transaction_id();
        let begun = Instant::now();
        let mut sent: Option<Instant> = None;
        let mut received = Vec::new();
        while begun.elapsed() < PATIENCE {
            let again = matches!(self.wire, Wire::Udp(_));
            if sent.is_none_or(|at| again && at.elapsed() > RETRANSMIT) {
                self.send(&request)?;
                sent = Some(Instant::now());
            }
            received.extend(self.receive()?);
            let Ok(answer) = Message::from_bytes(&received) else {
                // Nothing yet, or not all of it.
                continue;
            };
            ensure!(
                answer.transaction_id() == transaction,
                "an answer to another request"
            );
            let address = answer.attribute::<XorMappedAddress>()?.addr(transaction);
            return v4(address);
        }
        bail!("{} asks {}: no answer", self.local, self.asked);
    }

    /// Asks for an address that relays; returns it.
    pub fn allocate(&mut self) -> Result<SocketAddrV4> {
        let mut config = TurnConfig::new(TurnCredentials::new(USER, PASSWORD));
        config.set_request_retransmits(RETRANSMIT, RETRANSMIT * 4, 6, RETRANSMIT * 4);
        let (local, asked) = (SocketAddr::V4(self.local), SocketAddr::V4(self.asked));
        self.turn = Some(match self.wire {
            Wire::Udp(_) => TurnClientUdp::allocate(local, asked, config).into(),
            Wire::Tcp(_) => TurnClientTcp::allocate(local, asked, config).into(),
        });
        match self.event()? {
            TurnEvent::AllocationCreated(_, relayed) => v4(relayed),
            other => bail!("{} asks {}: {other:?}", self.local, self.asked),
        }
    }

    /// Lets a peer send to the relayed address.
    pub fn permit(&mut self, peer: Ipv4Addr) -> Result<()> {
        let now = self.now();
        self.turn()?
            .create_permission(TransportType::Udp, IpAddr::V4(peer), now)?;
        match self.event()? {
            TurnEvent::PermissionCreated(..) => Ok(()),
            other => bail!("{} asks {}: {other:?}", self.local, self.asked),
        }
    }

    /// Sends media to a peer by way of the relayed address.
    pub fn relay(&mut self, to: SocketAddrV4, media: &[u8]) -> Result<()> {
        let now = self.now();
        let message = self
            .turn()?
            .send_to(TransportType::Udp, SocketAddr::V4(to), media, now)?
            .context("nothing to send")?;
        self.send(&message.build().data)
    }

    /// Takes what a peer has sent to the relayed address; says which peer.
    pub fn relayed(&mut self) -> Result<(SocketAddrV4, Vec<u8>)> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(media) = self.media.pop_front() {
                return Ok(media);
            }
            self.step()?;
        }
        bail!("{} asks {}: no media", self.local, self.asked);
    }

    fn event(&mut self) -> Result<TurnEvent> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            self.step()?;
            if let Some(event) = self.turn()?.poll_event() {
                return Ok(event);
            }
        }
        bail!("{} asks {}: no answer", self.local, self.asked);
    }

    /// Sends what is due, and takes what has come.
    fn step(&mut self) -> Result<()> {
        let now = self.now();
        if let TurnPollRet::Closed = self.turn()?.poll(now) {
            bail!("{} asks {}: closed", self.local, self.asked);
        }
        while let Some(message) = self.turn()?.poll_transmit(now) {
            self.send(&message.data)?;
        }
        let received = self.receive()?;
        if received.is_empty() {
            return Ok(());
        }
        let (transport, local, asked) = (self.transport(), self.local, self.asked);
        let from_wire = Transmit::new(received, transport, asked.into(), local.into());
        let now = self.now();
        let turn = self.turn()?;
        let mut media = Vec::new();
        if let TurnRecvRet::PeerData(data) = turn.recv(from_wire, now) {
            media.push((v4(data.peer)?, data.data().to_vec()));
        }
        while let Some(data) = turn.poll_recv(now) {
            media.push((v4(data.peer)?, data.data().to_vec()));
        }
        self.media.extend(media);
        Ok(())
    }

    /// TCP or UDP.
    pub const fn protocol(&self) -> Protocol {
        match self.wire {
            Wire::Udp(_) => Protocol::Udp,
            Wire::Tcp(_) => Protocol::Tcp,
        }
    }

    fn turn(&mut self) -> Result<&mut TurnClient> {
        self.turn.as_mut().context("nothing is allocated")
    }

    fn now(&self) -> ProtocolTime {
        ProtocolTime::from_std(self.begun)
    }

    const fn transport(&self) -> TransportType {
        match self.wire {
            Wire::Udp(_) => TransportType::Udp,
            Wire::Tcp(_) => TransportType::Tcp,
        }
    }

    fn send(&mut self, message: &[u8]) -> Result<()> {
        match &mut self.wire {
            Wire::Udp(socket) => {
                socket.send_to(message, self.asked)?;
            }
            Wire::Tcp(stream) => stream.write_all(message)?,
        }
        Ok(())
    }

    /// What has come within a moment; nothing when nothing has.
    ///
    /// # Errors
    ///
    /// When someone else answers than who was asked (H3, H4).
    fn receive(&mut self) -> Result<Vec<u8>> {
        let mut buffer = [0; 2048];
        let received = match &mut self.wire {
            Wire::Udp(socket) => socket.recv_from(&mut buffer).map(|(length, from)| {
                let expected = from == SocketAddr::V4(self.asked);
                (length, (!expected).then_some(from))
            }),
            Wire::Tcp(stream) => stream.read(&mut buffer).map(|length| (length, None)),
        };
        match received {
            Ok((_, Some(other))) => {
                bail!("{} asks {}: {other} answers", self.local, self.asked)
            }
            Ok((0, None)) => bail!("{} asks {}: closed", self.local, self.asked),
            Ok((length, None)) => Ok(buffer[..length].to_vec()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(Vec::new())
            }
            Err(error) => Err(error).with_context(|| format!("{} asks {}", self.local, self.asked)),
        }
    }
}

/// The address, as everything here is IPv4.
pub fn v4(address: SocketAddr) -> Result<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(_) => bail!("{address} where IPv4 was asked for"),
    }
}
