//! Clients with source-ip affinity stay with a node that drains, until its time is up.

use std::time::Duration;

use lb_common::{
    affinity::{Affinity, AffinityKey, MAX_AFFINITIES},
    net::Ip4,
};
use lb_daemon::{
    clock::Moment,
    config::Config,
    contents::{self, Change, Contents},
    drains::Drains,
    indexes::Indexes,
    node_state::{NodeState, Wanted},
    plan::Plan,
    staying::Staying,
    takers::Takers,
    warm_up::Shares,
    wishes::Wishes,
};
use lb_tests::{
    case::{Step, forwarded, play},
    packet::{flags, tcp, udp},
    runner::{Outcome, Port, ROUTER, Runner, host::Host, kernel::Kernel},
};

const POOL: &str = r#"
[pool]
name = "edge"
one_side = true
[interfaces]
external = ["ext0", "ext1"]
[vips]
av = "203.0.113.30"
[[nodes]]
name = "edge1"
av = "203.0.113.31"
[[nodes]]
name = "edge2"
av = "203.0.113.32"
"#;

/// What a client asks of A/V over UDP from this port, and where it goes: the last byte of the node.
fn media(client: &str, port: u16, node: u8) -> Step {
    let (from, to) = (format!("{client}:{port}"), format!("203.0.113.{node}:3478"));
    let packet = udp(&from, "203.0.113.30:3478");
    forwarded(Port::Ext0, packet, Port::Ext1, udp(&from, &to))
}

/// The same over TCP.
fn stream(client: &str, port: u16, node: u8) -> Step {
    let (from, to) = (format!("{client}:{port}"), format!("203.0.113.{node}:443"));
    let packet = tcp(&from, "203.0.113.30:443", flags::SYN);
    forwarded(Port::Ext0, packet, Port::Ext1, tcp(&from, &to, flags::SYN))
}

/// Two clients that the hash leads to a node with this last byte.
fn clients_of(node: u8) -> [String; 2] {
    let mut host = Host::new(POOL);
    let mut clients = (1..255_u8)
        .map(|number| format!("198.51.100.{number}"))
        .filter(|client| {
            let packet = udp(&format!("{client}:50000"), "203.0.113.30:3478");
            let frame = packet.macs(ROUTER, Port::Ext0.mac()).frame();
            let outcome = host.receive(Port::Ext0, &frame);
            matches!(outcome, Outcome::Redirected(frame) if frame[33] == node)
        });
    [(); 2].map(|()| clients.next().expect("half of them are"))
}

/// Everything that the daemon knows when `edge1` drains.
struct Draining {
    plan: Plan,
    indexes: Indexes,
    drains: Drains,
}

impl Draining {
    fn begin(now: u32) -> Self {
        let plan = Plan::of(&Config::parse(POOL).expect("it is right"));
        let mut indexes = Indexes::default();
        indexes.assign(&plan).expect("it fits");
        let (mut wishes, mut drains) = (Wishes::default(), Drains::default());
        let before = wishes.clone();
        let wanted = wishes.want(&plan, "edge1", None, Wanted::Draining);
        wanted.expect("it is known");
        let now = Moment {
            monotonic: now,
            wall: 0,
        };
        drains.begin(&plan, &before, &wishes, now);
        Self {
            plan,
            indexes,
            drains,
        }
    }

    /// The maps with `edge1` off the ring.
    fn contents(&self) -> Contents {
        let takers = Takers::default().decide(&self.plan, |_, node| match &*node.name {
            "edge1" => NodeState::Draining,
            _ => NodeState::Up,
        });
        let shares = Shares::default();
        Contents::with(&self.plan, &self.indexes, &takers, &shares, &self.drains)
    }

    /// Those who are with it.
    fn staying(&self, runner: &impl Runner) -> Staying {
        let mut staying = Staying::of(&self.plan, &self.indexes, &self.drains);
        runner.visit_flows(&mut |pair| staying.note(&pair[0].key, &pair[0].entry));
        staying
    }
}

fn drain(name: &str, runner: &mut impl Runner) {
    let [known, new] = clients_of(31);
    let [other, _] = clients_of(32);
    play(
        name,
        runner,
        &[media(&known, 40_000, 31), media(&other, 40_000, 32)],
    );

    let draining = Draining::begin(runner.now());
    let staying = draining.staying(runner);
    for (key, affinity) in staying.affinities() {
        runner.keep_client(&key, &affinity);
    }
    runner.hold(draining.contents());
    play(
        name,
        runner,
        &[
            // The flow that is there, another, and one of the other A/V service.
            media(&known, 40_000, 31),
            media(&known, 40_001, 31),
            stream(&known, 40_001, 31),
            // Who was not there does not get there any more.
            media(&new, 40_000, 32),
            stream(&new, 40_000, 32),
            media(&other, 40_001, 32),
            stream(&other, 40_001, 32),
        ],
    );

    let over = runner.now();
    for (key, affinity) in staying.affinities() {
        runner.keep_client(&key, &Affinity::new(affinity.node, over));
    }
    play(
        name,
        runner,
        &[
            media(&known, 40_000, 31),
            media(&known, 40_001, 31),
            media(&known, 40_002, 32),
            stream(&known, 40_002, 32),
        ],
    );
}

#[test]
fn ev7_ev8_clients_stay_with_a_node_that_drains_until_its_time_is_up() {
    drain("pure logic", &mut Host::new(POOL));
    drain("kernel", &mut Kernel::new(POOL));
}

/// The clock alone ends it: the daemon may be gone.
#[test]
fn time_is_up_after_drain_timeout() {
    let mut host = Host::new(POOL);
    let [known, _] = clients_of(31);
    play("", &mut host, &[media(&known, 40_000, 31)]);
    let draining = Draining::begin(host.now());
    for (key, affinity) in draining.staying(&host).affinities() {
        host.keep_client(&key, &affinity);
    }
    host.hold(draining.contents());
    let five_minutes = Duration::from_mins(5).as_secs() as u32;
    host.now += five_minutes - 1;
    play("", &mut host, &[stream(&known, 40_001, 31)]);
    host.now += 1;
    play("", &mut host, &[stream(&known, 40_002, 32)]);
}

/// No packet in between finds a ring without the node while its client is not looked up: not when it
/// begins to drain, and not when it takes new flows again.
#[test]
fn clients_are_looked_up_before_their_node_leaves_the_ring_and_after_it_is_back() {
    let draining = Draining::begin(0);
    let up = Contents::of(&draining.plan).expect("it fits");
    let drained = draining.contents();
    let kinds = |before, after| {
        let changes = contents::difference(before, after);
        let kinds = changes.iter().map(|change| match change {
            Change::Service(..) => "service",
            Change::Ring(..) => "ring",
            other => panic!("{other:?}"),
        });
        kinds.collect::<Vec<&str>>()
    };
    assert_eq!(kinds(&up, &drained), ["service", "service", "ring", "ring"]);
    assert_eq!(kinds(&drained, &up), ["ring", "ring", "service", "service"]);
}

/// Who does not fit is told; who is there already can be told anew.
#[test]
fn the_map_holds_as_many_clients_as_it_says() {
    let mut kernel = Kernel::new(POOL);
    let mut set = |client: u32| {
        let key = AffinityKey::new(Ip4::from_octets(client.to_be_bytes()), 0);
        let set = kernel.datapath.set_affinity(&key, &Affinity::new(0, 1));
        set.unwrap_or_else(|error| panic!("{error}"))
    };
    assert!((0..MAX_AFFINITIES).all(&mut set));
    assert!(!set(MAX_AFFINITIES));
    assert!(set(7));
}
