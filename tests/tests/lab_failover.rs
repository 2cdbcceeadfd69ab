//! Nodes and the daemon come and go under load: what clients may notice of each step, and what not.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lb_tests::lab::{
    Lab,
    failover::{self, Step},
    plan::Arrangement,
};

/// With an interval of 500 ms and two bad checks.
const NOTICED: Duration = Duration::from_millis(1500);

fn is_quiet(step: &Step) -> bool {
    let noticed = &step.noticed;
    step.failed == 0 && noticed.reset + noticed.lost + noticed.packets_lost() == 0
}

#[test]
fn only_the_clients_of_a_node_that_is_cut_off_notice_anything() -> Result<()> {
    let mut lab = Lab::up(Arrangement::TwoArm, |_| ())?;
    let steps = failover::run(&mut lab, |_| ())?;
    let named = |name: &str| {
        let step = steps.iter().find(|step| step.name == name);
        step.with_context(|| format!("there is no step {name:?}"))
    };
    for step in &steps {
        ensure!(step.noticed.opened > 20, "{step:?}");
        ensure!(
            step.name == "edge1 is cut off" || is_quiet(step),
            "{step:?}"
        );
    }
    let cut = named("edge1 is cut off")?;
    let last = cut.last_new_flow.context("the node got no new flow")?;
    ensure!(last < NOTICED, "{cut:?}");
    // Those that were there hear of it, and are not left to their timeouts.
    ensure!(cut.noticed.reset > 0 && cut.noticed.lost == 0, "{cut:?}");
    let drained = named("edge2 is drained")?;
    ensure!(
        drained.last_new_flow.is_none_or(|last| last < NOTICED),
        "{drained:?}"
    );
    Ok(())
}
