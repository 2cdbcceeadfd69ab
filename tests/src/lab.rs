//! The lab: a whole Edge pool in network namespaces, with edgelb, real servers and many clients.
//!
//! [`plan`] says who is where. [`Lab::up`] builds it, and everything goes again when the [`Lab`] is
//! dropped. [`checks`] are what the lab is for: each asks something of the pool and says what came of
//! it; the tests and the program `lab` run the same ones.

pub mod capture;
pub mod certificates;
pub mod checks;
pub mod clients;
pub mod counters;
pub mod edgelb;
pub mod failover;
pub mod folder;
pub mod health;
pub mod http;
pub mod leftovers;
pub mod links;
pub mod ms_turn;
pub mod namespace;
pub mod nginx;
pub mod peers;
pub mod plan;
pub mod process;
pub mod report;
pub mod stream;
pub mod supervisor;
pub mod topology;

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use nix::unistd::geteuid;
use rustls::ClientConfig;

use self::{
    certificates::Authority,
    edgelb::{Edgelb, Instance},
    folder::Folder,
    namespace::Namespace,
    nginx::{Content, Nginx},
    plan::{Arrangement, Host, NODES, Side},
    topology::Topology,
};

/// A lab that is up.
pub struct Lab {
    // The order is that in which they go: programs before the hosts they run on, the folder last.
    /// The load balancer.
    pub edgelb: Edgelb,
    /// The servers, in the order of [`NODES`].
    pub nodes: Vec<Nginx>,
    topology: Topology,
    /// What the nodes serve.
    pub content: Content,
    /// What makes a client trust them.
    pub tls: Arc<ClientConfig>,
    /// Its files.
    pub folder: Folder,
    /// How edgelb is placed in it.
    pub arrangement: Arrangement,
}

impl Lab {
    /// Brings up hosts, servers and edgelb; `progress` hears what comes next.
    pub fn up(arrangement: Arrangement, progress: impl Fn(&str)) -> Result<Self> {
        ensure!(
            geteuid().is_root(),
            "only root can make network namespaces; run this as root"
        );
        progress("hosts, switches and cables");
        let folder = Folder::create()?;
        let topology = Topology::build(arrangement, &folder).context("cannot build the hosts")?;
        progress("nginx on the nodes");
        let authority = Authority::new()?;
        authority.write(&folder.file("authority.pem"))?;
        let content = Content::create(&folder)?;
        let mut nodes = Vec::new();
        for (number, node) in NODES.iter().enumerate() {
            let host = topology.host(Host::Edge(number));
            nodes.push(Nginx::start(node, host, &authority, &content, &folder)?);
        }
        for (number, (nginx, node)) in nodes.iter_mut().zip(&NODES).enumerate() {
            nginx.wait(node, topology.host(Host::Edge(number)))?;
        }
        progress("edgelb");
        let instance = Instance::create(&folder, "edgelb", &edgelb::config(arrangement))?;
        let edgelb = Edgelb::start(instance, topology.host(Host::Balancer))?;
        Ok(Self {
            edgelb,
            nodes,
            topology,
            content,
            tls: authority.client()?,
            folder,
            arrangement,
        })
    }

    /// A host.
    pub fn host(&self, host: Host) -> &Namespace {
        self.topology.host(host)
    }

    /// The host that asks the VIPs of one side.
    pub fn asker(&self, side: Side) -> &Namespace {
        self.host(side.asker())
    }

    /// Stops edgelb and takes its data path off.
    pub fn end_edgelb(&mut self) -> Result<()> {
        self.edgelb.end(self.topology.host(Host::Balancer))
    }

    /// Starts the same edgelb again, after it has ended.
    pub fn start_edgelb(&mut self) -> Result<()> {
        let instance = self.edgelb.instance.clone();
        self.edgelb = Edgelb::start(instance, self.topology.host(Host::Balancer))?;
        Ok(())
    }

    /// Leaves everything as it is, for good: `lab down` removes it.
    pub fn keep(mut self) {
        self.edgelb.keep();
        for node in &mut self.nodes {
            node.keep();
        }
        self.topology.keep();
        self.folder.keep();
    }
}
