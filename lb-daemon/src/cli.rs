//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::paths;

/// Load balancer for Lync and Skype for Business Edge pools, and for any TCP or UDP service.
#[derive(Debug, Parser)]
#[command(name = "edgelb", version, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Balance: load the data path, attach it and keep it right until SIGTERM or SIGINT. It goes on
    /// after that; what an earlier edgelb has left is taken over without the loss of a packet.
    Run(Run),
    /// Validate a configuration file and exit.
    Check(Check),
    /// Show the ports of an Edge pool, for its firewalls, and the routes of its nodes.
    Ports(Ports),
    /// Have a running edgelb apply its changed configuration file.
    Reload(Reload),
    /// Take everything that edgelb has left off the machine: programs, VIPs and pins.
    Detach(Detach),
    /// Send a node no new flows; those that it has go on to their end. Clients with affinity to it stay for
    /// `drain_timeout`.
    Drain(Node),
    /// Send a node new flows again.
    Enable(Node),
    /// Send a node no new flows and end those that it has.
    Disable(Node),
    /// Show interfaces, services, nodes, traffic and drops of a running edgelb.
    Status(Query),
    /// Show the live flows of a running edgelb.
    Flows(Query),
}

/// Options of `edgelb run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = paths::CONFIG)]
    pub config: PathBuf,
    /// Where `edgelb status` and the other commands reach this instance.
    #[arg(long, value_name = "PATH", default_value = paths::CONTROL_SOCKET)]
    pub control_socket: PathBuf,
    /// Folder in a bpffs for what outlives the daemon: maps, program and attachments.
    #[arg(long, value_name = "PATH", default_value = paths::PIN_DIR)]
    pub pin_dir: PathBuf,
    /// Where it is kept what must not be forgotten: nodes that are drained or disabled.
    #[arg(long, value_name = "FILE", default_value = paths::STATE_FILE)]
    pub state_file: PathBuf,
    /// How to write the log (to standard error). `RUST_LOG` sets what is written.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Human)]
    pub log_format: LogFormat,
}

/// Options of `edgelb check`.
#[derive(Debug, Args)]
pub struct Check {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = paths::CONFIG)]
    pub config: PathBuf,
    /// Show everything that follows from the file: VIPs, services, nodes, limits.
    #[arg(long)]
    pub print: bool,
}

/// Options of `edgelb ports`.
#[derive(Debug, Args)]
pub struct Ports {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = paths::CONFIG)]
    pub config: PathBuf,
    /// How to show them.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = PortsFormat::Table)]
    pub format: PortsFormat,
}

/// How `edgelb ports` shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PortsFormat {
    /// Tables for people, and the routes of the nodes.
    Table,
    /// Tab-separated values with a header.
    Tsv,
    /// One JSON document, with the routes of the nodes.
    Json,
    /// Chains of nftables for the external and the internal firewall.
    Nft,
}

/// Options of `edgelb reload`.
#[derive(Debug, Args)]
pub struct Reload {
    /// The control socket of the instance.
    #[arg(long, value_name = "PATH", default_value = paths::CONTROL_SOCKET)]
    pub control_socket: PathBuf,
}

/// Options of `edgelb drain`, `edgelb enable` and `edgelb disable`.
#[derive(Debug, Args)]
pub struct Node {
    /// Name of the node.
    pub node: String,
    /// For this service alone; without it, for every service of the node.
    #[arg(long, value_name = "SERVICE")]
    pub service: Option<String>,
    /// The control socket of the instance.
    #[arg(long, value_name = "PATH", default_value = paths::CONTROL_SOCKET)]
    pub control_socket: PathBuf,
}

/// Options of `edgelb detach`.
#[derive(Debug, Args)]
pub struct Detach {
    /// Folder in a bpffs with the pins of the instance.
    #[arg(long, value_name = "PATH", default_value = paths::PIN_DIR)]
    pub pin_dir: PathBuf,
}

/// Options of the commands that ask a running edgelb.
#[derive(Debug, Args)]
pub struct Query {
    /// The control socket of the instance to ask.
    #[arg(long, value_name = "PATH", default_value = paths::CONTROL_SOCKET)]
    pub control_socket: PathBuf,
    /// Print JSON, for programs.
    #[arg(long)]
    pub json: bool,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people, in colour on a terminal.
    Human,
    /// One JSON object per line.
    Json,
}
