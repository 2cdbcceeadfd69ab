//! Cables and switches: veth pairs that behave like real Ethernet, and bridges.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader,
    programs::{Xdp, XdpMode, links::FdLink},
};

use super::namespace::{Namespace, run};

/// Programs of the build; see `build.rs`.
const OBJECTS: &str = env!("EDGELB_BPF_OBJECTS");

/// An end of a cable.
#[derive(Clone, Copy)]
pub struct End<'a> {
    /// The host.
    pub at: &'a Namespace,
    /// Name of the interface there.
    pub interface: &'a str,
}

/// Lays a cable between two hosts.
pub fn connect(ends: [End<'_>; 2]) -> Result<()> {
    let [a, b] = ends;
    run(Command::new("ip").args([
        "link",
        "add",
        "name",
        a.interface,
        "netns",
        a.at.name(),
        "type",
        "veth",
        "peer",
        "name",
        b.interface,
        "netns",
        b.at.name(),
    ]))?;
    for end in ends {
        behave_like_ethernet(end)?;
        // No IPv6 address of its own accord: the lab's packets are those that a check asks for.
        end.at.ip(&format!(
            "link set {0} addrgenmode none\nlink set {0} up\n",
            end.interface
        ))?;
    }
    Ok(())
}

/// A veth hands over packets whose checksums are not filled in, and packets larger than the MTU: both
/// ends are in one kernel, which knows what is missing. XDP forwards what it finds, so here every
/// packet is complete when it is sent, stays as it was sent, and is verified by who receives it.
fn behave_like_ethernet(end: End<'_>) -> Result<()> {
    let features = ["tx", "rx", "tso", "gso", "gro"];
    let mut command = end.at.command("ethtool")?;
    command.args(["-K", end.interface]);
    for feature in features {
        command.args([feature, "off"]);
    }
    run(&mut command)?;
    Ok(())
}

/// Puts a switch into a host.
pub fn add_switch(at: &Namespace, name: &str) -> Result<()> {
    at.ip(&format!(
        "link add {name} type bridge mcast_snooping 0\nlink set {name} addrgenmode none\nlink set {name} up\n"
    ))
}

/// The program at the far end of each of edgelb's cables. A veth takes frames that XDP sent to it only
/// where there is a program at the receiving end too; this one lets everything pass.
pub struct VethPeer {
    ebpf: Ebpf,
}

impl VethPeer {
    /// Loads it.
    pub fn load() -> Result<Self> {
        let object = Path::new(OBJECTS).join("veth-peer");
        let mut ebpf = EbpfLoader::new().load_file(&object).with_context(|| {
            format!(
                "{}: cannot be loaded; where it is missing, `cargo xtask setup` brings what it is built with",
                object.display()
            )
        })?;
        program(&mut ebpf)?.load().context("veth-peer")?;
        Ok(Self { ebpf })
    }

    /// Puts it on an interface. The link is pinned, so that it stays when a lab outlives its process.
    pub fn attach(&mut self, to: End<'_>, pin: &Path) -> Result<()> {
        let program = program(&mut self.ebpf)?;
        let context = || format!("veth-peer on {} of {}", to.interface, to.at.name());
        to.at
            .enter(|| -> Result<()> {
                let link = program.attach(to.interface, XdpMode::Driver)?;
                FdLink::try_from(program.take_link(link)?)?.pin(pin)?;
                Ok(())
            })?
            .with_context(context)
    }
}

fn program(ebpf: &mut Ebpf) -> Result<&mut Xdp> {
    Ok(ebpf
        .program_mut("veth_peer")
        .context("veth-peer has no program veth_peer")?
        .try_into()?)
}
