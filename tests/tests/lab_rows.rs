//! Runs every check of the lab in both arrangements.
//!
//! A harness of its own, as one lab serves many tests and must be gone afterwards: with the standard
//! one, nothing runs after the last test.

use std::{
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lb_tests::lab::{
    Lab,
    checks::{self, Effort},
    leftovers,
    plan::Arrangement,
    report, supervisor,
};
use libtest_mimic::{Arguments, Failed, Trial};

/// What is asked of each row.
const EFFORT: Effort = Effort {
    connections: 200,
    pace: Duration::ZERO,
};

/// The lab in use. It is replaced when a test wants the other arrangement.
type Shared = Arc<Mutex<Option<Lab>>>;

fn main() -> ExitCode {
    match supervisor::supervise() {
        Ok(None) => work(),
        Ok(Some(ended)) => ended,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn work() -> ExitCode {
    let arguments = Arguments::from_args();
    let shared = Shared::default();
    let mut trials = Vec::new();
    for arrangement in Arrangement::ALL {
        for check in checks::all() {
            let shared = Arc::clone(&shared);
            let prefix = arrangement.to_string().replace('-', "_");
            trials.push(Trial::test(
                format!("{prefix}::{}", check.name),
                move || run(&shared, arrangement, &check),
            ));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Some(lab) = shared.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let name = lab.folder.name().to_owned();
        drop(lab);
        let traces = leftovers::traces(&name);
        if !matches!(&traces, Ok(traces) if traces.is_empty()) {
            eprintln!("the lab has left behind: {traces:?}");
            return ExitCode::FAILURE;
        }
    }
    conclusion.exit_code()
}

fn run(shared: &Shared, arrangement: Arrangement, check: &checks::Check) -> Result<(), Failed> {
    let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    if shared.as_ref().map(|lab| lab.arrangement) != Some(arrangement) {
        *shared = None;
        let lab = Lab::up_whole_pool(arrangement, |_| ()).map_err(|error| format!("{error:#}"))?;
        *shared = Some(lab);
    }
    let lab = shared.as_ref().ok_or("there is a lab")?;
    let problems: Vec<String> = check
        .run(lab, &EFFORT)
        .into_iter()
        .filter(|finding| !finding.passed())
        .map(|finding| {
            format!(
                "{} {}: {}",
                finding.id,
                finding.asked,
                report::first_of(&finding.problems)
            )
        })
        .collect();
    if problems.is_empty() {
        Ok(())
    } else {
        let log = lab.edgelb.log();
        Err(format!("{}\nedgelb:\n{log}", problems.join("\n")).into())
    }
}
