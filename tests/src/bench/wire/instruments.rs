//! The XDP programs around a balancer, and what they have counted.

use std::{ops::Sub, path::Path};

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{Array, MapData, PerCpuArray},
    programs::{Xdp, XdpMode},
};
use lb_common::bench_wire::{Lane, Onward, TEMPLATE, arrived, names};

use super::frames::Template;
use crate::lab::links::End;

/// Programs of the build; see `build.rs`.
const OBJECTS: &str = env!("EDGELB_BPF_OBJECTS");

/// A value of a map, byte by byte what the programs see.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Plain<T>(T);

// SAFETY: both are `repr(C)` integers without padding, of which any bytes are a value.
unsafe impl Pod for Plain<Lane> {}
// SAFETY: likewise.
unsafe impl Pod for Plain<Onward> {}

/// Packets that have arrived, by what they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    /// Neither SYN nor SYN-ACK nor RST.
    pub data: u64,
    /// SYN.
    pub syn: u64,
    /// SYN-ACK that reached the client that it is for.
    pub syn_ack: u64,
    /// SYN-ACK that reached another.
    pub stray: u64,
    /// RST.
    pub rst: u64,
}

impl Sub for Arrived {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            data: self.data - before.data,
            syn: self.syn - before.syn,
            syn_ack: self.syn_ack - before.syn_ack,
            stray: self.stray - before.stray,
            rst: self.rst - before.rst,
        }
    }
}

/// The programs around one balancer; they go when this is dropped.
pub struct Instruments {
    ebpf: Ebpf,
    templates: Array<MapData, Template>,
    lanes: Array<MapData, Plain<Lane>>,
    behaviour: Array<MapData, u32>,
    arrived: PerCpuArray<MapData, u64>,
    onward: Array<MapData, Plain<Onward>>,
}

impl Instruments {
    /// Loads them, with room for a number of templates.
    pub fn load(templates: u32) -> Result<Self> {
        let object = Path::new(OBJECTS).join("bench-wire");
        let mut ebpf = EbpfLoader::new()
            .map_max_entries(names::TEMPLATES, templates)
            .load_file(&object)
            .with_context(|| {
                format!(
                    "{}: cannot be loaded; where it is missing, `cargo xtask setup` brings what it is built with",
                    object.display()
                )
            })?;
        for name in [
            names::GENERATE,
            names::FAR_END,
            names::REDIRECT,
            names::REFLECT,
        ] {
            program(&mut ebpf, name)?.load().context(name)?;
        }
        let mut take = |name| {
            ebpf.take_map(name)
                .with_context(|| format!("bench-wire has no map {name}"))
        };
        Ok(Self {
            templates: take(names::TEMPLATES)?.try_into()?,
            lanes: take(names::LANES)?.try_into()?,
            behaviour: take(names::BEHAVIOUR)?.try_into()?,
            arrived: take(names::ARRIVED)?.try_into()?,
            onward: take(names::ONWARD)?.try_into()?,
            ebpf,
        })
    }

    /// Puts a program on an interface.
    pub fn attach(&mut self, name: &str, to: End<'_>) -> Result<()> {
        let program = program(&mut self.ebpf, name)?;
        to.at
            .enter(|| program.attach(to.interface, XdpMode::Driver))?
            .with_context(|| format!("{name} on {} of {}", to.interface, to.at.name()))?;
        Ok(())
    }

    /// The program that sends.
    pub fn generator(&self) -> Result<&Xdp> {
        let program = self.ebpf.program(names::GENERATE);
        Ok(program.context("bench-wire has no generator")?.try_into()?)
    }

    /// What the far ends do with what arrives, of [`lb_common::bench_wire::behaviour`].
    pub fn behave(&mut self, behaviour: u32) -> Result<()> {
        Ok(self.behaviour.set(0, behaviour, 0)?)
    }

    /// Writes templates from `first` on.
    pub fn set_templates(&mut self, first: u32, templates: &[Template]) -> Result<()> {
        ensure!(first as usize + templates.len() <= self.templates.len() as usize);
        for (number, template) in (first..).zip(templates) {
            self.templates.set(number, *template, 0)?;
        }
        Ok(())
    }

    /// What a CPU is to send, and by which interface.
    pub fn set_lane(&mut self, cpu: usize, templates: (u32, u32), interface: u32) -> Result<()> {
        let (first, count) = templates;
        let lane = Lane {
            first,
            count,
            interface,
            ..Lane::default()
        };
        Ok(self.lanes.set(cpu as u32, Plain(lane), 0)?)
    }

    /// Where the least of balancers sends what it gets: Ethernet destination and source.
    pub fn set_onward(&mut self, interface: u32, macs: [[u8; 6]; 2]) -> Result<()> {
        let bytes = macs.concat();
        let mut onward = Onward {
            interface,
            ..Onward::default()
        };
        for (word, pair) in onward.macs.iter_mut().zip(bytes.chunks_exact(2)) {
            *word = u16::from_ne_bytes([pair[0], pair[1]]);
        }
        Ok(self.onward.set(0, Plain(onward), 0)?)
    }

    /// What has arrived so far at both ends.
    pub fn arrived(&self) -> Result<Arrived> {
        let count = |cell| -> Result<u64> { Ok(self.arrived.get(&cell, 0)?.iter().sum()) };
        Ok(Arrived {
            data: count(arrived::DATA)?,
            syn: count(arrived::SYN)?,
            syn_ack: count(arrived::SYN_ACK)?,
            stray: count(arrived::STRAY)?,
            rst: count(arrived::RST)?,
        })
    }
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    Ok(ebpf
        .program_mut(name)
        .with_context(|| format!("bench-wire has no program {name}"))?
        .try_into()?)
}

const _: () = assert!(size_of::<Template>() == TEMPLATE);
