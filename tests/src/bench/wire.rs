//! The part `wire`: packets and connections through real veth pairs, from clients through a balancer to nodes.

pub mod connections;
pub mod conntrack;
pub mod contender;
pub mod cores;
pub mod cpu;
pub mod disturbed;
pub mod frames;
pub mod generator;
pub mod handshakes;
pub mod instruments;
pub mod largest_pool;
pub mod new_flows;
pub mod plan;
pub mod proxies;
pub mod rates;
pub mod setup;
pub mod targets;
pub mod topology;

use anyhow::Result;

use self::conntrack::Room;
use super::{figures::Run, options::Options};
use crate::lab::{folder::Folder, plan::Arrangement};

/// Flows of the parts that are about something else than their number.
const SOME_FLOWS: u64 = 1000;

/// Measures everything, appends it to `run`, and says what it means for the targets.
pub fn run(options: &Options, run: &mut Run) -> Result<()> {
    let numbers = options.flows_or(&[1000, 65_536, 1_000_000], &[1000]);
    let most = numbers.iter().copied().max().unwrap_or(SOME_FLOWS);
    // For the floods of new flows, too, which nftables remembers for minutes.
    let _room = Room::for_flows(2 * most.max(1_000_000))?;
    let folder = Folder::create()?;
    let mut sections = Vec::new();
    for arrangement in Arrangement::ALL {
        sections.extend(rates::measure(arrangement, &numbers, options, &folder)?);
    }
    sections.extend(new_flows::measure(options, &folder)?);
    sections.extend(cores::measure(SOME_FLOWS, options, &folder)?);
    sections.extend(disturbed::measure(most, options, &folder)?);
    sections.extend(largest_pool::measure(options, &folder)?);
    sections.extend(connections::measure(options, &folder)?);
    run.targets.extend(targets::of(&sections));
    run.sections.extend(sections);
    Ok(())
}
