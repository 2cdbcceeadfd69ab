//! Opening flows, by the packets that open them.

use std::{collections::HashMap, net::SocketAddrV4, ops::Range};

use anyhow::{Context as _, Result};
use lb_common::{
    flow::{Direction, FlowCell, FlowKey},
    net::socket_address,
    upkeep::EndedFlow,
};
use lb_daemon::datapath::Stage;

use super::{
    bed::{Bed, Expected, Path},
    pool,
    programs::Template,
    traffic::{Flow, Says, addresses, frame},
};
use crate::runner::Port;

/// Forwarded to the node.
pub const TO_NODE: Expected = Expected::Forwarded(Direction::TO_NODE);
/// Forwarded to the client.
pub const TO_CLIENT: Expected = Expected::Forwarded(Direction::TO_CLIENT);

/// Takes packets as if they came in by its interfaces.
pub trait Balancer {
    /// Takes one: what it becomes.
    fn send(&mut self, at: Port, frame: &Template) -> Result<Template>;

    /// Takes many, of each of which the same must become.
    fn send_all(&mut self, at: Port, frames: Vec<Template>, expected: Expected) -> Result<()>;
}

impl Balancer for Bed {
    fn send(&mut self, at: Port, frame: &Template) -> Result<Template> {
        Self::send(self, at, frame)
    }

    fn send_all(&mut self, at: Port, frames: Vec<Template>, expected: Expected) -> Result<()> {
        once(self, at, frames, expected).map(|_| ())
    }
}

/// What clients say to open a flow, and what nodes answer.
pub struct Opening {
    /// The first packet.
    pub first: Says,
    /// The node's answer.
    pub answer: Says,
    /// The packet that confirms the flow.
    pub confirmation: Says,
    /// Whom the client with a number asks.
    pub vip: fn(usize) -> SocketAddrV4,
}

/// A TCP connection to one of the services behind source NAT.
pub const TCP: Opening = Opening {
    first: Says::Syn,
    answer: Says::SynAck,
    confirmation: Says::Ack,
    vip: |number| pool::SNAT[number % pool::SNAT.len()],
};

/// UDP to the service without source NAT.
pub const UDP: Opening = Opening {
    first: Says::Datagram,
    answer: Says::Datagram,
    confirmation: Says::Datagram,
    vip: |_| pool::DNAT,
};

impl Opening {
    /// The first packet of the client with a number.
    pub fn of(&self, number: usize) -> Template {
        frame(
            Port::Ext0,
            pool::client(number),
            (self.vip)(number),
            self.first,
        )
    }

    /// The second packet of a flow.
    pub fn answer_in(&self, flow: &Flow) -> Template {
        to_client(flow, self.answer)
    }

    /// The third packet of a flow.
    pub fn confirmation_in(&self, flow: &Flow) -> Template {
        to_node(flow, self.confirmation)
    }

    /// Opens and confirms the flows of so many clients, a batch at a time: there must be room for one that
    /// is half-open.
    pub fn fill(
        &self,
        balancer: &mut impl Balancer,
        clients: usize,
        batch: usize,
    ) -> Result<Vec<Flow>> {
        let mut flows = Vec::with_capacity(clients);
        while flows.len() < clients {
            let numbers = flows.len()..clients.min(flows.len() + batch);
            let mut opened = Vec::with_capacity(batch);
            for number in numbers {
                let first = self.of(number);
                let sent = balancer.send(Port::Ext0, &first)?;
                let ((client, vip), (source, node)) = (addresses(&first), addresses(&sent));
                opened.push(Flow {
                    client,
                    vip,
                    source,
                    node,
                });
            }
            let answers = opened.iter().map(|flow| self.answer_in(flow));
            balancer.send_all(Port::Ext1, answers.collect(), TO_CLIENT)?;
            let confirmations = opened.iter().map(|flow| self.confirmation_in(flow));
            balancer.send_all(Port::Ext0, confirmations.collect(), TO_NODE)?;
            flows.extend(opened);
        }
        Ok(flows)
    }
}

/// Runs frames once, which then are forgotten. Returns the time of all (ns).
pub fn once(bed: &mut Bed, at: Port, frames: Vec<Template>, expected: Expected) -> Result<f64> {
    let templates = bed.keep(frames)?;
    let path = Path {
        name: "packets of new flows",
        at,
        templates,
        expected,
    };
    let took = bed.once(&path)?;
    bed.forget(&path.templates);
    Ok(took)
}

/// The flows of clients with these numbers that are not confirmed yet, in the order of the numbers, and
/// the keys of the clients' packets of all of them.
pub fn half_open(bed: &Bed, numbers: &[usize]) -> Result<(Vec<Flow>, Vec<FlowKey>)> {
    let mut found = HashMap::new();
    let mut keys = Vec::new();
    bed.kernel.datapath.walk_flows(|pair| {
        if Stage::of(pair) != Stage::HalfOpen {
            return;
        }
        let [FlowCell { key, entry }, _] = pair;
        keys.push(*key);
        let rewrite = &entry.rewrite;
        let flow = Flow {
            client: socket_address(key.source, key.source_port),
            vip: socket_address(key.destination, key.destination_port),
            source: socket_address(rewrite.source, rewrite.source_port),
            node: socket_address(rewrite.destination, rewrite.destination_port),
        };
        found.insert(flow.client, flow);
    })?;
    let flows = numbers.iter().map(|number| {
        let client = pool::client(*number);
        found
            .get(&client)
            .copied()
            .with_context(|| format!("the flow of {client} is gone"))
    });
    Ok((flows.collect::<Result<_>>()?, keys))
}

/// Removes flows again, by the keys of their clients' packets.
pub fn remove(bed: &mut Bed, keys: &[FlowKey]) -> Result<()> {
    let ended: Vec<EndedFlow> = keys
        .iter()
        .map(|key| EndedFlow {
            key: *key,
            last_seen: [0; 2],
            at_once: 1,
            reserved: 0,
        })
        .collect();
    bed.kernel.datapath.end(&ended)?;
    Ok(())
}

/// Numbers of clients that have no flow, in random order: a round has a batch of its own.
pub fn newcomers(flows: usize, round: usize, batch: usize) -> Vec<usize> {
    let first = flows + round * batch;
    shuffled((first..first + batch).collect())
}

/// In random order, the same in every run.
pub fn shuffled<T>(mut things: Vec<T>) -> Vec<T> {
    fastrand::Rng::with_seed(things.len() as u64).shuffle(&mut things);
    things
}

/// A frame of the client.
pub fn to_node(flow: &Flow, says: Says) -> Template {
    frame(Port::Ext0, flow.client, flow.vip, says)
}

/// A frame of the node.
pub fn to_client(flow: &Flow, says: Says) -> Template {
    frame(Port::Ext1, flow.node, flow.source, says)
}

/// A path through frames that are kept.
pub fn path(
    bed: &mut Bed,
    name: &'static str,
    at: Port,
    frames: impl IntoIterator<Item = Template>,
    expected: Expected,
) -> Result<Path> {
    let templates: Range<usize> = bed.keep(frames)?;
    Ok(Path {
        name,
        at,
        templates,
        expected,
    })
}
