//! The one owner of the data path: every change of the maps goes through here.

mod sweep;

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use lb_common::{interface::Interface, net::Zone, next_hop::Neighbour};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::MissedTickBehavior,
};
use tracing::{info, warn};

use crate::{
    addresses::{self, AssignedVip},
    api::{Asked, ControlSocket, Question},
    contents::{self, Contents},
    datapath::{self, Attached, Datapath, Events, Mode, Sizes},
    neighbours::Neighbours,
    network::{self, Link, Network, NetworkEvent, NetworkEvents},
    plan::Plan,
    view,
};

/// How often idle flows are looked for. A walk over a large table takes longer than this: then the
/// pause grows with it ([`WALK_SHARE`]).
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// The walk takes at most one part in this many of one core.
const WALK_SHARE: u32 = 20;

/// The program on one interface.
pub struct AttachedInterface {
    /// The interface.
    pub link: Link,
    /// Its zone.
    pub zone: Zone,
    /// The attachment.
    pub attached: Attached,
}

/// Everything that edgelb holds while it runs.
pub struct Controller {
    pub(crate) plan: Plan,
    pub(crate) datapath: Datapath,
    pub(crate) interfaces: Vec<AttachedInterface>,
    pub(crate) vips: Vec<AssignedVip>,
    pub(crate) started: Instant,
    neighbours: Neighbours,
    network: Network,
    network_events: NetworkEvents,
    events: Events,
    questions: mpsc::Receiver<Asked>,
    server: tokio::task::JoinHandle<()>,
    pin_dir: PathBuf,
    next_port_audit: Instant,
}

impl Controller {
    /// Brings everything up, the maps before the program: from its first packet on it finds everything
    /// in place.
    pub async fn start(plan: Plan, control_socket: &Path, pin_dir: &Path) -> Result<Self> {
        let contents =
            Contents::of(&plan).context("the configuration does not fit into the maps")?;
        let socket = ControlSocket::bind(control_socket)?;
        let (network, network_events) = Network::connect()?;
        let mut links = Vec::new();
        for interface in &plan.interfaces {
            let link = network.link(&interface.name).await?;
            // Before anything is touched: it may be a second edgelb with the same pins and addresses.
            if link.has_program {
                return Err(datapath::Error::Busy(link.name).into());
            }
            links.push(link);
        }
        let sizes = Sizes {
            flows: plan.limits.max_flows,
            half_open: plan.limits.max_half_open,
        };
        let mut datapath = Datapath::load(sizes, Some(pin_dir))?;
        for change in contents::difference(&Contents::default(), &contents) {
            datapath.apply(&change)?;
        }
        network::enable_routing_look_ups()?;
        let events = datapath.take_events()?;
        let (sender, questions) = mpsc::channel(16);
        let mut controller = Self {
            neighbours: Neighbours::new(network.clone(), &links),
            interfaces: Vec::new(),
            started: Instant::now(),
            server: tokio::spawn(socket.serve(sender)),
            pin_dir: pin_dir.to_owned(),
            next_port_audit: Instant::now() + sweep::PORT_AUDIT_INTERVAL,
            plan,
            datapath,
            vips: Vec::new(),
            network,
            network_events,
            events,
            questions,
        };
        // From here on a failure must take off again what is there.
        match controller.bring_up(links).await {
            Ok(()) => Ok(controller),
            Err(error) => {
                controller.stop().await;
                Err(error)
            }
        }
    }

    /// First the program, then the addresses: where another edgelb has the interface, its addresses
    /// must not be touched.
    async fn bring_up(&mut self, links: Vec<Link>) -> Result<()> {
        self.resolve_first(&links).await?;
        self.attach(&links)?;
        self.vips = addresses::assign(&self.plan, &links, &self.network).await?;
        Ok(())
    }

    /// The address that ICMP errors to one side come from: the interface's own, or a VIP of the side.
    fn address_of(&self, link: &Link, zone: Zone) -> Ipv4Addr {
        let vips = || self.plan.vips.iter().filter(|vip| vip.zone == zone);
        let own = link.addresses.iter().copied();
        own.filter(|address| vips().all(|vip| vip.address != *address))
            .chain(vips().map(|vip| vip.address))
            .next()
            .unwrap_or(Ipv4Addr::UNSPECIFIED)
    }

