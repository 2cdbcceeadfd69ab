//! Which of the maps that an earlier edgelb has left go on, and which are made anew.
//!
//! What follows from the configuration is always made anew: it comes into force as a whole, with the
//! program that reads it. What the data path has learned goes on.

use std::{collections::HashMap, path::Path};

use aya::maps::MapData;
use lb_common::names;
use tracing::warn;

use super::{Error, Result, load::Sizes, pins::Pins};

/// What to do where a pinned map is not what this edgelb would make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Otherwise {
    /// Copy the entries, as long as only the number of entries differs; refuse the rest.
    Copy,
    /// Refuse: flows refer to it.
    Refuse,
    /// Begin anew: flows go on without it.
    Anew,
    /// It is a part of the flow table, and goes on with `FLOWS` or not at all.
    WithFlows,
}

/// The maps that outlive the daemon.
const LASTING: [(&str, Otherwise); 16] = [
    (names::FLOWS, Otherwise::Copy),
    (names::FLOW_INDEX, Otherwise::WithFlows),
    (names::FLOW_PAIRS, Otherwise::WithFlows),
    (names::FLOW_TABLE, Otherwise::WithFlows),
    (names::TURNS, Otherwise::WithFlows),
    (names::NEIGHBOURS, Otherwise::Refuse),
    (names::NEXT_HOPS, Otherwise::Refuse),
    (names::ROUTING, Otherwise::Refuse),
    (names::SNAT_PORTS, Otherwise::Anew),
    (names::SNAT_CURSORS, Otherwise::Anew),
    (names::TRANSACTIONS, Otherwise::Anew),
    (names::FRAGMENTS, Otherwise::Anew),
    (names::AFFINITIES, Otherwise::Anew),
    (names::NODE_LOADS, Otherwise::Anew),
    (names::NODE_COUNTERS, Otherwise::Anew),
    (names::VERDICTS, Otherwise::Anew),
];

/// What becomes of the pinned maps.
#[derive(Debug, Default)]
pub struct Adoption {
    /// They go on as they are.
    pub kept: Vec<&'static str>,
    /// Their entries go over into a larger or smaller map.
    pub copied: Vec<&'static str>,
}

/// How a map is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    kind: u32,
    key: u32,
    value: u32,
    entries: u32,
}

/// Looks at every pinned map; touches none.
///
/// # Errors
///
/// A map that cannot go on.
pub fn survey(
    wanted: &HashMap<String, aya_obj::Map>,
    sizes: Sizes,
    pins: &Pins,
) -> Result<Adoption> {
    let mut adoption = Adoption::default();
    for (name, otherwise) in LASTING {
        let path = pins.path(name);
        let is_remade = otherwise == Otherwise::WithFlows && !adoption.kept.contains(&names::FLOWS);
        if !path.exists() || is_remade {
            continue;
        }
        let held = held(name, &path)?;
        let map = wanted.get(name).ok_or(Error::Missing(name))?;
        let wanted = Shape {
            kind: map.map_type(),
            key: map.key_size(),
            value: map.value_size(),
            entries: sizes.of(name).unwrap_or(map.max_entries()),
        };
        let resized = Shape {
            entries: wanted.entries,
            ..held
        };
        let is_same = held == wanted && (name != names::FLOWS || is_divided_so(sizes, pins)?);
        if is_same {
            adoption.kept.push(name);
        } else if otherwise == Otherwise::Copy && resized == wanted {
            adoption.copied.push(name);
        } else if otherwise == Otherwise::Anew {
            warn!("map {name} is made in another way than the one that is pinned; it starts empty");
        } else {
            return Err(Error::OtherShape { map: name, path });
        }
    }
    Ok(adoption)
}

/// The shape of a pinned map.
fn held(name: &'static str, path: &Path) -> Result<Shape> {
    let failed = |source| Error::Map { map: name, source };
    let info = MapData::from_pin(path)
        .and_then(|map| map.info())
        .map_err(failed)?;
    Ok(Shape {
        kind: info.map_type().map_err(failed)? as u32,
        key: info.key_size(),
        value: info.value_size(),
        entries: info.max_entries(),
    })
}

/// Whether of the cells of the flow table as many as wanted are those of half-open flows.
fn is_divided_so(sizes: Sizes, pins: &Pins) -> Result<bool> {
    let turns = held(names::TURNS, &pins.path(names::TURNS))?;
    Ok(Some(turns.entries) == sizes.of(names::TURNS))
}
