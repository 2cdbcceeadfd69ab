//! A figure of the bench is about what it claims to be about, or there is none.

use std::thread;

use lb_common::drop_reason::DropReason;
use lb_tests::{
    bench::packet::{
        bed::{Bed, Expected, Path},
        opening::{TCP, TO_CLIENT, TO_NODE},
        traffic::{Says, frame},
    },
    runner::Port,
};

/// A bed with a few flows, and the clients' packets of them.
fn bed() -> (Bed, Path) {
    let mut bed = Bed::new(1024, 256, 1024).expect("a bed");
    let flows = TCP.fill(&mut bed, 100, 64).expect("flows");
    bed.holds(100).expect("all of them");
    let frames = flows
        .iter()
        .map(|flow| frame(Port::Ext0, flow.client, flow.vip, Says::Segment));
    let path = Path {
        name: "hit",
        at: Port::Ext0,
        templates: bed.keep(frames.collect::<Vec<_>>()).expect("room"),
        expected: TO_NODE,
    };
    (bed, path)
}

/// On a thread of its own, which has a network namespace of its own.
fn apart(test: fn()) {
    thread::spawn(test).join().expect("the test fails");
}

#[test]
fn all_packets_of_a_path_must_go_that_way() {
    apart(|| {
        let (mut bed, path) = bed();
        let time = bed.measure(&path, 100, 1000).expect("a figure");
        assert!(time.nanoseconds > 0.0);
        for expected in [
            TO_CLIENT,
            Expected::Routed,
            Expected::Passed,
            Expected::Dropped(DropReason::Policy),
        ] {
            let other = Path {
                expected,
                ..path.clone()
            };
            let error = bed.measure(&other, 0, 1000).expect_err("no figure");
            let text = format!("{error:#}");
            assert!(text.contains("did not all take this way"), "{text}");
        }
    });
}

#[test]
fn one_packet_that_goes_another_way_is_seen() {
    apart(|| {
        let (mut bed, mut path) = bed();
        let stray = "198.51.100.7:40000".parse().expect("an address");
        let vip = "203.0.113.10:443".parse().expect("an address");
        let stray = frame(Port::Ext0, stray, vip, Says::Segment);
        path.templates.end = bed.keep([stray]).expect("room").end;
        bed.measure(&path, 0, 100).expect("all but the stray");
        bed.measure(&path, 0, 101).expect_err("the stray");
    });
}
