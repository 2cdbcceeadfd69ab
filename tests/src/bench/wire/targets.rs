//! What the figures of the wire should be, and what they are.

use super::{
    connections,
    contender::{BARE, Contender},
    disturbed, largest_pool, new_flows,
    rates::{MEDIA_SHARE, section_name},
};
use crate::{
    bench::{
        figures::{Section, Unit},
        target::{
            Limit::{AtLeast, AtMost},
            Target,
        },
    },
    lab::plan::Arrangement,
};

/// Size of the frames that the targets speak of (bytes).
const SIZE: usize = 64;

/// The targets that were measured.
pub fn of(sections: &[Section]) -> Vec<Target> {
    let find = |name: &str| sections.iter().find(|section| section.name == name);
    let mut targets = Vec::new();
    if let Some(section) = find(&section_name(Arrangement::TwoArm, SIZE)) {
        targets.extend(two_arms(section));
    }
    if let Some(section) = find(&section_name(Arrangement::OneArm, SIZE)) {
        targets.extend(Target::of(
            "one arm, of bare reflect, fewest flows",
            AtLeast(80.0),
            Unit::Percent,
            against(section, fewest(section), BARE, 100.0),
        ));
    }
    if let Some(section) = find(new_flows::SECTION) {
        let [edgelb, nftables] = [Contender::Edgelb, Contender::Nftables];
        for what in [new_flows::SYNS, new_flows::HANDSHAKES] {
            let base = new_flows::row(what, nftables);
            targets.extend(Target::of(
                format!("new flows, of nftables: {what}"),
                AtLeast(5.0),
                Unit::Times,
                section.ratio(&new_flows::row(what, edgelb), &base, None),
            ));
        }
    }
    if let Some(section) = find(disturbed::SECTION) {
        for row in [disturbed::SWEEPING, disturbed::LISTING] {
            targets.extend(Target::of(
                row,
                AtMost(5.0),
                Unit::Percent,
                value(section, row),
            ));
        }
    }
    if let Some(section) = find(largest_pool::SECTION) {
        let row = largest_pool::SPEED;
        targets.extend(Target::of(
            format!("largest pool: {row}"),
            // What two rounds of the same thing differ by.
            AtLeast(95.0),
            Unit::Percent,
            value(section, row),
        ));
    }
    if let Some(section) = find(connections::RATES) {
        targets.extend(Target::of(
            "new connections of real clients, of HAProxy",
            AtLeast(3.0),
            Unit::Times,
            against(section, None, Contender::Haproxy.name(), 1.0),
        ));
    }
    if let Some(section) = find(connections::LATENCIES) {
        targets.extend(Target::of(
            connections::ADDED_P99,
            AtMost(10.0),
            Unit::Percent,
            value(section, connections::ADDED_P99),
        ));
    }
    targets
}

fn two_arms(section: &Section) -> Vec<Target> {
    let edgelb = Contender::Edgelb.name();
    let few = fewest(section);
    let mut targets = Vec::new();
    for (name, base, limit, unit, scale) in [
        (
            "two arms, of nftables full NAT, fewest flows",
            Contender::Nftables.name(),
            5.5,
            Unit::Times,
            1.0,
        ),
        (
            "two arms, of kernel routing, fewest flows",
            Contender::Routing.name(),
            3.0,
            Unit::Times,
            1.0,
        ),
        (
            "two arms, of bare redirect, fewest flows",
            BARE,
            85.0,
            Unit::Percent,
            100.0,
        ),
    ] {
        targets.extend(Target::of(
            name,
            AtLeast(limit),
            unit,
            against(section, few, base, scale),
        ));
    }
    if let (Some(first), Some(last)) = (
        section.named(edgelb).min_by_key(|row| row.flows),
        section.named(edgelb).max_by_key(|row| row.flows),
    ) && first.flows < last.flows
    {
        let share = 100.0 * last.value.median / first.value.median;
        targets.extend(Target::of(
            "two arms, most flows, of the rate with the fewest",
            AtLeast(50.0),
            Unit::Percent,
            [share],
        ));
    }
    targets.extend(Target::of(
        "routed media, of bare redirect",
        AtLeast(90.0),
        Unit::Percent,
        value(section, MEDIA_SHARE),
    ));
    targets
}

fn fewest(section: &Section) -> Option<u64> {
    let rows = section.named(Contender::Edgelb.name());
    rows.filter_map(|row| row.flows).min()
}

/// edgelb beside another.
fn against(section: &Section, flows: Option<u64>, base: &str, scale: f64) -> Option<f64> {
    let times = section.ratio(Contender::Edgelb.name(), base, flows)?;
    Some(times * scale)
}

/// The median of every row of this name.
fn value<'a>(section: &'a Section, row: &'a str) -> impl Iterator<Item = f64> + 'a {
    section.named(row).map(|row| row.value.median)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_is_judged_by_its_own_rows() {
        let unit = Unit::MegapacketsPerSecond;
        let mut two = Section::new(section_name(Arrangement::TwoArm, SIZE), "");
        for (name, flows, value) in [
            ("edgelb", 1000, 3.0),
            ("edgelb", 1_000_000, 1.2),
            (BARE, 1000, 3.6),
            (BARE, 1_000_000, 9.9),
            ("kernel routing", 1000, 0.75),
            ("nftables full NAT", 1000, 0.5),
        ] {
            two.add(name, Some(flows), unit, &[value]);
        }
        two.add(MEDIA_SHARE, Some(1000), Unit::Percent, &[97.0]);
        let judged: Vec<_> = of(&[two])
            .into_iter()
            .map(|target| (target.value.round() as i64, target.met()))
            .collect();
        assert_eq!(
            judged,
            [(6, true), (4, true), (83, false), (40, false), (97, true)]
        );
    }
}
