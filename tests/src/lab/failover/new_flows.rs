//! New flows that wait for nobody, and which node they go to: a node that is cut off answers none of them, so
//! that their clients cannot tell.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::libc;
use socket2::{Domain, Socket, Type};

use super::load::{ACCESS, Shared, lock};
use crate::lab::{edgelb::Instance, plan::Side};

/// Time between two new flows.
const PACE: Duration = Duration::from_millis(10);
/// Flows whose sockets are kept: none is closed before its node could have answered.
const KEPT: usize = 50;
/// Time between two looks at edgelb's counters.
pub const LOOK: Duration = Duration::from_millis(50);

/// Asks for one connection after the other and waits for none.
pub fn open(load: &Shared, client: u8) -> Result<()> {
    let from = SocketAddr::from((Side::External.asker_address(client), 0));
    let mut kept = VecDeque::new();
    while load.runs() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&from.into())?;
        match socket.connect(&ACCESS.into()) {
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            other => other.context("a connection at once")?,
        }
        kept.push_back(socket);
        if kept.len() > KEPT {
            kept.pop_front();
        }
        thread::sleep(PACE);
    }
    Ok(())
}

/// Notes when edgelb has sent a node its last new flow, by edgelb's own count.
pub fn watch(load: &Shared, edgelb: &Instance) {
    let mut known = BTreeMap::new();
    while load.runs() {
        let now = Instant::now();
        // An edgelb that is killed does not answer.
        if let Ok(status) = edgelb.status() {
            let mut opened = BTreeMap::<String, u64>::new();
            for node in status
                .services
                .into_iter()
                .flat_map(|service| service.nodes)
            {
                *opened.entry(node.name).or_default() += node.opened;
            }
            let more = opened
                .iter()
                .filter(|(node, count)| known.get(*node).is_some_and(|known| known < *count));
            lock(&load.noticed)
                .last
                .extend(more.map(|(node, _)| (node.clone(), now)));
            known = opened;
        }
        thread::sleep(LOOK);
    }
}
