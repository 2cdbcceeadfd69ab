//! The one owner of the data path: every change of the maps goes through here.

mod health;
mod reload;
mod sweep;

use std::{
    net::Ipv4Addr,
    path::PathBuf,
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
    cli,
    contents::{self, Contents},
    datapath::{self, Attached, Datapath, Events, Mode, Sizes},
    health::{Change, Checks, Ways, target::targets},
    indexes::Indexes,
    neighbours::Neighbours,
    network::{self, Link, Network, NetworkEvent, NetworkEvents},
    plan::Plan,
    takers::Takers,
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
    pub(crate) indexes: Indexes,
    /// What the maps hold for the plan.
    contents: Contents,
    pub(crate) datapath: Datapath,
    pub(crate) interfaces: Vec<AttachedInterface>,
    pub(crate) vips: Vec<AssignedVip>,
    pub(crate) started: Instant,
    pub(crate) checks: Checks,
    pub(crate) takers: Takers,
    changes: mpsc::Receiver<Change>,
    neighbours: Neighbours,
    network: Network,
    network_events: NetworkEvents,
    events: Events,
    questions: mpsc::Receiver<Asked>,
    server: tokio::task::JoinHandle<()>,
    config: PathBuf,
    pin_dir: PathBuf,
    next_port_audit: Instant,
}

impl Controller {
    /// Brings everything up, the maps before the program: from its first packet on it finds everything
    /// in place.
    pub async fn start(plan: Plan, options: &cli::Run) -> Result<Self> {
        let mut indexes = Indexes::default();
        indexes
            .assign(&plan)
            .context("the configuration does not fit into the maps")?;
        let takers = Takers::default();
        let contents = Contents::with(&plan, &indexes, &takers);
        let socket = ControlSocket::bind(&options.control_socket)?;
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
        let mut datapath = Datapath::load(sizes, Some(&options.pin_dir))?;
        for change in contents::difference(&Contents::default(), &contents) {
            datapath.apply(&change)?;
        }
        network::enable_routing_look_ups()?;
        let events = datapath.take_events()?;
        let (sender, questions) = mpsc::channel(16);
        let (tell, changes) = mpsc::channel(64);
        let mut controller = Self {
            neighbours: Neighbours::new(network.clone(), &links),
            interfaces: Vec::new(),
            started: Instant::now(),
            checks: Checks::new(Ways::new(network.clone(), Vec::new()), tell),
            takers,
            changes,
            server: tokio::spawn(socket.serve(sender)),
            config: options.config.clone(),
            pin_dir: options.pin_dir.clone(),
            next_port_audit: Instant::now() + sweep::PORT_AUDIT_INTERVAL,
            plan,
            indexes,
            contents,
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
        let attached = self.attach_new(&self.plan.clone(), &links)?;
        self.interfaces.extend(attached);
        self.vips = addresses::assign(&self.plan, &links, &self.network).await?;
        // From the VIPs, so not before these are there.
        let checks = self.checks.prepare(targets(&self.plan))?;
        self.checks.ways().set_interfaces(self.own_interfaces());
        self.checks.set(checks);
        Ok(())
    }

    fn attach(&mut self, link: &Link, zone: Zone) -> datapath::Result<AttachedInterface> {
        self.datapath
            .set_interface(&link.name, &cell_of(link, zone))?;
        match self.datapath.attach(&link.name, link.index) {
            Ok(attached) => {
                report_attachment(link, &attached);
                Ok(AttachedInterface {
                    link: link.clone(),
                    zone,
                    attached,
                })
            }
            Err(error) => {
                self.datapath.clear_interface(link.index)?;
                Err(error)
            }
        }
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
        let mut hang_up = signal(SignalKind::hangup())?;
        let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = terminate.recv() => { info!("stopping: SIGTERM"); return Ok(()); }
                _ = interrupt.recv() => { info!("stopping: SIGINT"); return Ok(()); }
                _ = hang_up.recv() => {
                    if let Err(error) = self.reload().await {
                        warn!("not reloaded, everything is as it was: {error:#}");
                    }
                }
                _ = sweep.tick() => {
                    let start = Instant::now();
                    outlive(self.sweep());
                    sweep.reset_after(SWEEP_INTERVAL.max(start.elapsed() * WALK_SHARE));
                }
                Some(asked) = self.questions.recv() => self.answer(asked).await,
                Some(change) = self.changes.recv() => outlive(self.hear(&change)),
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

    async fn answer(&mut self, asked: Asked) {
        let answer = match asked.question {
            Question::Status => view::status(self).and_then(json),
            Question::Flows => view::flows(self).and_then(json),
            Question::Reload => match self.reload().await {
                Ok(told) => json(told),
                Err(error) => {
                    warn!("not reloaded, everything is as it was: {error:#}");
                    Err(error)
                }
            },
        };
        // Whoever asked may be gone.
        let _ = asked.answer.send(answer);
    }

    /// Takes everything off the machine again.
    async fn stop(mut self) {
        // Their connections are closed from the VIPs, and by way of the program.
        self.checks.stop().await;
        // Then the program: no packet may find half of what it needs.
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

fn json(answer: impl serde::Serialize) -> Result<serde_json::Value> {
    Ok(serde_json::to_value(answer)?)
}

/// What the program is told of an interface.
fn cell_of(link: &Link, zone: Zone) -> Interface {
    Interface {
        index: link.index,
        mac: link.mac,
        zone: zone as u8,
        reserved: 0,
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
