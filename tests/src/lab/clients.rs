//! TLS clients: from an address of one's choice, to a VIP.

use std::{
    io::{self, BufReader, ErrorKind},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use ring::digest::{Context as Hash, Digest, SHA256};
use rustls::{
    ClientConfig, ClientConnection, StreamOwned,
    pki_types::{CertificateDer, ServerName},
};
use serde::Deserialize;
use socket2::{Domain, Socket, Type};

use super::{
    http,
    namespace::Namespace,
    nginx::{DOWNLOAD, WHO},
};

/// How long anything on the network may take before a client gives up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Clients that connect at the same time.
const CONCURRENT: usize = 16;

/// What a node says of itself and of who asked.
#[derive(Clone, Debug, Deserialize)]
pub struct Who {
    /// Name of the node.
    pub node: String,
    /// The address of the node that was asked, as the node sees it.
    pub address: SocketAddrV4,
    /// Who asked, as the node sees it.
    pub saw: SocketAddrV4,
}

/// A TLS connection that stays open until it is dropped.
pub struct Connection {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
    /// The client's end.
    pub client: SocketAddrV4,
    /// What was asked.
    pub asked: SocketAddrV4,
}

impl Connection {
    /// Connects from an address of the namespace that the calling thread is in. The certificate must
    /// be good for the address that is asked.
    pub fn open(from: Ipv4Addr, to: SocketAddrV4, tls: &Arc<ClientConfig>) -> Result<Self> {
        Self::open_from(SocketAddrV4::new(from, 0), to, tls)
    }

    /// The same, from a port of one's choice.
    pub fn open_from(
        from: SocketAddrV4,
        to: SocketAddrV4,
        tls: &Arc<ClientConfig>,
    ) -> Result<Self> {
        let tcp = connect(from, to, PATIENCE)?;
        let SocketAddr::V4(client) = tcp.local_addr()? else {
            unreachable!("an IPv4 socket has an IPv4 address");
        };
        let name = ServerName::from(std::net::IpAddr::V4(*to.ip()));
        let session = ClientConnection::new(Arc::clone(tls), name)?;
        Ok(Self {
            stream: BufReader::new(StreamOwned::new(session, tcp)),
            client,
            asked: to,
        })
    }

    /// Asks who answers.
    pub fn who(&mut self) -> Result<Who> {
        let mut body = Vec::new();
        self.get(WHO, |piece| body.extend_from_slice(piece))?;
        Ok(serde_json::from_slice(&body)?)
    }

    /// Downloads: the number of bytes and their hash.
    pub fn download(&mut self) -> Result<(usize, Digest)> {
        let mut hash = Hash::new(&SHA256);
        let mut length = 0;
        self.get(DOWNLOAD, |piece| {
            hash.update(piece);
            length += piece.len();
        })?;
        Ok((length, hash.finish()))
    }

    /// The certificate that the other end has shown, once it has been talked to.
    pub fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.stream.get_ref().conn.peer_certificates()?.first()
    }

    fn get(&mut self, path: &str, body: impl FnMut(&[u8])) -> Result<()> {
        let context = || format!("{} asks {}{path}", self.client, self.asked);
        http::ask(self.stream.get_mut(), path).with_context(context)?;
        http::answer(&mut self.stream, body).with_context(context)
    }
}

/// Whether a connection has ended by a RST. One that comes before a question meets the first write of it,
/// which rustls keeps to itself; the next write then says "broken pipe".
pub fn was_reset(error: &anyhow::Error) -> bool {
    let reset = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
    error.chain().any(|cause| {
        let cause = cause.downcast_ref::<io::Error>();
        cause.is_some_and(|error| reset.contains(&error.kind()))
    })
}

/// Connects from an address of the namespace that the calling thread is in.
pub fn connect(from: SocketAddrV4, to: SocketAddrV4, patience: Duration) -> Result<TcpStream> {
    let open = || -> Result<TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::V4(from).into())?;
        socket.connect_timeout(&SocketAddr::V4(to).into(), patience)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(socket.into())
    };
    open().with_context(|| format!("{from} to {to}"))
}

/// Asks in clear text who answers.
pub fn who_over_http(from: SocketAddrV4, to: SocketAddrV4) -> Result<Who> {
    let mut stream = BufReader::new(connect(from, to, PATIENCE)?);
    let mut body = Vec::new();
    http::ask(stream.get_mut(), WHO)?;
    http::answer(&mut stream, |piece| body.extend_from_slice(piece))?;
    Ok(serde_json::from_slice(&body)?)
}

/// What one client is to do.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// The client's address.
    pub from: Ipv4Addr,
    /// What it asks.
    pub to: SocketAddrV4,
}

/// A connection and what came back on it.
pub struct Answered {
    /// Still open.
    pub connection: Connection,
    /// What the node says.
    pub who: Who,
}

/// Asks all questions from one namespace, several at a time and no faster than one each `pace`, and
/// keeps all connections open. The answers come in the order of the questions.
pub fn ask_all(
    namespace: &Namespace,
    tls: &Arc<ClientConfig>,
    questions: &[Question],
    pace: Duration,
) -> Result<Vec<Result<Answered>>> {
    at_once(namespace, questions.len(), pace, |number| {
        ask(&questions[number], tls)
    })
}

/// Does a number of things from one namespace, several at a time and no faster than one each `pace`. What
/// comes of them has the order of their numbers.
pub fn at_once<T: Send>(
    namespace: &Namespace,
    count: usize,
    pace: Duration,
    act: impl Fn(usize) -> T + Sync,
) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let answers = Mutex::new(Vec::with_capacity(count));
    let begun = Instant::now();
    let work = || {
        namespace.enter(|| {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return;
                }
                let due = pace * u32::try_from(number).unwrap_or(u32::MAX);
                thread::sleep(due.saturating_sub(begun.elapsed()));
                let answer = act(number);
                answers
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push((number, answer));
            }
        })
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..CONCURRENT).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })?;
    let mut answers = answers.into_inner().unwrap_or_else(PoisonError::into_inner);
    ensure!(
        answers.len() == count,
        "{} of {count} clients came back",
        answers.len()
    );
    answers.sort_unstable_by_key(|(number, _)| *number);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}

fn ask(question: &Question, tls: &Arc<ClientConfig>) -> Result<Answered> {
    let mut connection = Connection::open(question.from, question.to, tls)?;
    let who = connection.who()?;
    Ok(Answered { connection, who })
}
