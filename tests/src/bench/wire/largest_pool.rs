//! The largest pool that there is: all its connections at once, and room for more.

use std::{
    net::SocketAddrV4,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lb_common::bench_wire::behaviour;

use super::{
    contender::Contender,
    frames::{self, Kind, Template},
    generator::Lane,
    handshakes::{SIZE, shake},
    new_flows, plan,
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

/// Name of the section.
pub const SECTION: &str = "wire, largest pool";
/// Row of how fast new connections are taken, in percent of an empty pool.
pub const SPEED: &str = "new connections beside them, of the rate of an empty pool";

/// After this time edgelb has counted its flows anew: it does so in rounds.
const COUNTED: Duration = Duration::from_mins(1);

/// Connections of one VIP.
struct Load {
    name: &'static str,
    vip: SocketAddrV4,
    kind: Kind,
    count: u64,
}

/// What a pool of twelve nodes holds, or a hundredth of it.
fn loads(options: &Options) -> [Load; 3] {
    let share = if options.quick { 100 } else { 1 };
    let load = |name, vip, port, kind, count: u64| Load {
        name,
        vip: SocketAddrV4::new(vip, port),
        kind,
        count: count / share,
    };
    [
        load("Access", vip::ACCESS, 443, Kind::Syn, 180_000),
        load(
            "Web Conferencing",
            vip::WEBCONF,
            plan::WEBCONF,
            Kind::Syn,
            12_000,
        ),
        load("A/V", vip::AV, plan::STUN, Kind::Question, 6_000),
    ]
}

/// Measures the rate of new connections of an empty pool and of a full one.
pub fn measure(options: &Options, folder: &Folder) -> Result<Vec<Section>> {
    options.progress("wire: the largest pool");
    let new: u64 = if options.quick { 1000 } else { 50_000 };
    let loads = loads(options);
    let most = loads.iter().map(|load| load.count).max().unwrap_or(0);
    let order = Order {
        arrangement: Arrangement::TwoArm,
        flows: loads.iter().map(|load| load.count).sum::<u64>() + new * 2,
        templates: most.max(new) as u32,
        cpus: 1,
        ends: Ends::Instruments,
    };
    let (mut empty, mut full) = (Vec::new(), Vec::new());
    let mut held = [0; 3];
    // A full pool does not become empty again, and the two are to be measured in turns.
    for _ in 0..options.rounds_or(5) {
        let mut wire = Wire::build(Contender::Edgelb, order, folder)?;
        empty.push(rate(&mut wire, most, new)?);
        drop(wire);
        let mut wire = Wire::build(Contender::Edgelb, order, folder)?;
        for (held, load) in held.iter_mut().zip(&loads) {
            *held = hold(&mut wire, load)?;
        }
        full.push(rate(&mut wire, most, new)?);
    }
    let mut section = Section::new(
        SECTION,
        format!(
            "{} nodes, with the idle times that edgelb has by default; then {new} more Access connections a sample.",
            plan::NODES
        ),
    );
    for (load, held) in loads.iter().zip(held) {
        let name = format!("{} connections held", load.name);
        section.add(&name, None, Unit::Count, &[held as f64]);
    }
    section.add("new connections, empty pool", None, Unit::PerSecond, &empty);
    section.add("new connections, beside them", None, Unit::PerSecond, &full);
    section.compare_to("new connections, empty pool");
    let speed = full
        .iter()
        .zip(&empty)
        .map(|(full, empty)| 100.0 * full / empty);
    section.add(SPEED, None, Unit::Percent, &speed.collect::<Vec<_>>());
    Ok(vec![section])
}

/// New connections per second of clients from `first` on, once everything is warm.
fn rate(wire: &mut Wire, first: u64, new: u64) -> Result<f64> {
    new_flows::open(wire, first, first + new)?;
    new_flows::open(wire, first + new, first + 2 * new)
}

/// Opens the connections of a VIP: how many edgelb says that it holds.
fn hold(wire: &mut Wire, load: &Load) -> Result<u64> {
    let mut first: Vec<Template> = (0..load.count)
        .map(|flow| frames::template(load.kind, plan::client(flow), load.vip, SIZE))
        .collect();
    frames::shuffle(&mut first);
    wire.instruments.set_templates(0, &first)?;
    let sent = shake(wire, &[Lane::one(first.len() as u32)])?;
    ensure!(
        sent.arrived.data == load.count,
        "{}: {} of {} connections came about",
        load.name,
        sent.arrived.data,
        load.count
    );
    wire.instruments.behave(behaviour::SINK)?;
    let deadline = Instant::now() + COUNTED;
    loop {
        let held = established(wire, load)?;
        if held >= load.count {
            return Ok(held);
        }
        ensure!(
            Instant::now() < deadline,
            "{}: edgelb holds {held} of {} connections",
            load.name,
            load.count
        );
        thread::sleep(Duration::from_millis(200));
    }
}

/// Established flows of a VIP, by edgelb's own account.
fn established(wire: &Wire, load: &Load) -> Result<u64> {
    let status = wire.edgelb()?.instance.status()?;
    let protocol = if load.kind == Kind::Question {
        "udp"
    } else {
        "tcp"
    };
    let service = status
        .services
        .iter()
        .find(|service| service.listen == load.vip && service.protocol == protocol)
        .with_context(|| format!("edgelb has no service {protocol} {}", load.vip))?;
    Ok(service.flows.established)
}
