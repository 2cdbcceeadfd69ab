//! What can go wrong between the daemon and the kernel.

use std::{io, path::PathBuf};

/// An error of the data path, told so that a network engineer knows what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The binary was built without the BPF compiler.
    #[error(
        "this binary was built without the eBPF object; run `cargo xtask setup` and build it again"
    )]
    NoObject,
    /// The kernel refused the object.
    #[error("cannot load the eBPF program: {}", explain(.0))]
    Load(#[source] Box<aya::EbpfError>),
    /// The kernel refused the program.
    #[error("cannot load the eBPF program: {0}")]
    Program(#[from] aya::programs::ProgramError),
    /// The object does not hold what the daemon expects.
    #[error("the eBPF object has no {0}: daemon and object are of different versions")]
    Missing(&'static str),
    /// A map operation failed.
    #[error("map {map}: {source}")]
    Map {
        /// Name of the map.
        map: &'static str,
        /// What the kernel said.
        source: aya::maps::MapError,
    },
    /// The configuration names more addresses than fit.
    #[error(transparent)]
    Addresses(#[from] crate::address_table::Full),
    /// Many entries could not be read at once.
    #[error("map {map}: {source}")]
    Batch {
        /// Name of the map.
        map: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// Pinning failed.
    #[error("cannot pin the maps below {}: {source}; is it in a bpffs (mount -t bpf bpf /sys/fs/bpf), and may this user write there?", folder.display())]
    Pin {
        /// The pin folder.
        folder: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Another edgelb has the pins.
    #[error("{}: another edgelb is running with it; give this one its own --control-socket and --pin-dir", .0.display())]
    InUse(PathBuf),
    /// Pins of a version whose maps mean something else.
    #[error(
        "{}: pinned by a version of edgelb whose flows this one cannot go on with (this one has layout-{own}); start that version again, or give its flows up by `edgelb detach`",
        folder.display()
    )]
    OtherLayout {
        /// The folder of the other layout.
        folder: PathBuf,
        /// The number of our own.
        own: u32,
    },
    /// A pinned map that is not what it should be.
    #[error(
        "{}: the pinned map {map} was made by a version of edgelb whose flows this one cannot go on with; start that version again, or give its flows up by `edgelb detach`",
        path.display()
    )]
    OtherShape {
        /// Name of the map.
        map: &'static str,
        /// Where it is pinned.
        path: PathBuf,
    },
    /// A table that has become too small.
    #[error(
        "map {0}: more flows are in use than would fit; raise limits.max_flows and limits.max_half_open, or give the flows up by `edgelb detach`"
    )]
    TooSmall(&'static str),
    /// Another program is attached.
    #[error(
        "interface {0}: another XDP program is attached to it, maybe by a second edgelb; `bpftool net show dev {0}` names it"
    )]
    Busy(String),
    /// Attaching failed.
    #[error("interface {name}: cannot attach the XDP program: {reason}")]
    Attach {
        /// The interface.
        name: String,
        /// Why.
        reason: String,
    },
    /// Two interfaces share a cell of the interface array.
    #[error(
        "interface {name}: its kernel index {index} and that of another interface ({other}) are the same modulo {}; create one of the two anew",
        lb_common::interface::INTERFACE_CELLS
    )]
    InterfaceCell {
        /// The interface.
        name: String,
        /// Its index.
        index: u32,
        /// The other's index.
        other: u32,
    },
}

/// The result of a data path operation.
pub type Result<T> = std::result::Result<T, Error>;

/// The error's whole chain, and for a lack of privilege what is needed.
fn explain(error: &aya::EbpfError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    let mut denied = false;
    while let Some(cause) = source {
        denied |= cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    if denied {
        text.push_str("; edgelb needs root, or CAP_BPF and CAP_NET_ADMIN");
    }
    text
}
