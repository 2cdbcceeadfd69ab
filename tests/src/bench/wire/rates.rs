//! Packets per second: every contender with the same packets, in turns.

use std::{net::SocketAddrV4, time::Duration};

use anyhow::{Result, ensure};
use lb_common::bench_wire::behaviour;

use super::{
    contender::{BARE, Contender},
    frames::{self, Kind},
    generator::{Amount, Lane, Sent, send},
    handshakes::{self, templates},
    plan,
    setup::{Ends, Order, Wire},
};
use crate::{
    bench::{
        figures::{Section, Unit},
        options::Options,
    },
    lab::{
        folder::Folder,
        plan::{Arrangement, vip},
    },
};

/// Sizes of frames, without the check sum that a NIC adds (bytes).
pub const SIZES: [usize; 2] = [64, 1400];

/// Row of the packets that edgelb routes.
pub const MEDIA: &str = "edgelb, routed media";
/// Row of how many that are, of the frames that bare XDP sends on in turns with them.
pub const MEDIA_SHARE: &str = "edgelb, routed media: of bare XDP";

/// Ports of a node that media come to.
const MEDIA_PORTS: u64 = 10_000;

/// How long each sample is taken.
pub fn time(options: &Options) -> Duration {
    Duration::from_millis(if options.quick { 50 } else { 500 })
}

/// Name of the section.
pub fn section_name(arrangement: Arrangement, size: usize) -> String {
    format!("wire, {arrangement}, {size} bytes")
}

/// Measures one arrangement at every number of flows, which are opened in turn, and never closed.
pub fn measure(
    arrangement: Arrangement,
    numbers: &[u64],
    options: &Options,
    folder: &Folder,
) -> Result<Vec<Section>> {
    let most = numbers.iter().copied().max().unwrap_or(1);
    let order = Order {
        arrangement,
        // A hash table that is nearly full is no fair one.
        flows: most + most / 4,
        templates: most as u32,
        cpus: 1,
        ends: Ends::Instruments,
    };
    let mut wires = Vec::new();
    for contender in Contender::ALL {
        let mut wire = Wire::build(contender, order, folder)?;
        wire.instruments.behave(behaviour::SINK)?;
        wires.push(wire);
    }
    let mut sections = SIZES.map(|size| about(arrangement, size));
    let mut times = SIZES.map(|size| {
        Section::new(
            format!("{}, processor time", section_name(arrangement, size)),
            "What all processors of the machine were busy meanwhile, for each packet that arrived: generator and \
             far ends too, and whatever else ran on the machine.",
        )
    });
    let mut held = 0;
    for &flows in numbers {
        options.progress(&format!("wire, {arrangement}: {flows} flows"));
        for wire in &mut wires {
            handshakes::open(wire, held, flows)?;
        }
        held = flows;
        for ((section, time), size) in sections.iter_mut().zip(&mut times).zip(SIZES) {
            compare(&mut wires, flows, size, options, [section, time])?;
        }
    }
    let fewest = numbers.iter().copied().min().unwrap_or(1);
    for (section, size) in sections.iter_mut().zip(SIZES) {
        media(&mut wires, fewest, size, options, section)?;
    }
    let mut sections = [sections, times].concat();
    for section in &mut sections {
        section.compare_to(BARE);
    }
    Ok(sections)
}

fn about(arrangement: Arrangement, size: usize) -> Section {
    Section::new(
        section_name(arrangement, size),
        format!(
            "Frames of {size} bytes of established flows in random order, from the clients' veth through the balancer \
             to the nodes' ({arrangement}); one processor does all the work. Counted where they arrive."
        ),
    )
}

/// Takes samples of every contender in turns.
fn compare(
    wires: &mut [Wire],
    flows: u64,
    size: usize,
    options: &Options,
    [section, time]: [&mut Section; 2],
) -> Result<()> {
    for wire in wires.iter_mut() {
        let data = templates(wire, Kind::Data, 0, flows, size);
        wire.instruments.set_templates(0, &data)?;
    }
    let lanes = [Lane::one(flows as u32)];
    let rounds = options.rounds_or(5);
    let mut samples = vec![Vec::new(); wires.len()];
    for _ in 0..rounds {
        for (number, samples) in samples.iter_mut().enumerate() {
            samples.push(take_turn(wires, number, &lanes, size, options)?);
        }
    }
    for (wire, samples) in wires.iter().zip(&samples) {
        let name = wire.contender.name();
        add(section, name, Some(flows), samples);
        let costs: Vec<f64> = samples.iter().map(Sent::cost).collect();
        time.add(name, Some(flows), Unit::NanosecondsPerPacket, &costs);
    }
    Ok(())
}

