//! The one owner of the data path: every change of the maps goes through here.

mod drain;
mod health;
mod links;
mod reload;
mod sweep;

use std::{collections::BTreeSet, net::Ipv4Addr, path::PathBuf, time::Instant};

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
    api::{Asked, ControlSocket, Wish},
    census::Census,
    cli,
    clock::{self, Moment},
    contents::{self, Contents},
    datapath::{self, Attached, Datapath, Events, Mode, Pins, Sizes},
    detach,
    drains::Drains,
    health::{Change, Checks, Ways, target::targets},
    indexes::Indexes,
    neighbours::Neighbours,
    network::{self, Link, Network, NetworkEvent, NetworkEvents},
    node_state::NodeState,
    plan::Plan,
    service_manager::{self, Watchdog},
    state_file::{State, StateFile},
    takers::Takers,
    view,
    warm_up::{Shares, WarmUp},
    wishes::Wishes,
};

use self::sweep::{ROUND_INTERVAL, Underway};

/// The program on one interface.
pub struct AttachedInterface {
    /// The interface.
    pub link: Link,
    /// Its zone.
    pub zone: Zone,
    /// The attachment.
    pub attached: Attached,
    /// Whether it was up when it was last looked at.
    pub running: bool,
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
    warm_up: WarmUp,
    wishes: Wishes,
    pub(crate) drains: Drains,
    /// Nodes that were down when an earlier daemon ended, and that have not been asked yet.
    known_down: BTreeSet<(String, String)>,
    state_file: StateFile,
    changes: mpsc::Receiver<Change>,
    neighbours: Neighbours,
    network: Network,
    network_events: NetworkEvents,
    events: Events,
    questions: mpsc::Receiver<Asked>,
    server: tokio::task::JoinHandle<()>,
    config: PathBuf,
    /// What the latest round over all flows has found.
    pub(crate) census: Census,
    underway: Option<Underway>,
    next_port_audit: Instant,
}

impl Controller {
    /// Brings everything up, the maps before the program: from its first packet on it finds everything
    /// in place. What an earlier edgelb has left goes on.
    pub async fn start(plan: Plan, options: &cli::Run) -> Result<Self> {
        const TOO_LARGE: &str = "the configuration does not fit into the maps";
        Indexes::default().assign(&plan).context(TOO_LARGE)?;
        let state_file = StateFile::open(&options.state_file)?;
        let State {
            mut wishes,
            drains,
            down,
        } = state_file.state().clone();
        wishes.retain(&plan);
        let now = Moment::now();
        let mut drains = Drains::recover(&drains, &plan, now);
        drains.retain(&plan, &wishes, |_, _| true, now);
        let socket = ControlSocket::bind(&options.control_socket)?;
        let (network, network_events) = Network::connect()?;
        let pins = Pins::open(&options.pin_dir)?;
        let pinned = pins.links()?;
        let mut links = Vec::new();
        for interface in &plan.interfaces {
            let link = network.link(&interface.name).await?;
            // Before anything is touched: it may be a second edgelb with the same addresses.
            if link.program.is_some() && !pinned.contains(&link.index) {
                return Err(datapath::Error::Busy(link.name).into());
            }
            links.push(link);
        }
        let sizes = Sizes {
            flows: plan.limits.max_flows,
            half_open: plan.limits.max_half_open,
        };
        let mut datapath = Datapath::load(sizes, Some(pins))?;
        let mut indexes = Indexes::recover(&datapath.seats()?);
        indexes.assign(&plan).context(TOO_LARGE)?;
        datapath.note_seats(&indexes.records())?;
        // As they were when the last daemon ended, until the checks say otherwise.
        let takers = Takers::default().decide(&plan, |service, node| {
            let name = (service.name.clone(), node.name.clone());
            NodeState::of(wishes.of(&name.0, &name.1), !down.contains(&name))
        });
        let shares = Shares::default();
        let contents = Contents::with(&plan, &indexes, &takers, &shares, &drains);
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
            warm_up: WarmUp::default(),
            wishes,
            drains,
            known_down: down,
            state_file,
            changes,
            server: tokio::spawn(socket.serve(sender)),
            config: options.config.clone(),
            census: Census::new(clock::now()),
            underway: None,
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
        match controller.bring_up(&links, &pinned).await {
            Ok(()) => Ok(controller),
            Err(error) => {
                let adopted = controller.datapath.adopted();
                controller.stop().await;
                // What is new must go again; what was there before goes on.
                if !adopted {
                    outlive(detach::detach(&options.pin_dir).await.map(|_| ()));
                }
                Err(error)
            }
        }
    }

