//! `cargo xtask lab`: shows edgelb at work between clients and nodes.

mod guide;
mod live;

use std::{
    io::IsTerminal as _,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};
use lb_tests::lab::{
    Lab,
    checks::{self, Effort},
    failover, leftovers,
    plan::Arrangement,
    report::{self, Finding},
    supervisor,
};

use self::live::Live;

/// A whole Edge pool in network namespaces, with edgelb, real servers and many clients.
#[derive(Parser)]
#[command(
    name = "lab",
    bin_name = "cargo xtask lab",
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    show: Show,
}

#[derive(Subcommand)]
enum Command {
    /// Let nodes and the daemon come and go under load, and show what clients notice of each step.
    Failover {
        /// How edgelb is placed between clients and nodes.
        #[arg(long, value_enum, default_value_t = Arrangements::Both)]
        arrangement: Arrangements,
    },
    /// Remove what labs have left behind: those that were kept, and those that were killed.
    Down,
}

/// Bring the lab up, ask everything of it, and show what came of it.
#[derive(Args)]
struct Show {
    /// How edgelb is placed between clients and nodes.
    #[arg(long, value_enum, default_value_t = Arrangements::Both)]
    arrangement: Arrangements,
    /// Leave the lab up, with edgelb running, and tell how to get into it.
    #[arg(long)]
    keep: bool,
    /// Connections for each row of the requirements.
    #[arg(long, value_name = "NUMBER", default_value_t = 200)]
    connections: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum Arrangements {
    /// Clients behind one interface, nodes behind another.
    TwoArm,
    /// Clients and nodes behind the same interface.
    OneArm,
    /// First the one, then the other.
    Both,
}

impl Arrangements {
    fn each(self) -> Vec<Arrangement> {
        match self {
            Self::TwoArm => vec![Arrangement::TwoArm],
            Self::OneArm => vec![Arrangement::OneArm],
            Self::Both => Arrangement::ALL.into(),
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Some(Command::Down) => down(),
        Some(Command::Failover { arrangement }) => supervised(|| fail_over(arrangement)),
        None => supervised(|| show(&cli.show)),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Runs a lab under a supervisor that removes it, however it ends.
fn supervised(run: impl FnOnce() -> Result<ExitCode>) -> Result<ExitCode> {
    supervisor::supervise()?.map_or_else(run, Ok)
}

fn fail_over(arrangements: Arrangements) -> Result<ExitCode> {
    let mut steps = Vec::new();
    for arrangement in arrangements.each() {
        println!("\n{arrangement}: bringing the lab up");
        let begun = Instant::now();
        let show = |next: &str| println!("{:>7.2} s  {next}", begun.elapsed().as_secs_f32());
        let mut lab = Lab::up(arrangement, show)?;
        let taken = failover::run(&mut lab, show)?;
        steps.extend(taken.into_iter().map(|step| (arrangement, step)));
    }
    println!("\n{}\n{}", failover::table(&steps), failover::LEGEND);
    Ok(ExitCode::SUCCESS)
}

fn down() -> Result<ExitCode> {
    let labs = leftovers::find()?;
    if labs.is_empty() {
        println!("nothing is left of any lab");
    }
    for lab in labs {
        for trace in leftovers::traces(&lab)? {
            println!("removing {trace}");
        }
        leftovers::remove(&lab)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(options: &Show) -> Result<ExitCode> {
    let mut findings = Vec::new();
    let arrangements = options.arrangement.each();
    for &arrangement in &arrangements {
        let begun = Instant::now();
        println!("\n{arrangement}: bringing the lab up");
        let lab = Lab::up_whole_pool(arrangement, |next| {
            println!("{:>7.2} s  {next}", begun.elapsed().as_secs_f32());
        })?;
        println!("{:>7.2} s  up", begun.elapsed().as_secs_f32());
        findings.extend(
            drive(&lab, options.connections)?
                .into_iter()
                .map(|finding| (arrangement, finding)),
        );
        if options.keep {
            guide::print(&lab);
            lab.keep();
        }
    }
    println!("\n{}", report::table(&findings));
    let failed: Vec<_> = findings
        .iter()
        .filter(|(_, finding)| !finding.passed())
        .collect();
    for (arrangement, finding) in &failed {
        println!(
            "\nFAIL {arrangement} {} {}\n{}",
            finding.id,
            finding.asked,
            report::first_of(&finding.problems)
        );
    }
    let (table, passed, missed) = report::requirements(&arrangements, &findings);
    println!("\nThe rows and rules of the requirements:\n{table}");
    println!(
        "\n{} findings, {} of them bad; of {} rows and rules {passed} passed, {missed} failed",
        findings.len(),
        failed.len(),
        passed + missed
    );
    Ok(if failed.is_empty() && missed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs every check while the spread of the flows is shown.
fn drive(lab: &Lab, connections: usize) -> Result<Vec<Finding>> {
    // Someone who watches wants to see it happen.
    let watched = std::io::stderr().is_terminal();
    let effort = Effort {
        connections,
        pace: Duration::from_millis(if watched { 10 } else { 0 }),
    };
    let mut findings = Vec::new();
    live::during(&lab.edgelb.instance, watched, |live: &Live| {
        for check in checks::all() {
            live.asking(check.name);
            let found = check.run(lab, &effort);
            for finding in &found {
                live.found(finding);
            }
            findings.extend(found);
        }
    })?;
    Ok(findings)
}