    fn attach(&mut self, links: &[Link]) -> Result<()> {
        for (link, planned) in links.iter().zip(&self.plan.interfaces) {
            self.datapath.set_interface(
                &link.name,
                &Interface {
                    index: link.index,
                    mac: link.mac,
                    zone: planned.zone as u8,
                    reserved: 0,
                    address: self.address_of(link, planned.zone).into(),
                },
            )?;
            let attached = self.datapath.attach(&link.name, link.index)?;
            report_attachment(link, &attached);
            self.interfaces.push(AttachedInterface {
                link: link.clone(),
                zone: planned.zone,
                attached,
            });
        }
        Ok(())
    }

    /// Has the kernel find the nodes and gateways before the first client needs them.
    async fn resolve_first(&mut self, links: &[Link]) -> Result<()> {
        let indexes: Vec<u32> = links.iter().map(|link| link.index).collect();
        let mut wanted: Vec<Neighbour> = self.network.gateways(&indexes).await?;
        let mut nodes: Vec<Ipv4Addr> = self
            .plan
            .services
            .iter()
            .flat_map(|service| service.nodes.iter().map(|node| *node.address.ip()))
            .collect();
        nodes.sort_unstable();
        nodes.dedup();
        for node in nodes {
            if let Some(neighbour) = self.network.next_hop(node).await {
                wanted.push(neighbour);
            } else {
                warn!("node address {node}: this machine has no route to it");
            }
        }
        for neighbour in wanted {
            self.neighbours.keep(neighbour).await;
        }
        Ok(())
    }

    /// Runs until SIGTERM or SIGINT, then takes everything off the machine.
    pub async fn run(mut self) -> Result<()> {
        info!(
            "balancing {} services of pool {}",
            self.plan.services.len(),
            self.plan.pool
        );
        let outcome = self.serve().await;
        self.stop().await;
        outcome
    }

    async fn serve(&mut self) -> Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = terminate.recv() => { info!("stopping: SIGTERM"); return Ok(()); }
                _ = interrupt.recv() => { info!("stopping: SIGINT"); return Ok(()); }
                _ = sweep.tick() => {
                    let start = Instant::now();
                    outlive(self.sweep());
                    sweep.reset_after(SWEEP_INTERVAL.max(start.elapsed() * WALK_SHARE));
                }
                Some(asked) = self.questions.recv() => self.answer(asked),
                Some(event) = self.network_events.next() => outlive(self.follow(event)),
                events = self.events.next() => {
                    for event in events? {
                        self.neighbours.keep(event.neighbour).await;
                        let caught_up =
                            self.neighbours.catch_up(&mut self.datapath, event.neighbour).await;
                        outlive(caught_up);
                    }
                }
            }
        }
    }

    fn follow(&mut self, event: NetworkEvent) -> datapath::Result<()> {
        match event {
            NetworkEvent::Neighbour(report) => self.neighbours.follow(&mut self.datapath, &report),
            NetworkEvent::Routes => self.datapath.raise_route_generation(),
        }
    }

    fn answer(&self, asked: Asked) {
        let answer = match asked.question {
            Question::Status => {
                view::status(self).and_then(|status| Ok(serde_json::to_value(status)?))
            }
            Question::Flows => view::flows(self).and_then(|flows| Ok(serde_json::to_value(flows)?)),
        };
        // Whoever asked may be gone.
        let _ = asked.answer.send(answer);
    }

    /// Takes everything off the machine again.
    async fn stop(mut self) {
        // First the program: no packet may find half of what it needs.
        self.interfaces.clear();
        addresses::release(&self.vips, &self.network).await;
        self.neighbours.release().await;
        if let Err(error) = datapath::unpin(&self.pin_dir) {
            warn!("{}: {error}", self.pin_dir.display());
        }
        // Dropping the task drops the socket, which removes its file.
        self.server.abort();
        let _ = self.server.await;
        info!("stopped");
    }
}

/// Tells of an error that the daemon outlives: packets go on being forwarded, and the next round does
/// what this one could not.
fn outlive<E: std::fmt::Display>(outcome: std::result::Result<(), E>) {
    if let Err(error) = outcome {
        warn!("{error:#}");
    }
}

fn report_attachment(link: &Link, attached: &Attached) {
    match attached.mode {
        Mode::Native => info!("interface {}: XDP attached, native", link.name),
        Mode::Generic => warn!(
            "interface {}: XDP attached in generic mode, because the driver has none of its own: every packet costs several times as much CPU; a NIC whose driver has native XDP avoids it",
            link.name
        ),
    }
    if network::has_strict_source_check(&link.name) {
        warn!(
            "interface {}: net.ipv4.conf.{}.rp_filter is 1 (strict): answers to this machine that come in by another interface are dropped; set it to 2 (loose)",
            link.name, link.name
        );
    }
}