    /// First the program, then the addresses: where another edgelb has the interface, its addresses
    /// must not be touched. Programs of an earlier edgelb are replaced when nothing can fail any more.
    async fn bring_up(&mut self, links: &[Link], pinned: &[u32]) -> Result<()> {
        // What cannot be asked is refused before anything is touched.
        let checks = self.checks.prepare(targets(&self.plan))?;
        self.resolve_first(links).await?;
        // The map of who stays may be new, or from before a drain ended.
        self.keep_clients()?;
        self.release_clients()?;
        if !self.datapath.adopted() {
            self.datapath.take_over_pins()?;
        }
        for (link, planned) in links.iter().zip(&self.plan.interfaces) {
            match link.program {
                Some(mode) => self.interfaces.push(AttachedInterface {
                    link: link.clone(),
                    zone: planned.zone,
                    attached: Attached::earlier(mode),
                    running: true,
                }),
                // The interface went, and one with its index came.
                None if pinned.contains(&link.index) => self.datapath.forget(link.index)?,
                None => {}
            }
        }
        let plan = self.plan.clone();
        let new = self.attach_new(&plan, links)?;
        self.vips = addresses::assign(&plan, links, &self.network).await?;
        self.replace_programs()?;
        if self.datapath.adopted() {
            self.datapath.take_over_pins()?;
        }
        self.settle(links, new)?;
        self.take_off_rest(pinned).await?;
        // Routes may have changed while nobody looked.
        self.datapath.raise_route_generation()?;
        // From the VIPs, so not before these are there.
        self.checks.ways().set_interfaces(self.own_interfaces());
        self.checks.set(checks);
        Ok(())
    }

    /// What the program is told of an interface. ICMP errors come from the interface's own address, or
    /// from a VIP of its side.
    fn cell_of(&self, link: &Link, zone: Zone) -> Interface {
        let vips = || self.plan.vips.iter().filter(|vip| vip.zone == zone);
        let own = link.addresses.iter().copied();
        let address = own
            .filter(|address| vips().all(|vip| vip.address != *address))
            .chain(vips().map(|vip| vip.address))
            .next();
        Interface {
            index: link.index,
            mac: link.mac,
            zone: zone as u8,
            reserved: 0,
            address: address.unwrap_or(Ipv4Addr::UNSPECIFIED).into(),
        }
    }

    /// Puts our program in the place of an earlier edgelb's.
    fn replace_programs(&mut self) -> Result<()> {
        for held in std::mem::take(&mut self.interfaces) {
            let (name, index) = (&held.link.name, held.link.index);
            self.datapath
                .set_interface(name, &self.cell_of(&held.link, held.zone))?;
            if self.datapath.replace(name, index)? {
                info!("interface {name}: the XDP program is replaced, its flows go on");
                self.interfaces.push(held);
            } else {
                // Somebody else's program, which is refused, or none since a moment ago.
                self.datapath.forget(index)?;
                let attached = self.attach(&held.link, held.zone)?;
                self.interfaces.push(attached);
            }
        }
        Ok(())
    }

