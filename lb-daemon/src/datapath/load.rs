//! From the object's bytes to a loaded program with its maps.

use std::{fs, io, path::Path};

use aya::{Ebpf, EbpfLoader, programs::Xdp};
use lb_common::names;

use super::{
    Datapath, Error, Result,
    table::{Cells, CpuCells, Table},
};

/// The eBPF object, as built from `lb-ebpf`; empty where the BPF compiler was missing.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/edgelb-xdp"));

/// Sizes that the configuration sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Flows that fit into the established table.
    pub flows: u32,
    /// Flows that fit into the half-open table.
    pub half_open: u32,
}

pub fn load(sizes: Sizes, folder: Option<&Path>) -> Result<Datapath> {
    if OBJECT.is_empty() {
        return Err(Error::NoObject);
    }
    let mut ebpf = EbpfLoader::new()
        // A flow is two entries.
        .map_max_entries(names::FLOWS, sizes.flows.saturating_mul(2))
        .map_max_entries(names::HALF_OPEN, sizes.half_open.saturating_mul(2))
        .load(OBJECT)
        .map_err(|error| Error::Load(Box::new(error)))?;
    program(&mut ebpf)?.load()?;
    if let Some(folder) = folder {
        pin(&ebpf, folder)?;
    }
    let mut take = |name| ebpf.take_map(name).ok_or(Error::Missing(name));
    Ok(Datapath {
        flows: Table::new(names::FLOWS, take(names::FLOWS)?)?,
        half_open: Table::new(names::HALF_OPEN, take(names::HALF_OPEN)?)?,
        services: Table::new(names::SERVICES, take(names::SERVICES)?)?,
        rings: Cells::new(names::RINGS, take(names::RINGS)?)?,
        nodes: Cells::new(names::NODES, take(names::NODES)?)?,
        vips: Table::new(names::VIPS, take(names::VIPS)?)?,
        outbound: Table::new(names::OUTBOUND, take(names::OUTBOUND)?)?,
        node_addresses: Table::new(names::NODE_ADDRESSES, take(names::NODE_ADDRESSES)?)?,
        settings: Cells::new(names::SETTINGS, take(names::SETTINGS)?)?,
        snat_ports: Cells::new(names::SNAT_PORTS, take(names::SNAT_PORTS)?)?,
        next_hops: Cells::new(names::NEXT_HOPS, take(names::NEXT_HOPS)?)?,
        neighbours: Table::new(names::NEIGHBOURS, take(names::NEIGHBOURS)?)?,
        routing: Cells::new(names::ROUTING, take(names::ROUTING)?)?,
        interfaces: Cells::new(names::INTERFACES, take(names::INTERFACES)?)?,
        node_counters: CpuCells::new(names::NODE_COUNTERS, take(names::NODE_COUNTERS)?)?,
        verdicts: CpuCells::new(names::VERDICTS, take(names::VERDICTS)?)?,
        ebpf,
    })
}

pub fn program(ebpf: &mut Ebpf) -> Result<&mut Xdp> {
    Ok(ebpf
        .program_mut(names::PROGRAM)
        .ok_or(Error::Missing(names::PROGRAM))?
        .try_into()?)
}

/// Makes the maps visible below `folder`, so that they can be looked at with `bpftool`. What an earlier
/// run has left there belongs to no program any more and goes.
fn pin(ebpf: &Ebpf, folder: &Path) -> Result<()> {
    let failed = |source| Error::Pin {
        folder: folder.to_owned(),
        source,
    };
    unpin(folder).map_err(failed)?;
    fs::create_dir_all(folder).map_err(failed)?;
    for (name, map) in ebpf.maps() {
        // Constants of the program; a bpffs takes no name with a dot.
        if !names::MAPS.contains(&name) {
            continue;
        }
        map.pin(folder.join(name)).map_err(|error| match error {
            aya::pin::PinError::SyscallError(error) => failed(error.io_error),
            other => failed(io::Error::other(other)),
        })?;
    }
    Ok(())
}

/// Takes the maps out of sight again; that there are none is as good. Only what carries the name of a
/// map goes: the folder may be the wrong one.
pub fn unpin(folder: &Path) -> io::Result<()> {
    for name in names::MAPS {
        match fs::remove_file(folder.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    match fs::remove_dir(folder) {
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
            ) =>
        {
            Err(error)
        }
        _ => Ok(()),
    }
}
