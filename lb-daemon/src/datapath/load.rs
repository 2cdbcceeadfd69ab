//! From the object's bytes to a loaded program with its maps.

use aya::{
    Ebpf, EbpfLoader,
    maps::{HashMap as BpfHashMap, Map, MapData},
    pin::PinError,
    programs::Xdp,
};
use aya_obj::Object;
use lb_common::{flow_index, names};

use super::{
    Datapath, Error, Result,
    addresses::Addresses,
    adopt::{Adoption, survey},
    flows::{Flows, upkeep},
    pins::Pins,
    table::{Cells, CpuCells, Plain, Table},
};
use crate::indexes::{MAX_RECORDS, Owner, Place};

/// The eBPF object, as built from `lb-ebpf`; empty where the BPF compiler was missing.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/edgelb-xdp"));

/// The map in which the daemon notes who has which index. The program does not know it.
pub const SEATS: &str = "SEATS";

/// Sizes that the configuration sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Confirmed flows that fit.
    pub flows: u32,
    /// Half-open flows that fit beside them: turns.
    pub half_open: u32,
}

impl Sizes {
    /// Entries of a map whose size is set here.
    pub fn of(self, map: &str) -> Option<u32> {
        match map {
            // A flow is two entries.
            names::FLOWS => Some(self.all().saturating_mul(2)),
            names::FLOW_INDEX => Some(flow_index::buckets(self.all())),
            names::FLOW_PAIRS => Some(self.flows),
            names::TURNS => Some(self.half_open),
            _ => None,
        }
    }

    /// Flows that fit.
    const fn all(self) -> u32 {
        self.flows.saturating_add(self.half_open)
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
    let seed = seed(pins.as_ref(), &adoption)?;
    let mask = flow_index::buckets(sizes.all()) - 1;
    let mut loader = EbpfLoader::new();
    loader
        .override_global("FLOW_SEED", &seed, true)
        .override_global("FLOW_MASK", &mask, true)
        .override_global("FLOW_CAPACITY", &sizes.flows, true)
        .override_global("FLOW_TURNS", &sizes.half_open, true);
    for map in [
        names::FLOWS,
        names::FLOW_INDEX,
        names::FLOW_PAIRS,
        names::TURNS,
    ] {
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
    for name in [names::FORGET, names::ENTER] {
        upkeep(&mut ebpf, name)?.load()?;
    }
    if let Some(pins) = &pins {
        pin_new(&mut ebpf, pins, &adoption.kept)?;
    }
    let outgrown = match &pins {
        Some(pins) => outgrown(pins, &adoption)?,
        None => None,
    };
    let seats = seats(pins.as_ref())?;
    let mut take = |name| ebpf.take_map(name).ok_or(Error::Missing(name));
    let mut flows = flows(&mut take)?;
    flows.state.set(names::FLOW_SEED, &seed)?;
    Ok(Datapath {
        flows,
        services: Table::new(names::SERVICES, take(names::SERVICES)?)?,
        rings: Cells::new(names::RINGS, take(names::RINGS)?)?,
        nodes: Cells::new(names::NODES, take(names::NODES)?)?,
        addresses: Addresses::new(
            Cells::new(names::ADDRESSES, take(names::ADDRESSES)?)?,
            Cells::new(names::ADDRESS_INDEX, take(names::ADDRESS_INDEX)?)?,
            Cells::new(names::ADDRESS_HASH, take(names::ADDRESS_HASH)?)?,
        ),
        outbound: Table::new(names::OUTBOUND, take(names::OUTBOUND)?)?,
        affinities: Table::new(names::AFFINITIES, take(names::AFFINITIES)?)?,
        node_loads: Cells::new(names::NODE_LOADS, take(names::NODE_LOADS)?)?,
        settings: Cells::new(names::SETTINGS, take(names::SETTINGS)?)?,
        snat_ports: Cells::new(names::SNAT_PORTS, take(names::SNAT_PORTS)?)?,
        next_hops: Cells::new(names::NEXT_HOPS, take(names::NEXT_HOPS)?)?,
        neighbours: Table::new(names::NEIGHBOURS, take(names::NEIGHBOURS)?)?,
        routes: Cells::new(names::ROUTES, take(names::ROUTES)?)?,
        node_routes: Cells::new(names::NODE_ROUTES, take(names::NODE_ROUTES)?)?,
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

/// The seed of the index's hash: that of the index that goes on, or a new one.
fn seed(pins: Option<&Pins>, adoption: &Adoption) -> Result<u64> {
    match pins {
        Some(pins) if adoption.kept.contains(&names::FLOW_TABLE) => {
            let state = Cells::new(names::FLOW_TABLE, open(pins, names::FLOW_TABLE)?)?;
            state.get(names::FLOW_SEED)
        }
        _ => Ok(rand::random()),
    }
}

/// The flow table whose flows go over into another.
fn outgrown(pins: &Pins, adoption: &Adoption) -> Result<Option<Flows>> {
    if !adoption.copied.contains(&names::FLOWS) {
        return Ok(None);
    }
    flows(&mut |name| open(pins, name)).map(Some)
}

/// The flow table in these maps.
fn flows(map: &mut impl FnMut(&'static str) -> Result<Map>) -> Result<Flows> {
    Ok(Flows {
        cells: Cells::new(names::FLOWS, map(names::FLOWS)?)?,
        turns: Cells::new(names::TURNS, map(names::TURNS)?)?,
        state: Cells::new(names::FLOW_TABLE, map(names::FLOW_TABLE)?)?,
    })
}

fn open(pins: &Pins, name: &'static str) -> Result<Map> {
    MapData::from_pin(pins.path(name))
        .and_then(Map::from_map_data)
        .map_err(|source| Error::Map { map: name, source })
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
