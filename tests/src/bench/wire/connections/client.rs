//! The clients: many addresses, and a short connection from each.

use std::{
    cell::RefCell,
    io,
    net::{SocketAddr, SocketAddrV4},
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use hdrhistogram::Histogram;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpSocket,
    runtime,
    task::LocalSet,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::server;
use crate::bench::wire::{plan, setup::Wire};

/// Bytes of a request, and of its answer.
pub const MESSAGE: usize = 64;

/// After this time a request has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest time that is told from longer ones (ns).
const LONGEST: u64 = 10_000_000_000;

/// How connections are made.
#[derive(Clone, Copy, Debug)]
pub enum Load {
    /// So many at a time, one after the other.
    Closed(usize),
    /// So many in a second, whatever became of those before.
    Paced(u32),
}

/// What came of them.
pub struct Outcome {
    /// From connect to the last byte of the answer (ns), of those that were answered.
    pub latencies: Histogram<u64>,
    /// Those that were not.
    pub failed: u64,
    /// What one of these said.
    pub first_error: Option<String>,
    /// How long it took.
    pub elapsed: Duration,
}

/// Who connects next, and what came of those before.
struct State {
    server: SocketAddrV4,
    next: u64,
    latencies: Histogram<u64>,
    failed: u64,
    first_error: Option<String>,
}

type Shared = Rc<RefCell<State>>;

/// Makes connections through a balancer for some time; each client address is the next that was not used
/// for the longest time.
pub fn run(wire: &Wire, load: Load, time: Duration, next_client: &mut u64) -> Result<Outcome> {
    let server = SocketAddrV4::new(*wire.server(0).ip(), server::PORT);
    let first = *next_client;
    let (outcome, next) = wire
        .topology
        .clients
        .enter(move || drive(server, load, time, first))??;
    *next_client = next;
    Ok(outcome)
}

fn drive(server: SocketAddrV4, load: Load, time: Duration, first: u64) -> Result<(Outcome, u64)> {
    let shared = Rc::new(RefCell::new(State {
        server,
        next: first,
        latencies: Histogram::new_with_max(LONGEST, 3)?,
        failed: 0,
        first_error: None,
    }));
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let tasks = LocalSet::new();
    let begun = Instant::now();
    tasks.block_on(&runtime, make(Rc::clone(&shared), load, begun + time));
    let elapsed = begun.elapsed();
    drop(tasks);
    let state = Rc::into_inner(shared)
        .ok_or_else(|| anyhow!("a connection outlives its client"))?
        .into_inner();
    let outcome = Outcome {
        latencies: state.latencies,
        failed: state.failed,
        first_error: state.first_error,
        elapsed,
    };
    Ok((outcome, state.next))
}

async fn make(shared: Shared, load: Load, end: Instant) {
    match load {
        Load::Closed(count) => {
            let workers: Vec<_> = (0..count)
                .map(|_| {
                    let shared = Rc::clone(&shared);
                    tokio::task::spawn_local(async move {
                        while Instant::now() < end {
                            connection(&shared).await;
                        }
                    })
                })
                .collect();
            for worker in workers {
                let _ = worker.await;
            }
        }
        Load::Paced(rate) => {
            let mut ticks = interval(Duration::from_secs(1) / rate);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            while Instant::now() < end {
                ticks.tick().await;
                let shared = Rc::clone(&shared);
                tokio::task::spawn_local(async move { connection(&shared).await });
            }
            while Rc::strong_count(&shared) > 2 {
                sleep(Duration::from_millis(1)).await;
            }
        }
    }
}

/// One connection, and what came of it.
async fn connection(shared: &Shared) {
    let (server, client) = {
        let mut state = shared.borrow_mut();
        state.next += 1;
        (state.server, *plan::client(state.next).ip())
    };
    let begun = Instant::now();
    let outcome = timeout(PATIENCE, ask(SocketAddrV4::new(client, 0).into(), server)).await;
    let latency = begun.elapsed();
    let mut state = shared.borrow_mut();
    match outcome.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(()) => state
            .latencies
            .saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX)),
        Err(error) => {
            state.failed += 1;
            state.first_error.get_or_insert_with(|| error.to_string());
        }
    }
}

async fn ask(client: SocketAddr, server: SocketAddrV4) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(client)?;
    let mut stream = socket.connect(server.into()).await?;
    // It ends with a RST: nothing is left of it at either end.
    stream.set_zero_linger()?;
    let request = [0x5a; MESSAGE];
    stream.write_all(&request).await?;
    let mut answer = [0; MESSAGE];
    stream.read_exact(&mut answer).await?;
    if answer == request {
        Ok(())
    } else {
        Err(io::Error::other("another answer than the request"))
    }
}
