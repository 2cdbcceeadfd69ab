//! The part `pktgen`: the kernel's own packet generator on real NICs, towards an edgelb on another machine.
//!
//! `docs/pktgen.md` has the set-up.

pub mod kernel;
pub mod script;

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};
use clap::Args;

use self::{
    kernel::{Availability, Pktgen},
    script::{Mac, Script},
};
use super::{
    figures::{Run, Section, Unit},
    options::Options,
};

/// The NICs of the generating machine, and what is sent.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Real NICs (pktgen)")]
pub struct Lab {
    /// The NIC to send by. Without it, nothing is sent on any NIC.
    #[arg(long, value_name = "INTERFACE", requires_all = ["pktgen_to", "pktgen_mac", "pktgen_from"])]
    pktgen: Option<String>,
    /// The NIC that packets come back by; the same one, where edgelb has one arm.
    #[arg(long, value_name = "INTERFACE", requires = "pktgen")]
    pktgen_back: Option<String>,
    /// Where packets go: the A/V VIP, or a node's own A/V address.
    #[arg(long, value_name = "ADDRESS", requires = "pktgen")]
    pktgen_to: Option<Ipv4Addr>,
    /// UDP port there: 3478 of the VIP, 50000 to 59999 of a node.
    #[arg(long, value_name = "PORT", default_value_t = 3478)]
    pktgen_port: u16,
    /// Ethernet address of the balancer's NIC.
    #[arg(long, value_name = "MAC", requires = "pktgen")]
    pktgen_mac: Option<Mac>,
    /// The first of the clients' addresses; as many as there are flows follow.
    #[arg(long, value_name = "ADDRESS", requires = "pktgen")]
    pktgen_from: Option<Ipv4Addr>,
    /// Queues to send by at the same time, each with a processor.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pktgen_queues: u32,
    /// Packets in a second and queue; as many as there can be where this is left out.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pktgen_rate: Option<u32>,
}

/// Sizes of frames, without the check sum that a NIC adds (bytes).
const SIZES: [u32; 2] = [64, 1400];

/// Packets of a sample and queue.
const COUNT: u64 = 10_000_000;

/// Measures everything and appends it to `run`; where it cannot, says why.
pub fn run(lab: &Lab, options: &Options, run: &mut Run) -> Result<()> {
    let section = Section::new(
        "pktgen",
        "UDP by the kernel's packet generator: what left the NIC, and what came back by way of edgelb.",
    );
    let sections = match (kernel::find()?, lab.script()) {
        (Availability::Missing(why), _) => vec![with_note(section, why)],
        (Availability::There(_), None) => vec![with_note(
            section,
            "No NIC was named by --pktgen: nothing was sent.".to_owned(),
        )],
        (Availability::There(pktgen), Some(script)) => {
            measure(&pktgen, lab, &script, options, &section)?
        }
    };
    run.sections.extend(sections);
    Ok(())
}

fn with_note(mut section: Section, note: String) -> Section {
    section.note(note);
    section
}

impl Lab {
    /// What is sent, where a NIC is named.
    fn script(&self) -> Option<Script> {
        Some(Script {
            interface: self.pktgen.clone()?,
            to: self.pktgen_to?,
            port: self.pktgen_port,
            mac: self.pktgen_mac?,
            from: self.pktgen_from?,
            queues: self.pktgen_queues,
            flows: 1,
            size: SIZES[0],
            count: COUNT,
            rate: self.pktgen_rate,
        })
    }
}

fn measure(
    pktgen: &Pktgen,
    lab: &Lab,
    script: &Script,
    options: &Options,
    about: &Section,
) -> Result<Vec<Section>> {
    let back = lab.pktgen_back.as_ref().unwrap_or(&script.interface);
    let mut sections = Vec::new();
    for size in SIZES {
        let mut section = about.clone();
        section.name = format!("pktgen, {size} bytes");
        for flows in options.flows_or(&[1000, 65_536], &[1000]) {
            options.progress(&format!("pktgen: {size} bytes, {flows} flows"));
            let mut script = script.clone();
            script.size = size;
            script.flows = u32::try_from(flows)?;
            if options.quick {
                script.count = 100_000;
            }
            let (mut sent, mut returned, mut lost) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..options.rounds_or(5) {
                let before = kernel::received(back)?;
                let results = pktgen.run(&script)?;
                let received = kernel::received(back)? - before;
                let packets: u64 = results.iter().map(|result| result.packets).sum();
                ensure!(packets > 0, "pktgen has sent nothing");
                let rate: u64 = results.iter().map(|result| result.per_second).sum();
                let share = received as f64 / packets as f64;
                sent.push(rate as f64 / 1e6);
                returned.push(rate as f64 / 1e6 * share);
                lost.push(100.0 * (1.0 - share));
            }
            let (flows, unit) = (Some(flows), Unit::MegapacketsPerSecond);
            section.add("sent", flows, unit, &sent);
            section.add("came back", flows, unit, &returned);
            section.compare_to("sent");
            section.add("lost", flows, Unit::Percent, &lost);
        }
        section.note(format!(
            "{} queue(s) of {}; back by {back}",
            script.queues, script.interface
        ));
        sections.push(section);
    }
    Ok(sections)
}
