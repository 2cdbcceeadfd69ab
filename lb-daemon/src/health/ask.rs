//! One check: a question to a node over a socket, and what came back.

use std::{net::SocketAddr, time::Duration};

use lb_common::net::Protocol;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    time::{Instant, timeout, timeout_at},
};

use super::{
    departure::{Ports, Ways, associate, connect},
    failure::Failure,
    message::{Judgement, http, ms_turn, pseudo_tls, sip, stun, tls},
    target::Target,
    tls::Client,
};
use crate::config::{Check, Tls};

/// Longest answer that is read.
const LONGEST: usize = 65_536;

/// A TCP connection that has served its purpose and is to be closed.
pub struct Leftover(Option<TcpStream>);

/// Asks a node once. The answer counts before the connection is closed; to close it is left to the
/// caller.
pub async fn ask(
    target: &Target,
    client: Option<&Client>,
    ways: &Ways,
    ports: &mut Ports,
) -> (Result<(), Failure>, Leftover) {
    let deadline = Instant::now() + target.timeout;
    let limit = target.timeout;
    if target.protocol == Protocol::Udp {
        let asked = async {
            let socket = associate(target, ways, ports).await?;
            ask_by_datagram(target, &socket).await
        };
        let outcome = timeout_at(deadline, asked).await;
        let outcome = outcome.unwrap_or(Err(Failure::NoAnswer(limit)));
        return (outcome, Leftover(None));
    }
    let mut stream = match timeout_at(deadline, connect(target, ways, ports)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(failure)) => return (Err(failure), Leftover(None)),
        Err(_) => return (Err(Failure::NoConnection(limit)), Leftover(None)),
    };
    let asked = ask_by_stream(target, client, &mut stream);
    let outcome = timeout_at(deadline, asked).await;
    let outcome = outcome.unwrap_or(Err(Failure::NoAnswer(limit)));
    (outcome, Leftover(Some(stream)))
}

impl Leftover {
    /// Closes the connection as one does: FIN, and then whatever the node still has to say is heard.
    /// A socket that is closed with something unread would send a RST, and the node would log it.
    pub async fn close(self, limit: Duration) {
        let Some(mut stream) = self.0 else {
            return;
        };
        let farewell = async {
            let mut rest = [0; 4096];
            // The node may have closed first.
            let _ = stream.shutdown().await;
            while matches!(stream.read(&mut rest).await, Ok(1..)) {}
        };
        // Who does not close has had its time.
        let _ = timeout(limit, farewell).await;
    }
}

async fn ask_by_datagram(target: &Target, socket: &UdpSocket) -> Result<(), Failure> {
    type Judge = Box<dyn Fn(&[u8]) -> Judgement + Send>;
    let (request, judge): (Vec<u8>, Judge) = if target.check == Check::Stun {
        let (request, id) = stun::request();
        (request, Box::new(move |bytes| stun::judge(bytes, id)))
    } else {
        let id = rand::random();
        let request = ms_turn::request(&id);
        (request, Box::new(move |bytes| ms_turn::judge(bytes, &id)))
    };
    socket.send(&request).await.map_err(Failure::Connect)?;
    let mut answer = [0; 2048];
    let length = socket.recv(&mut answer).await.map_err(Failure::Connect)?;
    match judge(&answer[..length]) {
        Judgement::Good(_) => Ok(()),
        Judgement::Bad(what) => Err(Failure::Answer(what)),
        Judgement::Incomplete => Err(Failure::Answer("an answer that is cut off".to_owned())),
    }
}

async fn ask_by_stream(
    target: &Target,
    client: Option<&Client>,
    stream: &mut TcpStream,
) -> Result<(), Failure> {
    match (&target.check, client) {
        (Check::None | Check::Tcp, _) => Ok(()),
        (Check::Tls(tls), None) => say_hello(tls, stream).await,
        (Check::MsTurn, _) => ask_ms_turn(stream).await,
        (Check::Stun, _) => {
            let (request, id) = stun::request();
            let mut answer = Answer::new(stream);
            answer.to(&request, |bytes| stun::judge(bytes, id)).await?;
            Ok(())
        }
        (Check::Tls(_) | Check::Sip { .. } | Check::Http { .. }, Some(client)) => {
            let ends = ends(stream)?;
            let connected = client.connector.connect(client.name.clone(), &mut *stream);
            let mut tls = connected.await.map_err(Failure::Tls)?;
            let outcome = ask_in_text(target, ends, true, &mut tls).await;
            // Says close_notify.
            let _ = tls.shutdown().await;
            outcome
        }
        (Check::Sip { .. } | Check::Http { .. }, None) => {
            let ends = ends(stream)?;
            ask_in_text(target, ends, false, stream).await
        }
    }
}

