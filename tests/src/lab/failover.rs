//! Nodes and the daemon come and go under load: what clients notice of it, step by step.

mod load;
mod new_flows;

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use comfy_table::{ContentArrangement, Table, presets};
use nix::sys::signal::Signal;

use self::load::Load;
pub use self::load::Noticed;
use super::{
    Lab,
    health::{check, wait_for},
    plan::{Arrangement, Host},
};

/// The A/V services have no server of their own here; they go with the node's SIP service.
const HEALTH: &str = "interval = \"500ms\"\nfall = 2\n\
    [[health.services]]\nname = \"av-3478\"\ncheck = \"none\"\ngate = \"5061\"\n\
    [[health.services]]\nname = \"av-443\"\ncheck = \"none\"\ngate = \"5061\"\n\
    [[health.services]]\nname = \"internal-3478\"\ncheck = \"none\"\ngate = \"5061\"\n\
    [[health.services]]\nname = \"internal-443\"\ncheck = \"none\"\ngate = \"5061\"\n";

/// One step, and what came of it.
#[derive(Debug)]
pub struct Step {
    /// What happened.
    pub name: &'static str,
    /// When it began.
    begun: Instant,
    /// The node that was to get no more new flows.
    pub without: Option<&'static str>,
    /// New connections asked for in it that did not come about.
    pub failed: usize,
    /// What clients noticed.
    pub noticed: Noticed,
    /// From the beginning of the step to the last new flow to that node, if it got any.
    pub last_new_flow: Option<Duration>,
}

/// Goes through all steps; `progress` hears what comes next.
pub fn run(lab: &mut Lab, progress: impl Fn(&str)) -> Result<Vec<Step>> {
    check(lab, HEALTH, "")?;
    for node in ["edge1", "edge2"] {
        wait_for(lab, "access-5061", node, "up")?;
    }
    let mut load = Load::start(lab)?;
    let mut steps = Vec::new();
    let mut take = |lab: &mut Lab,
                    name,
                    without: Option<&'static str>,
                    act: &dyn Fn(&mut Lab) -> Result<()>| {
        progress(name);
        let begun = Instant::now();
        load.begin();
        act(lab)?;
        thread::sleep(Duration::from_secs(3).saturating_sub(begun.elapsed()));
        let noticed = load.end();
        let last = without.and_then(|node| noticed.last_flow_to(node));
        steps.push(Step {
            name,
            begun,
            without,
            failed: 0,
            last_new_flow: last.map(|last| last.saturating_duration_since(begun)),
            noticed,
        });
        anyhow::Ok(())
    };
    let switch = |lab: &Lab, state| {
        let port = format!("link set ext-edge1 {state}\n");
        lab.host(Host::Switch).ip(&port)
    };
    take(lab, "all is well", None, &|_| Ok(()))?;
    take(lab, "edge1 is cut off", Some("edge1"), &|lab| {
        switch(lab, "down")?;
        wait_for(lab, "access-443", "edge1", "down").map(|_| ())
    })?;
    take(lab, "edge1 is back", None, &|lab| {
        switch(lab, "up")?;
        wait_for(lab, "access-443", "edge1", "up").map(|_| ())
    })?;
    take(lab, "edge2 is drained", Some("edge2"), &|lab| {
        lab.edgelb.instance.node("drain", &["edge2"]).map(|_| ())
    })?;
    take(lab, "edge2 is enabled", None, &|lab| {
        lab.edgelb.instance.node("enable", &["edge2"]).map(|_| ())
    })?;
    take(lab, "edgelb is killed (-9)", None, &|lab| {
        ensure!(!lab.edgelb.stop(Signal::SIGKILL)?.success(), "it is killed");
        Ok(())
    })?;
    take(lab, "edgelb is started again", None, &Lab::start_edgelb)?;
    for failed in load.stop()? {
        // What was on its way when a step began has failed by it.
        let mut steps = steps.iter_mut().rev();
        let step = steps.find(|step| step.begun <= failed + load::ON_THE_WAY);
        if let Some(step) = step {
            step.failed += 1;
        }
    }
    Ok(steps)
}

/// The table of all steps.
pub fn table(steps: &[(Arrangement, Step)]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header([
            "",
            "STEP",
            "CONNECTIONS\nOPENED",
            "\nFAILED",
            "HELD,\nRESET",
            "HELD,\nLOST",
            "PACKETS\nSENT",
            "\nLOST",
            "LAST NEW FLOW\nTO THE NODE",
        ]);
    for (arrangement, step) in steps {
        let noticed = &step.noticed;
        table.add_row([
            arrangement.to_string(),
            step.name.to_owned(),
            noticed.opened.to_string(),
            step.failed.to_string(),
            noticed.reset.to_string(),
            noticed.lost.to_string(),
            noticed.packets.to_string(),
            noticed.packets_lost().to_string(),
            match (step.without, step.last_new_flow) {
                (None, _) => String::new(),
                (Some(_), None) => "none".to_owned(),
                (Some(_), Some(after)) => format!("{} ms", after.as_millis()),
            },
        ]);
    }
    table
}

/// What the columns of [`table`] say.
pub const LEGEND: &str = "\
Each step is watched for three seconds. Connections are TLS to the Access VIP: some clients open one after
the other (opened; failed: refused, or not come about), others hold 40 and ask on them all the time (reset;
lost: ended in any other way). Packets are numbered UDP to the A/V VIP, which the nodes send back. The last
column is the time from the beginning of the step until edgelb sent its last new flow to the node that is cut
off or drained; a hundred are opened in a second.";
