//! Runs packets through the real eBPF object in the real kernel (`BPF_PROG_TEST_RUN`), in a network
//! namespace of the calling thread's own with real interfaces, routes and neighbours.

use std::{fs, process::Command};

use aya::programs::{TestRun as _, TestRunOptions};
use lb_common::{
    affinity::{Affinity, AffinityKey},
    drop_reason::{ANSWERED_CELL, DropReason},
    interface::Interface,
    net::{Ip4, Mac},
};
use lb_daemon::{
    clock,
    contents::{self, Contents},
    datapath::{Attached, Datapath, Pair, Sizes},
    network,
};
use nix::sched::{CloneFlags, unshare};

use super::{NEIGHBOURS, Neighbour, Outcome, Port, Runner, contents};

/// The data path in a namespace that goes with the calling thread.
pub struct Kernel {
    /// The data path.
    pub datapath: Datapath,
    contents: Contents,
    /// The counters after the latest packet: reading them takes longer than the packet.
    verdicts: Vec<u64>,
    _attached: Vec<Attached>,
}

impl Kernel {
    /// For a configuration. Moves the calling thread into a network namespace of its own.
    ///
    /// # Panics
    ///
    /// Where the kernel or the privileges do not allow it: a test of the kernel without the kernel
    /// would be none.
    pub fn new(config: &str) -> Self {
        Self::among(config, &NEIGHBOURS)
    }

    /// The same with other hosts around.
    ///
    /// # Panics
    ///
    /// As [`Self::new`].
    pub fn among(config: &str, neighbours: &[Neighbour]) -> Self {
        unshare(CloneFlags::CLONE_NEWNET).unwrap_or_else(|error| {
            panic!("no network namespace of my own ({error}); run as root")
        });
        interfaces(neighbours);
        network::enable_routing_look_ups().unwrap_or_else(|error| panic!("{error:#}"));
        let (contents, plan) = contents(config);
        let sizes = Sizes {
            flows: plan.limits.max_flows,
            half_open: plan.limits.max_half_open,
        };
        let mut datapath = Datapath::load(sizes, None).unwrap_or_else(|error| panic!("{error}"));
        fill(&mut datapath, &Contents::default(), &contents);
        let attached = Port::ALL.map(|port| attach(&mut datapath, port)).into();
        let verdicts = verdicts(&datapath);
        Self {
            datapath,
            contents,
            verdicts,
            _attached: attached,
        }
    }

    /// Reads the counters and returns them as they were before.
    fn count(&mut self) -> Vec<u64> {
        let now = verdicts(&self.datapath);
        std::mem::replace(&mut self.verdicts, now)
    }
}

fn fill(datapath: &mut Datapath, before: &Contents, after: &Contents) {
    for change in contents::difference(before, after) {
        datapath
            .apply(&change)
            .unwrap_or_else(|error| panic!("{error}"));
    }
}

fn attach(datapath: &mut Datapath, port: Port) -> Attached {
    let interface = Interface {
        index: index(port),
        mac: Mac::new(port.mac()),
        zone: u8::from(port == Port::Int0),
        reserved: 0,
        address: Ip4::from_octets(port.own_address()),
    };
    datapath
        .set_interface(port.name(), &interface)
        .and_then(|()| datapath.attach(port.name(), interface.index))
        .unwrap_or_else(|error| panic!("{error}"))
}

/// The kernel's index of an interface in the calling thread's namespace.
///
/// # Panics
///
/// Where there is none.
pub fn index(port: Port) -> u32 {
    nix::net::if_::if_nametoindex(port.name()).unwrap_or_else(|error| panic!("{port:?}: {error}"))
}

/// Makes the interfaces in the calling thread's namespace.
fn interfaces(neighbours: &[Neighbour]) {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let file = folder.path().join("batch");
    fs::write(&file, script(neighbours)).unwrap_or_else(|error| panic!("{error}"));
    let status = Command::new("ip").arg("-batch").arg(&file).status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "ip -batch failed"
    );
}