/// Both ends of a connection: here, and at the node.
fn ends(stream: &TcpStream) -> Result<(SocketAddr, SocketAddr), Failure> {
    let ends = || Ok((stream.local_addr()?, stream.peer_addr()?));
    ends().map_err(Failure::Broken)
}

/// Begins a TLS handshake, and ends it where the node has begun, too.
async fn say_hello(tls: &Tls, stream: &mut TcpStream) -> Result<(), Failure> {
    let hello = tls::client_hello(&rand::random(), tls.server_name.as_deref());
    let mut answer = Answer::new(stream);
    let server_hello = answer.to(&hello, tls::judge).await?;
    // It has answered; whether it hears the farewell is its own affair.
    let close_notify = tls::close_notify(&server_hello);
    let _ = answer.stream.write_all(&close_notify).await;
    Ok(())
}

async fn ask_ms_turn(stream: &mut TcpStream) -> Result<(), Failure> {
    let id = rand::random();
    let mut answer = Answer::new(stream);
    let hello = pseudo_tls::client_hello(&rand::random());
    answer.to(&hello, pseudo_tls::judge).await?;
    let request = ms_turn::framed_request(&id);
    let judge = |bytes: &[u8]| ms_turn::judge_framed(bytes, &id);
    answer.to(&request, judge).await?;
    Ok(())
}

/// SIP or HTTP, over whatever carries them; nothing for TLS alone.
async fn ask_in_text(
    target: &Target,
    (from, to): (SocketAddr, SocketAddr),
    tls: bool,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> Result<(), Failure> {
    let mut answer = Answer::new(stream);
    match &target.check {
        Check::Sip { status, .. } => {
            let token = format!("{:016x}", rand::random::<u64>());
            let question = sip::Question {
                from,
                to,
                tls,
                token: &token,
            };
            let good = |code| is_good(code, status, 200..500);
            let judge = |bytes: &[u8]| question.judge(bytes, good);
            answer.to(&question.request(), judge).await?;
        }
        Check::Http {
            path, host, status, ..
        } => {
            let host = host.clone().unwrap_or_else(|| to.to_string());
            let good = |code| is_good(code, status, 200..400);
            let judge = |bytes: &[u8]| http::judge(bytes, good);
            answer.to(&http::request(&host, path), judge).await?;
        }
        _ => {}
    }
    Ok(())
}

fn is_good(code: u16, configured: &[u16], default: std::ops::Range<u16>) -> bool {
    if configured.is_empty() {
        default.contains(&code)
    } else {
        configured.contains(&code)
    }
}

/// What comes back on a stream.
struct Answer<'a, S> {
    stream: &'a mut S,
    bytes: Vec<u8>,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Answer<'a, S> {
    const fn new(stream: &'a mut S) -> Self {
        Self {
            stream,
            bytes: Vec::new(),
        }
    }

    /// Says something and hears the answer to it. What has come behind it stays for the next.
    async fn to(
        &mut self,
        request: &[u8],
        judge: impl Fn(&[u8]) -> Judgement,
    ) -> Result<Vec<u8>, Failure> {
        let said = async {
            self.stream.write_all(request).await?;
            self.stream.flush().await
        };
        said.await.map_err(Failure::Broken)?;
        while self.bytes.len() < LONGEST {
            match judge(&self.bytes) {
                Judgement::Good(end) => return Ok(self.bytes.drain(..end).collect()),
                Judgement::Bad(what) => return Err(Failure::Answer(what)),
                Judgement::Incomplete => {}
            }
            let read = self.stream.read_buf(&mut self.bytes).await;
            if read.map_err(Failure::Broken)? == 0 {
                return Err(Failure::Closed);
            }
        }
        Err(Failure::Answer("an answer without an end".to_owned()))
    }
}