/// Measures one of them, while edgelb's daemon stands still unless it is edgelb's turn.
fn take_turn(
    wires: &mut [Wire],
    number: usize,
    lanes: &[Lane],
    size: usize,
    options: &Options,
) -> Result<Sent> {
    let amount = Amount::For(time(options));
    if wires[number].contender == Contender::Edgelb {
        return checked(&mut wires[number], lanes, size, amount);
    }
    let edgelb = wires
        .iter()
        .position(|wire| wire.contender == Contender::Edgelb);
    let paused = edgelb.map(|edgelb| wires[edgelb].pause()).transpose()?;
    let sent = checked(&mut wires[number], lanes, size, amount);
    drop(paused);
    sent
}

/// Sends, and sees to it that edgelb has forwarded what arrived, as packets of flows or of nodes.
pub fn checked(wire: &mut Wire, lanes: &[Lane], size: usize, amount: Amount) -> Result<Sent> {
    let before = wire.forwarded()?;
    let sent = send(wire, lanes, size, amount)?;
    ensure!(
        sent.arrived.data > 0,
        "{}: not one of {} packets has arrived",
        wire.contender,
        sent.offered
    );
    if let (Some(before), Some(after)) = (before, wire.forwarded()?) {
        let forwarded = after - before;
        ensure!(
            forwarded >= sent.arrived.data,
            "edgelb has forwarded {forwarded} packets of {} that have arrived",
            sent.arrived.data
        );
    }
    Ok(sent)
}

/// The row of one contender, and another for what was lost, if anything was.
pub fn add(section: &mut Section, name: &str, flows: Option<u64>, samples: &[Sent]) {
    let all = |figure: fn(&Sent) -> f64| samples.iter().map(figure).collect::<Vec<_>>();
    section.add(name, flows, Unit::MegapacketsPerSecond, &all(Sent::mpps));
    let lost = all(Sent::lost);
    if lost.iter().any(|percent| *percent > 0.0) {
        section.add(&format!("{name}: lost"), flows, Unit::Percent, &lost);
    }
}

/// Media to the nodes' own addresses, in so many conversations: edgelb routes them. In turns with bare XDP, once more.
fn media(
    wires: &mut [Wire],
    conversations: u64,
    size: usize,
    options: &Options,
    section: &mut Section,
) -> Result<()> {
    let place = |contender| wires.iter().position(|wire| wire.contender == contender);
    let (Some(bare), Some(edgelb)) = (place(Contender::Bare), place(Contender::Edgelb)) else {
        return Ok(());
    };
    let mut datagrams: Vec<_> = (0..conversations)
        .map(|flow| {
            let node = plan::node((flow % u64::from(plan::NODES)) as u32, vip::AV);
            let port = plan::MEDIA + (flow % MEDIA_PORTS) as u16;
            let server = SocketAddrV4::new(node, port);
            frames::template(Kind::Datagram, plan::client(flow), server, size)
        })
        .collect();
    frames::shuffle(&mut datagrams);
    let frames = templates(&wires[bare], Kind::Data, 0, conversations, size);
    wires[bare].instruments.set_templates(0, &frames)?;
    wires[edgelb].instruments.set_templates(0, &datagrams)?;
    let lanes = [Lane::one(datagrams.len() as u32)];
    let (mut samples, mut shares) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds_or(5) {
        let bare = take_turn(wires, bare, &lanes, size, options)?;
        let media = take_turn(wires, edgelb, &lanes, size, options)?;
        shares.push(100.0 * media.mpps() / bare.mpps());
        samples.push(media);
    }
    add(section, MEDIA, Some(conversations), &samples);
    section.add(MEDIA_SHARE, Some(conversations), Unit::Percent, &shares);
    Ok(())
}