/// Lines of `ip` that make real interfaces with permanent neighbours: nothing is sent on them.
pub fn script(neighbours: &[Neighbour]) -> String {
    let mut script = String::from("link set lo up\n");
    for port in Port::ALL {
        let name = port.name();
        let mac = hex(port.mac());
        script += &format!("link add {name} address {mac} type veth peer name {name}p\n");
        let [a, b, c, d] = port.own_address();
        script += &format!("address add {a}.{b}.{c}.{d}/24 dev {name}\n");
        script += &format!("link set {name} up\nlink set {name}p up\n");
    }
    for known in neighbours {
        let [a, b, c, d] = known.address;
        script += &format!(
            "neighbour add {a}.{b}.{c}.{d} lladdr {} dev {} nud permanent\n",
            hex(known.mac),
            known.port.name()
        );
    }
    script + "route add default via 192.0.2.254\n"
}

fn hex(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// The context of a frame that came in by an interface: `struct xdp_md` with data, `data_end`, `data_meta`,
/// `ingress_ifindex`, `rx_queue_index` and `egress_ifindex`.
pub fn received(length: usize, interface: u32) -> Vec<u8> {
    [0, length as u32, 0, interface, 0, 0]
        .into_iter()
        .flat_map(u32::to_ne_bytes)
        .collect()
}

impl Runner for Kernel {
    fn receive(&mut self, at: Port, frame: &[u8]) -> Outcome {
        let context = received(frame.len(), index(at));
        // An ICMP error about a short packet is longer than the packet.
        let mut out = vec![0; frame.len() + 64];
        let program = self
            .datapath
            .program()
            .unwrap_or_else(|error| panic!("{error}"));
        let result = program
            .test_run(TestRunOptions {
                data_in: Some(frame),
                data_out: Some(&mut out),
                ctx_in: Some(&context),
                ..TestRunOptions::new()
            })
            .unwrap_or_else(|error| panic!("test run: {error}"));
        out.truncate(result.data_size_out as usize);
        // enum xdp_action: aborted, drop, pass, tx, redirect.
        match result.return_value {
            1 => {
                let before = self.count();
                Outcome::Dropped(reason(&before, &self.verdicts))
            }
            2 => {
                let before = self.count();
                // More than one, at times: IPv6 is at work on the interfaces by itself.
                assert!(
                    self.verdicts[0] > before[0],
                    "a packet for the kernel is not counted"
                );
                assert_eq!(out, frame, "a packet for the kernel was changed");
                Outcome::Passed
            }
            3 => {
                let before = self.count();
                if self.verdicts[ANSWERED_CELL as usize] > before[ANSWERED_CELL as usize] {
                    Outcome::Answered(reason(&before, &self.verdicts), out)
                } else {
                    Outcome::Returned(out)
                }
            }
            4 => Outcome::Redirected(out),
            other => panic!("XDP action {other}"),
        }
    }

    fn visit_flows(&self, visit: &mut dyn FnMut(&Pair)) {
        let walked = self.datapath.walk_flows(visit);
        walked.unwrap_or_else(|error| panic!("{error}"));
    }

    fn hold(&mut self, contents: Contents) {
        fill(&mut self.datapath, &self.contents, &contents);
        self.contents = contents;
    }

    fn keep_client(&mut self, key: &AffinityKey, affinity: &Affinity) {
        let kept = self.datapath.set_affinity(key, affinity);
        assert!(kept.unwrap_or_else(|error| panic!("{error}")), "no room");
    }

    fn now(&self) -> u32 {
        clock::now()
    }
}

fn verdicts(datapath: &Datapath) -> Vec<u64> {
    datapath
        .verdicts()
        .unwrap_or_else(|error| panic!("{error}"))
}

/// The one reason that was counted.
fn reason(before: &[u64], after: &[u64]) -> DropReason {
    let counted: Vec<DropReason> = DropReason::ALL
        .iter()
        .copied()
        .filter(|reason| after[*reason as usize] == before[*reason as usize] + 1)
        .collect();
    match counted.as_slice() {
        [reason] => *reason,
        other => panic!("a drop with {} counted reasons", other.len()),
    }
}
