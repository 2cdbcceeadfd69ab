//! Everyone whom the pool talks to and who is not nginx on a node: sipp and coturn on the nodes, and a
//! federation partner and a front end with whatever the nodes ask of them.

use anyhow::Result;

use super::{
    certificates::Authority,
    coturn,
    dns::Dns,
    folder::Folder,
    nginx::{Content, MutualTls, Nginx, Site},
    plan::{
        Host, NODES, PARTNER_AV,
        Side::{External, Internal},
        at, vip,
    },
    process::Process,
    sip,
    topology::Topology,
};

/// The domain of the pool.
pub const POOL: &str = "pool.example";
/// The domain of the partner.
pub const PARTNER: &str = "partner.example";

/// All of them.
pub struct WholePool {
    /// sipp and coturn on each node, in the order of [`NODES`].
    pub nodes: Vec<Vec<Process>>,
    /// The partner's name server.
    pub dns: Dns,
    web: Vec<Nginx>,
    others: Vec<Process>,
}

impl WholePool {
    /// Starts them.
    pub fn start(
        topology: &Topology,
        authority: &Authority,
        content: &Content,
        folder: &Folder,
    ) -> Result<Self> {
        let mut nodes = Vec::new();
        for (number, node) in NODES.iter().enumerate() {
            let host = topology.host(Host::Edge(number));
            nodes.push(vec![
                coturn::serve(node.name, host, &[node.av, node.internal], folder)?,
                sip::serve(node.name, host, sip::BEHIND_TLS, folder)?,
                sip::serve(node.name, host, at(node.internal, 5061), folder)?,
            ]);
        }
        let mut web = Vec::new();
        for (side, site) in [(External, partner()), (Internal, front_end())] {
            let host = topology.host(side.asker());
            let mut nginx = Nginx::start(&site, host, authority, content, folder)?;
            nginx.wait(host)?;
            web.push(nginx);
        }
        let outside = topology.host(External.asker());
        let inside = topology.host(Internal.asker());
        let others = vec![
            coturn::serve("partner", outside, &[PARTNER_AV], folder)?,
            sip::serve("partner", outside, sip::BEHIND_TLS, folder)?,
            sip::serve("frontend", inside, at(Internal.partner(), 5061), folder)?,
        ];
        Ok(Self {
            nodes,
            dns: Dns::start(outside, External.partner(), folder)?,
            web,
            others,
        })
    }

    /// Leaves them running when this is dropped.
    pub fn keep(&mut self) {
        let nodes = self.nodes.iter_mut().flatten();
        nodes.chain(&mut self.others).for_each(Process::keep);
        self.web.iter_mut().for_each(Nginx::keep);
        self.dns.keep();
    }
}

/// Revocation lists, XMPP and SIP, and TLS on 443 for whoever comes from a port for media.
fn partner() -> Site {
    let own = External.partner();
    Site {
        name: "partner",
        domain: PARTNER,
        addresses: vec![own],
        http: vec![at(own, 80)],
        https: vec![at(own, 443), at(own, 5269)],
        mutual_tls: vec![
            MutualTls::Incoming {
                listen: at(own, 5061),
                to: sip::BEHIND_TLS,
            },
            MutualTls::Outgoing {
                listen: sip::TO_TLS,
                from: own,
                to: at(vip::ACCESS, 5061),
                domain: POOL,
            },
        ],
    }
}

/// The fall-back of media towards the inside.
fn front_end() -> Site {
    let own = Internal.partner();
    Site {
        name: "frontend",
        domain: "company.example",
        addresses: vec![own],
        https: vec![at(own, 443)],
        ..Site::default()
    }
}
