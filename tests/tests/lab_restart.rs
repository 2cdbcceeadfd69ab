//! The data path outlives the daemon: flows, counters and packets are none the worse for a daemon that
//! is killed, stopped or replaced by another version.

use std::{
    fs,
    net::{SocketAddrV4, UdpSocket},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use aya::{
    maps::{Array, MapData},
    programs::{
        ProgramInfo,
        links::{FdLink, PinnedLink},
    },
};
use lb_common::names;
use lb_daemon::snapshot::FlowStatus;
use lb_tests::lab::{
    Lab,
    clients::{Answered, Question, ask_all},
    edgelb::{self, Edgelb, Instance},
    namespace::run,
    plan::{Arrangement, Host, Side, vip},
    stream::Stream,
};
use nix::sys::signal::Signal;

fn up() -> Result<Lab> {
    Lab::up(Arrangement::TwoArm, |_| ())
}

fn connect(lab: &Lab, count: u8) -> Result<Vec<Answered>> {
    let questions: Vec<Question> = (0..count)
        .map(|number| Question {
            from: Side::External.asker_address(number),
            to: SocketAddrV4::new(vip::ACCESS, 443),
        })
        .collect();
    let clients = lab.asker(Side::External);
    let answers = ask_all(clients, &lab.tls, &questions, Duration::ZERO)?;
    answers.into_iter().collect()
}

/// That every connection still leads to the node that it led to.
fn ensure_alive(lab: &Lab, connections: &mut [Answered]) -> Result<()> {
    lab.asker(Side::External).enter(|| {
        for answered in connections {
            let now = answered.connection.who()?;
            let (node, saw) = (&answered.who.node, answered.who.saw);
            ensure!(now.node == *node && now.saw == saw, "{node} {saw}: {now:?}");
        }
        Ok(())
    })?
}

/// What a flow is, without what its packets change.
fn identities(flows: Vec<FlowStatus>) -> Vec<String> {
    let mut identities: Vec<String> = flows
        .into_iter()
        .map(|flow| {
            format!(
                "{} {} {} {} {} {} {} {}",
                flow.protocol,
                flow.treatment,
                flow.service,
                flow.node,
                flow.client,
                flow.vip,
                flow.source,
                flow.state
            )
        })
        .collect();
    identities.sort_unstable();
    identities
}

fn addresses(lab: &Lab) -> Result<String> {
    let name = lab.host(Host::Balancer).name();
    run(Command::new("ip").args(["-n", name, "-details", "address", "show"]))
}

/// The tag of the program that is pinned: a hash of its instructions.
fn tag(instance: &Instance) -> Result<u64> {
    let pin = instance
        .pin_dir()
        .join(format!("layout-{}/edgelb", names::LAYOUT));
    Ok(ProgramInfo::from_pin(pin)?.tag())
}

/// The numbers of the attachments and of the programs on them, in the order of the interfaces.
fn attachments(instance: &Instance) -> Result<(Vec<u32>, Vec<u32>)> {
    let mut paths: Vec<PathBuf> = fs::read_dir(instance.pin_dir().join("links"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    paths.sort_unstable();
    let mut links = Vec::new();
    let mut programs = Vec::new();
    for path in paths {
        let info = FdLink::from(PinnedLink::from_pin(path)?).info()?;
        links.push(info.id());
        programs.push(info.program_id());
    }
    Ok((links, programs))
}

/// The daemon goes and comes back under load, as `go` and `come` have it, and nobody notices.
fn ensure_not_noticed(
    lab: &mut Lab,
    go: impl FnOnce(&mut Lab) -> Result<()>,
    come: impl FnOnce(&mut Lab) -> Result<()>,
) -> Result<()> {
    let mut connections = connect(lab, 40)?;
    let stream = Stream::start(lab, 200)?;
    let before = lab.edgelb.instance.status()?;
    let flows = identities(lab.edgelb.instance.flows()?);
    ensure!(flows.len() == 41, "{flows:#?}");
    let (links, programs) = attachments(&lab.edgelb.instance)?;

    go(lab)?;
    // Nobody is there now; not even new clients notice.
    thread::sleep(Duration::from_millis(500));
    ensure_alive(lab, &mut connections)?;
    let mut more = connect(lab, 10)?;
    come(lab)?;
    thread::sleep(Duration::from_millis(500));

    ensure_alive(lab, &mut connections)?;
    ensure_alive(lab, &mut more)?;
    stream.stop()?.ensure_whole()?;
    let now = identities(lab.edgelb.instance.flows()?);
    let lost: Vec<_> = flows.iter().filter(|flow| !now.contains(flow)).collect();
    ensure!(lost.is_empty(), "{lost:#?}");
    ensure!(now.len() == 51, "{now:#?}");
    let after = lab.edgelb.instance.status()?;
    for (before, after) in before.services.iter().zip(&after.services) {
        for (before, after) in before.nodes.iter().zip(&after.nodes) {
            ensure!(after.opened >= before.opened, "{before:?} {after:?}");
            ensure!(
                after.traffic.packets_in >= before.traffic.packets_in,
                "{before:?} {after:?}"
            );
        }
    }
    ensure!(after.packets.forwarded > before.packets.forwarded);
    ensure!(
        after.services[0]
            .nodes
            .iter()
            .map(|node| node.opened)
            .sum::<u64>()
            == 50
    );
    // The same attachments with another program: the kernel has changed one for the other in between two
    // packets. A stream may have luck.
    let (links_now, programs_now) = attachments(&lab.edgelb.instance)?;
    ensure!(
        links.len() == 4 && links_now == links,
        "{links:?} {links_now:?}"
    );
    ensure!(
        programs.iter().all(|old| !programs_now.contains(old)),
        "{programs:?} {programs_now:?}"
    );
    connect(lab, 10)?;
    Ok(())
}

fn kill(lab: &mut Lab) -> Result<()> {
    ensure!(!lab.edgelb.stop(Signal::SIGKILL)?.success());
    Ok(())
}

#[test]
fn a_daemon_that_is_killed_and_started_again_is_not_noticed() -> Result<()> {
    let mut lab = up()?;
    ensure_not_noticed(&mut lab, kill, Lab::start_edgelb)
}

#[test]
fn a_restart_is_not_noticed() -> Result<()> {
    let mut lab = up()?;
    let stop = |lab: &mut Lab| {
        ensure!(lab.edgelb.stop(Signal::SIGTERM)?.success());
        Ok(())
    };
    ensure_not_noticed(&mut lab, stop, Lab::start_edgelb)
}

/// Another eBPF object in the same program: one instruction, which cuts a number of less than 4,093 to
/// 12 bits, cuts it to 13.
fn with_another_object(program: &Path, copy: &Path) -> Result<()> {
    let mut bytes = fs::read(program)?;
    let is_object = |bytes: &[u8]| {
        // ELF, little-endian, for BPF.
        bytes.starts_with(b"\x7fELF\x02\x01") && bytes.get(18..20) == Some(&[247, 0])
    };
    let start = (0..bytes.len())
        .find(|at| is_object(&bytes[*at..]))
        .context("there is no eBPF object in it")?;
    let is_and_4095 = |window: &[u8]| window[0] == 0x57 && window[2..] == [0, 0, 0xff, 0x0f, 0, 0];
    let at = bytes[start..]
        .windows(8)
        .position(is_and_4095)
        .context("there is no such instruction")?;
    bytes[start + at + 5] = 0x1f;
    fs::write(copy, bytes)?;
    fs::set_permissions(copy, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

#[test]
fn an_upgrade_to_another_ebpf_object_is_not_noticed() -> Result<()> {
    let mut lab = up()?;
    let upgrade: PathBuf = lab.folder.file("edgelb-upgrade");
    with_another_object(lab.edgelb.instance.program(), &upgrade)?;
    let before = tag(&lab.edgelb.instance)?;
    ensure_not_noticed(&mut lab, kill, |lab| {
        let instance = lab.edgelb.instance.clone().with_program(upgrade);
        lab.edgelb = Edgelb::start(instance, lab.host(Host::Balancer))?;
        Ok(())
    })?;
    ensure!(
        tag(&lab.edgelb.instance)? != before,
        "it is the same program"
    );
    Ok(())
}

#[test]
fn a_flow_that_is_not_confirmed_goes_over_into_a_table_of_another_size() -> Result<()> {
    let mut lab = up()?;
    let client = lab
        .asker(Side::External)
        .enter(|| UdpSocket::bind((Side::External.asker_address(0), 0)))??;
    // Nobody answers there.
    client.connect(SocketAddrV4::new(vip::AV, 3478))?;
    client.send(b"first")?;
    let limits = "[limits]\nmax_half_open = 1000\n";
    let usual = edgelb::config(lab.arrangement);
    lab.edgelb.instance.configure(&format!("{usual}{limits}"))?;
    kill(&mut lab)?;
    lab.start_edgelb()?;
    // The first try may tell that the first was refused by the node.
    let _ = client.take_error()?;
    client.send(b"second")?;
    thread::sleep(Duration::from_millis(200));
    let flows = lab.edgelb.instance.flows()?;
    let [flow] = &flows[..] else {
        anyhow::bail!("{flows:?}");
    };
    ensure!(
        (&*flow.state, flow.packets_in) == ("half-open", 2),
        "{flow:?}"
    );
    Ok(())
}

/// A larger table, and a smaller one: flows go over. One that is too small is refused, and what runs
/// goes on.
#[test]
fn flows_go_over_into_tables_of_another_size() -> Result<()> {
    let mut lab = up()?;
    let usual = edgelb::config(lab.arrangement);
    // The second is of the same size as the first, but otherwise divided.
    for (flows, half_open) in [(400_000, 300_000), (300_000, 400_000), (1000, 1000)] {
        let limits = format!("[limits]\nmax_flows = {flows}\nmax_half_open = {half_open}\n");
        lab.edgelb.instance.configure(&format!("{usual}{limits}"))?;
        let mut connections = connect(&lab, 20)?;
        let stream = Stream::start(&lab, 200)?;
        kill(&mut lab)?;
        lab.start_edgelb()?;
        let table = lab.edgelb.instance.status()?.flow_table;
        ensure!((table.capacity, table.half_open_capacity) == (flows, half_open));
        ensure_alive(&lab, &mut connections)?;
        stream.stop()?.ensure_whole()?;
    }
    let mut connections = connect(&lab, 40)?;
    kill(&mut lab)?;
    let instance = lab.edgelb.instance.clone();
    instance.configure(&format!("{usual}[limits]\nmax_flows = 16\n"))?;
    let (status, printed) = instance.run(lab.host(Host::Balancer))?;
    ensure!(!status.success(), "{printed}");
    ensure!(printed.contains("raise limits.max_flows"), "{printed}");
    ensure_alive(&lab, &mut connections)?;
    instance.configure(&usual)?;
    lab.start_edgelb()?;
    ensure_alive(&lab, &mut connections)
}

/// What this edgelb cannot go on with it says, and touches nothing.
#[test]
fn maps_of_another_version_are_refused_before_anything_is_touched() -> Result<()> {
    let mut lab = up()?;
    let mut connections = connect(&lab, 10)?;
    kill(&mut lab)?;
    let instance = lab.edgelb.instance.clone();
    let pins = instance.pin_dir();
    let refused = |what: &str| -> Result<()> {
        let before = addresses(&lab)?;
        let (status, printed) = instance.run(lab.host(Host::Balancer))?;
        ensure!(!status.success(), "{what}: {printed}");
        ensure!(printed.contains(what), "{printed}");
        ensure!(printed.contains("edgelb detach"), "{printed}");
        ensure!(addresses(&lab)? == before, "{printed}");
        Ok(())
    };
    let layout = format!("layout-{}", names::LAYOUT);
    fs::rename(pins.join(&layout), pins.join("layout-0"))?;
    refused("layout-0")?;
    ensure_alive(&lab, &mut connections)?;
    fs::rename(pins.join("layout-0"), pins.join(&layout))?;

    let flows = pins.join(&layout).join("FLOWS");
    let aside = pins.join(&layout).join("aside");
    fs::rename(&flows, &aside)?;
    Array::<MapData, u64>::create(16, 0)?.pin(&flows)?;
    refused("the pinned map FLOWS")?;
    ensure_alive(&lab, &mut connections)?;
    fs::remove_file(&flows)?;
    fs::rename(&aside, &flows)?;

    // Counters are no reason to refuse anything.
    let counters = pins.join(&layout).join("VERDICTS");
    fs::remove_file(&counters)?;
    Array::<MapData, u64>::create(16, 0)?.pin(&counters)?;
    lab.start_edgelb()?;
    ensure!(
        lab.edgelb.log().contains("map VERDICTS"),
        "{}",
        lab.edgelb.log()
    );
    ensure_alive(&lab, &mut connections)
}

/// The configuration has changed while the daemon was not there.
#[test]
fn what_is_gone_from_the_configuration_goes_at_the_next_start() -> Result<()> {
    let mut lab = up()?;
    let usual = edgelb::config(lab.arrangement);
    let service = "[[services]]\nname = \"web\"\nlisten = \"203.0.113.40:443/tcp\"\n\
        treatment = \"snat\"\nnodes = [{ name = \"edge1\", address = \"203.0.113.11:443\" }]\n";
    lab.host(Host::Balancer).ip(
        "link add spare0 type veth peer name spare1\nlink set spare0 up\nlink set spare1 up\n",
    )?;
    let more = format!("{usual}{service}").replacen("\"ext1\"]", "\"ext1\", \"spare0\"]", 1);
    lab.edgelb.instance.configure(&more)?;
    lab.edgelb.instance.reload()?;
    let found = addresses(&lab)?;
    ensure!(found.contains("203.0.113.40/32") && found.matches("prog/xdp").count() == 5);
    let mut connections = connect(&lab, 20)?;
    let stream = Stream::start(&lab, 200)?;
    let flows = identities(lab.edgelb.instance.flows()?);

    kill(&mut lab)?;
    // A service that comes before most others goes too: those keep their places.
    let no_xmpp = usual.replacen("[pool]", "[pool]\nxmpp = false", 1);
    lab.edgelb.instance.configure(&no_xmpp)?;
    lab.start_edgelb()?;
    let now = identities(lab.edgelb.instance.flows()?);
    ensure!(now == flows, "{flows:#?}\n{now:#?}");
    stream.stop()?.ensure_whole()?;
    let found = addresses(&lab)?;
    ensure!(!found.contains("203.0.113.40/32"), "{found}");
    ensure!(found.matches("prog/xdp").count() == 4, "{found}");
    ensure_alive(&lab, &mut connections)?;

    // An interface that is made anew has another index, or the same and no program.
    kill(&mut lab)?;
    lab.edgelb.instance.configure(&more)?;
    lab.start_edgelb()?;
    kill(&mut lab)?;
    lab.host(Host::Balancer).ip(
        "link del spare0\nlink add spare0 type veth peer name spare1\nlink set spare0 up\nlink set spare1 up\n",
    )?;
    lab.start_edgelb()?;
    let found = addresses(&lab)?;
    ensure!(found.matches("prog/xdp").count() == 5, "{found}");
    ensure_alive(&lab, &mut connections)
}

#[test]
fn a_second_edgelb_with_the_same_pins_is_refused() -> Result<()> {
    let lab = up()?;
    let mut connections = connect(&lab, 10)?;
    let second = lab
        .edgelb
        .instance
        .clone()
        .with_control_socket(&lab.folder, "second");
    let (status, printed) = second.run(lab.host(Host::Balancer))?;
    ensure!(!status.success(), "{printed}");
    ensure!(
        printed.contains("another edgelb is running with it"),
        "{printed}"
    );
    ensure_alive(&lab, &mut connections)
}
