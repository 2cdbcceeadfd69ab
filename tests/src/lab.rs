//! The lab: a whole Edge pool in network namespaces, with edgelb, real servers and many clients.
//!
//! [`plan`] says who is where. [`Lab::up`] builds it, and everything goes again when the [`Lab`] is
//! dropped. [`checks`] are what the lab is for: each asks something of the pool and says what came of
//! it; the tests and the program `lab` run the same ones.

pub mod capture;
pub mod certificates;
pub mod checks;
pub mod clients;
pub mod coturn;
pub mod counters;
pub mod dns;
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
pub mod requirements;
pub mod sip;
pub mod sockets;
pub mod stream;
pub mod supervisor;
pub mod topology;
pub mod turn;
pub mod whole_pool;

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use nix::unistd::geteuid;
use rustls::ClientConfig;

use self::{
    certificates::Authority,
    edgelb::{Edgelb, Instance},
    folder::Folder,
    namespace::Namespace,
    nginx::{Content, MutualTls, Nginx, Site},
    plan::{Arrangement, Host, NODES, Node, Side, at, vip},
    topology::Topology,
    whole_pool::WholePool,
};

/// Port of a node's A/V address where media over TCP is answered: one of those for media.
pub const MEDIA: u16 = 50_443;

/// A lab that is up.
pub struct Lab {
    // The order is that in which they go: programs before the hosts they run on, the folder last.
    /// The load balancer.
    pub edgelb: Edgelb,
    /// The servers, in the order of [`NODES`].
    pub nodes: Vec<Nginx>,
    /// Everyone else, in a lab that has a whole pool.
    pub whole_pool: Option<WholePool>,
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
    /// Brings up hosts, nginx on the nodes, and edgelb; `progress` hears what comes next. The nodes' ports
    /// for media are free.
    pub fn up(arrangement: Arrangement, progress: impl Fn(&str)) -> Result<Self> {
        Self::build(arrangement, false, progress)
    }

    /// Brings up a whole pool and whomever it talks to: what the checks need.
    pub fn up_whole_pool(arrangement: Arrangement, progress: impl Fn(&str)) -> Result<Self> {
        Self::build(arrangement, true, progress)
    }

    fn build(arrangement: Arrangement, whole: bool, progress: impl Fn(&str)) -> Result<Self> {
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
            nodes.push(Nginx::start(
                &site(node, whole),
                host,
                &authority,
                &content,
                &folder,
            )?);
        }
        for (number, nginx) in nodes.iter_mut().enumerate() {
            nginx.wait(topology.host(Host::Edge(number)))?;
        }
        let whole_pool = if whole {
            progress("sipp and coturn on the nodes, a federation partner and a front end");
            Some(WholePool::start(&topology, &authority, &content, &folder)?)
        } else {
            None
        };
        progress("edgelb");
        let instance = Instance::create(&folder, "edgelb", &edgelb::config(arrangement))?;
        let edgelb = Edgelb::start(instance, topology.host(Host::Balancer))?;
        Ok(Self {
            edgelb,
            nodes,
            whole_pool,
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

    /// Everyone besides nginx on the nodes.
    pub fn whole_pool(&self) -> Result<&WholePool> {
        self.whole_pool
            .as_ref()
            .context("there is only nginx in this lab")
    }

    /// Leaves everything as it is, for good: `lab down` removes it.
    pub fn keep(mut self) {
        self.edgelb.keep();
        for node in &mut self.nodes {
            node.keep();
        }
        if let Some(pool) = &mut self.whole_pool {
            pool.keep();
        }
        self.topology.keep();
        self.folder.keep();
    }
}

/// What nginx does on a node: everything that is TLS. In a whole pool, SIP is sipp's, and gets its TLS from
/// nginx outside.
fn site(node: &'static Node, whole: bool) -> Site {
    let access = [443, 5269].map(|port| at(node.access, port));
    let internal = [5062, 23_456, 4443, 8057, 50_001, 50_002, 50_003];
    let internal = internal.map(|port| at(node.internal, port));
    let mut site = Site {
        name: node.name,
        domain: whole_pool::POOL,
        addresses: vip::ALL.into(),
        https: [&access[..], &internal].concat(),
        ..Site::default()
    };
    for side in Side::ALL {
        site.addresses.extend(node.addresses(side));
    }
    site.https.push(at(node.webconf, 443));
    site.https.push(at(node.av, MEDIA));
    if whole {
        site.mutual_tls.push(MutualTls::Incoming {
            listen: at(node.access, 5061),
            to: sip::BEHIND_TLS,
        });
        site.mutual_tls.push(MutualTls::Outgoing {
            listen: sip::TO_TLS,
            from: node.access,
            to: at(Side::External.partner(), 5061),
            domain: whole_pool::PARTNER,
        });
    } else {
        site.https.push(at(node.access, 5061));
        site.https.push(at(node.internal, 5061));
    }
    site
}