    /// Takes away what an earlier edgelb had and this one does not: interfaces and VIPs.
    async fn take_off_rest(&mut self, pinned: &[u32]) -> Result<()> {
        let mut indexes = pinned.to_vec();
        indexes.extend(self.interfaces.iter().map(|held| held.link.index));
        for index in pinned {
            if self.interfaces.iter().all(|held| held.link.index != *index) {
                self.datapath.detach(*index, None)?;
                info!("interface {index}: XDP detached");
            }
        }
        if self.plan.manage_addresses {
            let left = addresses::left_over(&indexes, &self.vips, &self.network).await?;
            addresses::release(&left, &self.network).await;
        }
        Ok(())
    }

    fn attach(&mut self, link: &Link, zone: Zone) -> datapath::Result<AttachedInterface> {
        self.datapath
            .set_interface(&link.name, &self.cell_of(link, zone))?;
        match self.datapath.attach(&link.name, link.index) {
            Ok(attached) => {
                report_attachment(link, &attached);
                Ok(AttachedInterface {
                    link: link.clone(),
                    zone,
                    attached,
                    running: true,
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

    /// Runs until SIGTERM or SIGINT. The data path goes on after that.
    pub async fn run(mut self) -> Result<()> {
        info!(
            "balancing {} services of pool {}",
            self.plan.services.len(),
            self.plan.pool
        );
        let outcome = self.serve().await;
        service_manager::stopping();
        self.stop().await;
        info!(
            "stopped; the data path goes on, with the flows and nodes that it has, until `edgelb run` takes it over or `edgelb detach` takes it off"
        );
        outcome
    }

    async fn serve(&mut self) -> Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let mut tick = tokio::time::interval(ROUND_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut watchdog = Watchdog::new();
        // Whoever asks is not told that there are none.
        outlive(self.go_round());
        service_manager::ready();
        loop {
            tokio::select! {
                _ = terminate.recv() => { info!("stopping: SIGTERM"); return Ok(()); }
                _ = interrupt.recv() => { info!("stopping: SIGINT"); return Ok(()); }
                _ = hang_up.recv() => {
                    if let Err(error) = self.reload().await {
                        warn!("not reloaded, everything is as it was: {error:#}");
                    }
                }
                () = watchdog.due() => Watchdog::alive(),
                _ = tick.tick() => self.tick(),
                () = until(self.underway.as_ref().map(|round| round.due)) => outlive(self.go_on()),
                Some(asked) = self.questions.recv() => self.answer(asked).await,
                Some(change) = self.changes.recv() => outlive(self.hear(&change)),
                Some(event) = self.network_events.next() => outlive(self.follow(event).await),
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

    async fn follow(&mut self, event: NetworkEvent) -> Result<()> {
        match event {
            NetworkEvent::Neighbour(report) => {
                Ok(self.neighbours.follow(&mut self.datapath, &report)?)
            }
            NetworkEvent::Routes => Ok(self.datapath.raise_route_generation()?),
            NetworkEvent::Link {
                index,
                running,
                mac,
            } => self.follow_link(index, running, mac).await,
        }
    }

    /// Answers; whoever asked may be gone.
    async fn answer(&mut self, asked: Asked) {
        match asked {
            Asked::Status(reply) => drop(reply.send(view::status(self))),
            Asked::Flows(from, reply) => drop(reply.send(view::flows(self, from))),
            Asked::Want(wish, reply) => {
                let Wish {
                    node,
                    service,
                    wanted,
                } = wish;
                drop(reply.send(self.want(&node, service.as_deref(), wanted)));
            }
            Asked::Reload(reply) => {
                let told = self.reload().await;
                if let Err(error) = &told {
                    warn!("not reloaded, everything is as it was: {error:#}");
                }
                drop(reply.send(told));
            }
        }
    }

    /// Ends the daemon and leaves the data path to itself.
    async fn stop(mut self) {
        // Their connections are closed from the VIPs, and by way of the program.
        self.checks.stop().await;
        // Dropping the task drops the socket, which removes its file.
        self.server.abort();
        let _ = self.server.await;
    }
}

/// Waits until a moment; without one, for ever.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
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
