//! From the object's bytes to a loaded program with its maps.

use aya::{
    Ebpf, EbpfLoader,
    maps::{HashMap as BpfHashMap, Map, MapData},
    pin::PinError,
    programs::Xdp,
};
use aya_obj::Object;
use lb_common::{flow::FlowEntry, flow::FlowKey, names};

use super::{
    Datapath, Error, FlowTable, Result,
    adopt::{Adoption, survey},
    pins::Pins,
    table::{Cells, CpuCells, Plain, Table},
};
use crate::indexes::{MAX_RECORDS, Owner, Place};

/// The eBPF object, as built from `lb-ebpf`; empty where the BPF compiler was missing.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/edgelb-xdp"));

/// The map in which the daemon notes who has which index. The program does not know it.
pub const SEATS: &str = "SEATS";

/// Sizes that the configuration sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Flows that fit into the established table.
    pub flows: u32,
    /// Flows that fit into the half-open table.
    pub half_open: u32,
}

impl Sizes {
    /// Entries of a map whose size is set here. A flow is two entries.
    pub fn of(self, map: &str) -> Option<u32> {
        match map {
            names::FLOWS => Some(self.flows.saturating_mul(2)),
            names::HALF_OPEN => Some(self.half_open.saturating_mul(2)),
            _ => None,
        }
    }
}

/// Loads the program, with the maps that are pinned already as far as they go on. Maps that are made
/// anew are pinned under a name of their own until [`Datapath::take_over_pins`].
pub fn load(sizes: Sizes, pins: Option<Pins>) -> Result<Datapath> {
    if OBJECT.is_empty() {
        return Err(Error::NoObject);
    }
    let adoption = match &pins {
        Some(pins) => {
            let object = Object::parse(OBJECT).map_err(|error| {
                let error = aya::EbpfError::ParseError(error);
                Error::Load(Box::new(error))
            })?;
            survey(&object.maps, sizes, pins)?
        }
        None => Adoption::default(),
    };
    let mut loader = EbpfLoader::new();
    for map in [names::FLOWS, names::HALF_OPEN] {
        if let Some(entries) = sizes.of(map) {
            loader.map_max_entries(map, entries);
        }
    }
    if let Some(pins) = &pins {
        for name in &adoption.kept {
            loader.map_pin_path(name, pins.path(name));
        }
    }
    let mut ebpf = loader
        .load(OBJECT)
        .map_err(|error| Error::Load(Box::new(error)))?;
    program(&mut ebpf)?.load()?;
    if let Some(pins) = &pins {
        pin_new(&mut ebpf, pins, &adoption.kept)?;
    }
    let mut outgrown = Vec::new();
    if let Some(pins) = &pins {
        for name in &adoption.copied {
            outgrown.push(open_flows(pins, name)?);
        }
    }
    let seats = seats(pins.as_ref())?;
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
        affinities: Table::new(names::AFFINITIES, take(names::AFFINITIES)?)?,
        node_loads: Cells::new(names::NODE_LOADS, take(names::NODE_LOADS)?)?,
        settings: Cells::new(names::SETTINGS, take(names::SETTINGS)?)?,
        snat_ports: Cells::new(names::SNAT_PORTS, take(names::SNAT_PORTS)?)?,
        next_hops: Cells::new(names::NEXT_HOPS, take(names::NEXT_HOPS)?)?,
        neighbours: Table::new(names::NEIGHBOURS, take(names::NEIGHBOURS)?)?,
        routing: Cells::new(names::ROUTING, take(names::ROUTING)?)?,
        interfaces: Cells::new(names::INTERFACES, take(names::INTERFACES)?)?,
        node_counters: CpuCells::new(names::NODE_COUNTERS, take(names::NODE_COUNTERS)?)?,
        verdicts: CpuCells::new(names::VERDICTS, take(names::VERDICTS)?)?,
        seats,
        adopted: !adoption.kept.is_empty() || !adoption.copied.is_empty(),
        outgrown,
        pins,
        ebpf,
    })
}

pub fn program(ebpf: &mut Ebpf) -> Result<&mut Xdp> {
    Ok(ebpf
        .program_mut(names::PROGRAM)
        .ok_or(Error::Missing(names::PROGRAM))?
        .try_into()?)
}

/// Pins what is new, the program included, so that `bpftool` sees it and the next daemon finds it.
fn pin_new(ebpf: &mut Ebpf, pins: &Pins, kept: &[&'static str]) -> Result<()> {
    for (name, map) in ebpf.maps() {
        // Constants of the program are no map of ours; a bpffs takes no name with a dot.
        if names::MAPS.contains(&name) && !kept.contains(&name) {
            map.pin(pins.new_path(name))
                .map_err(|error| pin_failed(pins, error))?;
        }
    }
    program(ebpf)?
        .pin(pins.new_path(names::PROGRAM))
        .map_err(|error| pin_failed(pins, error))
}

fn pin_failed(pins: &Pins, error: PinError) -> Error {
    let source = match error {
        PinError::SyscallError(error) => error.io_error,
        other => std::io::Error::other(other),
    };
    pins.failed()(source)
}

type Outgrown = (FlowTable, Table<FlowKey, FlowEntry>);

/// The table whose flows go over into another.
fn open_flows(pins: &Pins, name: &'static str) -> Result<Outgrown> {
    let failed = |source| Error::Map { map: name, source };
    let map = MapData::from_pin(pins.path(name)).map_err(failed)?;
    let table = if name == names::FLOWS {
        FlowTable::Established
    } else {
        FlowTable::HalfOpen
    };
    let map = Map::from_map_data(map).map_err(failed)?;
    Ok((table, Table::new(name, map)?))
}

/// The notes of an earlier daemon, or a place for ours.
fn seats(pins: Option<&Pins>) -> Result<Table<Place, Owner>> {
    let failed = |source| Error::Map { map: SEATS, source };
    let path = pins.map(|pins| pins.path(SEATS));
    if let Some(path) = &path
        && path.exists()
    {
        let map = MapData::from_pin(path)
            .and_then(Map::from_map_data)
            .map_err(failed)?;
        return Table::new(SEATS, map).map_err(|_| Error::OtherShape {
            map: SEATS,
            path: path.clone(),
        });
    }
    let map = BpfHashMap::<MapData, Plain<Place>, Plain<Owner>>::create(MAX_RECORDS, 0);
    let table = Table::of(SEATS, map.map_err(failed)?);
    if let Some(pins) = pins {
        table
            .data()
            .pin(pins.new_path(SEATS))
            .map_err(|error| pin_failed(pins, error))?;
    }
    Ok(table)
}
