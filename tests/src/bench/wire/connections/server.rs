//! The nodes: a server that answers one small request of each connection.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, Result, anyhow};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    runtime,
    sync::oneshot,
};

use super::client::MESSAGE;
use crate::lab::namespace::Namespace;

/// Where the nodes listen, all of them.
pub const PORT: u16 = 443;

/// A running server; it ends when this is dropped.
pub struct Server {
    served: Arc<AtomicU64>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts it, on a thread of its own.
    pub fn start(host: &Namespace) -> Result<Self> {
        let entrance = host.entrance()?;
        let served = Arc::new(AtomicU64::new(0));
        let (end, ended) = oneshot::channel();
        let (listens, listening) = std::sync::mpsc::channel();
        let counter = Arc::clone(&served);
        let thread = thread::spawn(move || {
            let listener = entrance.enter().and_then(|()| {
                let runtime = runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()?;
                let listener = runtime.block_on(async { listen() })?;
                Ok((runtime, listener))
            });
            match listener {
                Ok((runtime, listener)) => {
                    let _ = listens.send(Ok(()));
                    runtime.block_on(async {
                        tokio::select! {
                            () = accept(&listener, &counter) => {}
                            _ = ended => {}
                        }
                    });
                }
                Err(error) => {
                    let _ = listens.send(Err(error));
                }
            }
        });
        listening
            .recv()
            .map_err(|_| anyhow!("the server has panicked"))?
            .context("the nodes' server")?;
        Ok(Self {
            served,
            end: Some(end),
            thread: Some(thread),
        })
    }

    /// Requests that it has answered.
    pub fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listen() -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT).into())?;
    socket.listen(4096)
}

async fn accept(listener: &TcpListener, served: &Arc<AtomicU64>) {
    loop {
        // An error is that of a connection that is over already.
        if let Ok((stream, _)) = listener.accept().await {
            let served = Arc::clone(served);
            tokio::spawn(async move {
                // The client says what went wrong.
                let _ = serve(stream, &served).await;
            });
        }
    }
}

/// Answers, and stays until the client is gone.
async fn serve(mut stream: TcpStream, served: &AtomicU64) -> io::Result<()> {
    let mut message = [0; MESSAGE];
    stream.read_exact(&mut message).await?;
    served.fetch_add(1, Ordering::Relaxed);
    stream.write_all(&message).await?;
    let _ = stream.read(&mut message).await?;
    Ok(())
}
