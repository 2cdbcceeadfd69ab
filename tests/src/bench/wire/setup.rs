//! A contender in its place, with clients and nodes around it.

use std::{
    fs,
    net::SocketAddrV4,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    contender::{self, Contender},
    instruments::Instruments,
    plan, proxies,
    topology::{CLIENTS, Topology},
};
use crate::lab::{
    edgelb::{Edgelb, Instance},
    folder::Folder,
    plan::{Arrangement, vip},
    process::Process,
};

/// What is built around a contender.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// How it is placed.
    pub arrangement: Arrangement,
    /// Flows that it must have room for.
    pub flows: u64,
    /// Templates that the generator must have room for.
    pub templates: u32,
    /// Queues of each interface.
    pub cpus: usize,
    /// What is around it.
    pub ends: Ends,
}

/// What is at both ends of a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// Programs that send, count and answer frames.
    Instruments,
    /// Hosts with sockets. Where XDP sends frames to them, a program hands these to their kernels; nobody
    /// else has any XDP on the way.
    Hosts,
}

/// A daemon that stands still; it goes on when this is dropped.
pub struct Paused(Pid);

impl Drop for Paused {
    fn drop(&mut self) {
        // It may have been ended meanwhile.
        let _ = kill(self.0, Signal::SIGCONT);
    }
}

/// A contender in its place; everything goes when this is dropped.
pub struct Wire {
    // The order is that in which they go.
    /// The program, where it is edgelb.
    pub edgelb: Option<Edgelb>,
    _proxy: Option<Process>,
    /// The programs at both ends.
    pub instruments: Instruments,
    /// The hosts.
    pub topology: Topology,
    /// Whose place it is.
    pub contender: Contender,
    /// Kernel index of the clients' interface.
    pub outlet: u32,
}

impl Drop for Wire {
    fn drop(&mut self) {
        // Or the next one would find its pins, and go on with its flows.
        if let Some(edgelb) = &mut self.edgelb
            && let Err(error) = edgelb.end(&self.topology.balancer)
        {
            eprintln!("edgelb: {error:#}");
        }
    }
}

impl Wire {
    /// Builds it.
    pub fn build(contender: Contender, order: Order, folder: &Folder) -> Result<Self> {
        static WIRES: AtomicU32 = AtomicU32::new(0);
        let Order {
            arrangement, cpus, ..
        } = order;
        let number = WIRES.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}{number}", contender.word());
        let topology = Topology::build(folder, &name, arrangement, cpus)
            .with_context(|| format!("cannot build the wire of {contender}"))?;
        let mut instruments = Instruments::load(order.templates)?;
        if order.ends == Ends::Instruments || contender == Contender::Edgelb {
            topology.equip(&mut instruments)?;
        }
        let (mut edgelb, mut proxy) = (None, None);
        match contender {
            Contender::Bare => contender::forward_bare(&topology, &mut instruments)?,
            Contender::Edgelb => {
                let config = plan::config(arrangement, order.flows);
                let instance = Instance::create(folder, &name, &config)?;
                edgelb = Some(Edgelb::start(instance, &topology.balancer)?);
            }
            Contender::Routing => {
                contender::route(&topology, order.ends)?;
                // The nodes' gateway is one of them.
                contender::hold_vips(&topology.balancer)?;
            }
            Contender::Nftables => {
                contender::route(&topology, order.ends)?;
                contender::translate_by_nftables(&topology)?;
            }
            Contender::Haproxy => proxy = Some(proxies::start_haproxy(&topology, folder)?),
            Contender::Nginx => proxy = Some(proxies::start_nginx(&topology, folder)?),
        }
        let outlet = topology
            .clients
            .enter(|| nix::net::if_::if_nametoindex(CLIENTS))??;
        Ok(Self {
            edgelb,
            _proxy: proxy,
            instruments,
            topology,
            contender,
            outlet,
        })
    }

    /// Whom the client of a flow asks: a VIP, or the node itself where nobody translates.
    pub fn server(&self, flow: u64) -> SocketAddrV4 {
        let service = plan::service(flow);
        if self.contender.has_vips() {
            return service;
        }
        let node = (flow % u64::from(plan::NODES)) as u32;
        SocketAddrV4::new(plan::node(node, vip::ACCESS), service.port())
    }

    /// Flows that the contender has by its own account.
    pub fn flows_held(&self) -> Result<u64> {
        match self.contender {
            Contender::Edgelb => Ok(self.edgelb()?.instance.status()?.flow_table.used),
            Contender::Nftables => {
                let path = "/proc/sys/net/netfilter/nf_conntrack_count";
                let count = self
                    .topology
                    .balancer
                    .enter(|| fs::read_to_string(path))??;
                Ok(count.trim().parse()?)
            }
            Contender::Bare | Contender::Routing | Contender::Haproxy | Contender::Nginx => Ok(0),
        }
    }

    /// The running edgelb.
    pub fn edgelb(&self) -> Result<&Edgelb> {
        self.edgelb.as_ref().context("there is no edgelb here")
    }

    /// Packets that edgelb has sent on, where it is here.
    pub fn forwarded(&self) -> Result<Option<u64>> {
        let Some(edgelb) = &self.edgelb else {
            return Ok(None);
        };
        let packets = edgelb.instance.status()?.packets;
        Ok(Some(packets.forwarded + packets.routed))
    }

    /// Has edgelb's daemon stand still: whoever else is measured shall not have its sweeps beside it.
    pub fn pause(&self) -> Result<Paused> {
        let edgelb = self.edgelb()?;
        edgelb.signal(Signal::SIGSTOP)?;
        Ok(Paused(Pid::from_raw(edgelb.number().cast_signed())))
    }

    /// Waits until a contender has as many flows as it should, by its own account.
    pub fn expect_flows(&self, flows: u64) -> Result<()> {
        let mut held = 0;
        for _ in 0..900 {
            held = self.flows_held()?;
            if held >= flows {
                return Ok(());
            }
            // edgelb counts in rounds; one over a million flows takes its time.
            thread::sleep(Duration::from_millis(100));
        }
        ensure!(
            held >= flows,
            "{} has {held} flows where {flows} were opened",
            self.contender
        );
        Ok(())
    }
}
