//! `cargo xtask bench`: what edgelb costs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use lb_tests::{
    bench::{figures::Run, memory, options::Options, packet, pktgen, report, wire},
    lab::supervisor,
};

/// Measures what a packet, a flow and a connection cost, beside the floors and contenders that they are to be
/// held against, in network namespaces of its own.
///
/// A target that is missed is reported and is no failure; a figure that was not measured under the
/// conditions that it claims is.
#[derive(Parser)]
#[command(name = "bench", bin_name = "cargo xtask bench")]
struct Cli {
    /// What to measure.
    #[arg(value_enum, default_value_t = Part::All)]
    part: Part,
    /// Save all figures as JSON, to be compared; `-` prints nothing else.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a Markdown report with plots into this folder.
    #[arg(long, value_name = "FOLDER")]
    report: Option<PathBuf>,
    /// Few flows and short runs: shows that everything works, and no figure is worth anything.
    #[arg(long)]
    quick: bool,
    /// The numbers of flows to measure at.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..))]
    flows: Option<Vec<u64>>,
    /// How often to take each figure; the median counts.
    #[arg(long, value_name = "NUMBER", value_parser = rounds)]
    rounds: Option<usize>,
    #[command(flatten)]
    pktgen: pktgen::Lab,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Everything.
    All,
    /// What single packets cost, by the way that they take and by the number of flows.
    Packet,
    /// What flows take of the kernel's memory and of the daemon's, and the daemon's time for all of them.
    Memory,
    /// Packets and connections through real network namespaces, beside what one would install instead.
    Wire,
    /// The kernel's packet generator, towards an edgelb on another machine.
    Pktgen,
}

fn rounds(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(rounds @ 1..=1000) => Ok(rounds),
        _ => Err("a whole number from 1 to 1000 is wanted".to_owned()),
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome =
        supervisor::supervise().and_then(|supervised| supervised.map_or_else(|| bench(&cli), Ok));
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn bench(cli: &Cli) -> Result<ExitCode> {
    let options = Options {
        quick: cli.quick,
        flows: cli.flows.clone(),
        rounds: cli.rounds,
    };
    let mut run = Run::here();
    measure(cli.part, &cli.pktgen, &options, &mut run)?;
    if cli.json.as_deref() != Some(Path::new("-")) {
        println!("{}", report::show(&run));
    }
    if let Some(file) = &cli.json {
        save(&run, file)?;
    }
    if let Some(folder) = &cli.report {
        for file in report::write(&run, folder)? {
            eprintln!("bench: written {}", file.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs the parts that are asked for, one after the other: each appends to `run`.
fn measure(part: Part, pktgen: &pktgen::Lab, options: &Options, run: &mut Run) -> Result<()> {
    if matches!(part, Part::All | Part::Packet) {
        packet::run(options, run)?;
    }
    if matches!(part, Part::All | Part::Memory) {
        memory::run(options, run)?;
    }
    if matches!(part, Part::All | Part::Wire) {
        wire::run(options, run)?;
    }
    if matches!(part, Part::All | Part::Pktgen) {
        pktgen::run(pktgen, options, run)?;
    }
    Ok(())
}

fn save(run: &Run, file: &Path) -> Result<()> {
    let json = serde_json::to_string_pretty(run)?;
    if file == Path::new("-") {
        println!("{json}");
        return Ok(());
    }
    fs::write(file, json).with_context(|| file.display().to_string())
}
