//! edgelb under a service manager, with exactly the capabilities of its unit.

use std::{
    fs::{self, Permissions},
    net::SocketAddrV4,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        net::UnixDatagram,
    },
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lb_tests::lab::{
    Lab,
    clients::{Answered, Question, ask_all},
    edgelb::{self, Edgelb, Instance},
    namespace::run,
    plan::{Arrangement, Host, Side, vip},
    process::Process,
};
use nix::sys::signal::Signal;

const UNIT: &str = include_str!("../../packaging/edgelb.service");

/// How long anything takes at most.
const PATIENCE: Duration = Duration::from_secs(10);

/// The values of a key of the unit.
fn unit(key: &str) -> Result<&'static str> {
    let line = |line: &'static str| line.strip_prefix(key)?.strip_prefix('=');
    UNIT.lines()
        .find_map(line)
        .with_context(|| format!("the unit has no {key}"))
}

/// What the service manager hears.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    fn listen(path: &Path) -> Result<Self> {
        let socket = UnixDatagram::bind(path)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            socket,
            heard: Vec::new(),
        })
    }

    /// Waits until it hears `what`, from here on.
    fn wait(&mut self, what: &str) -> Result<()> {
        let begun = Instant::now();
        let mut text = [0; 4096];
        while begun.elapsed() < PATIENCE {
            let length = self
                .socket
                .recv(&mut text)
                .with_context(|| format!("not {what}: {:?}", self.heard))?;
            let text = String::from_utf8_lossy(&text[..length]).into_owned();
            let found = text.lines().any(|line| line == what);
            self.heard.push(text);
            if found {
                return Ok(());
            }
        }
        anyhow::bail!("not {what}: {:?}", self.heard);
    }
}

/// In place of the unit's user, which nobody has made here: somebody who owns nothing on the machine.
const USER: u32 = 65_534;

/// An instance in folders that are the user's, as the unit makes them.
fn instance(lab: &Lab) -> Result<Instance> {
    let name = "unit/edgelb";
    for folder in [lab.folder.file("unit"), lab.folder.pin("unit")] {
        fs::create_dir(&folder)?;
        chown(&folder, Some(USER), Some(USER))?;
    }
    Instance::create(&lab.folder, name, &edgelb::config(lab.arrangement))
}

/// Starts edgelb as the unit says.
fn start(lab: &Lab, instance: &Instance, notify: &Path) -> Result<Process> {
    let capabilities: Vec<String> = unit("CapabilityBoundingSet")?
        .split(' ')
        .map(|name| name.replace("CAP_", "+").to_lowercase())
        .collect();
    let capabilities = format!("-all,{}", capabilities.join(","));
    let mut command = lab.host(Host::Balancer).command("setpriv")?;
    command
        .arg(format!("--reuid={USER}"))
        .arg(format!("--regid={USER}"))
        .arg("--clear-groups")
        .args(
            ["--bounding-set", "--inh-caps", "--ambient-caps"]
                .map(|set| format!("{set}={capabilities}")),
        )
        .arg("--no-new-privs")
        .arg(instance.program())
        .arg("run")
        .args(instance.options())
        .env("NOTIFY_SOCKET", notify)
        .env("WATCHDOG_USEC", "400000");
    Process::start("edgelb", &mut command, instance.log().to_owned())
}

fn connect(lab: &Lab) -> Result<Vec<Answered>> {
    let questions: Vec<Question> = (0..10)
        .map(|number| Question {
            from: Side::External.asker_address(number),
            to: SocketAddrV4::new(vip::ACCESS, 443),
        })
        .collect();
    let clients = lab.asker(Side::External);
    let answers = ask_all(clients, &lab.tls, &questions, Duration::ZERO)?;
    answers.into_iter().collect()
}

fn ensure_alive(lab: &Lab, connections: &mut [Answered]) -> Result<()> {
    lab.asker(Side::External).enter(|| {
        for answered in connections {
            answered.connection.who()?;
        }
        Ok(())
    })?
}

/// Connections by way of an edgelb that has run as root, and whose pins are handed over to the user, as the
/// unit does.
fn left_by_root(lab: &Lab, instance: &Instance) -> Result<Vec<Answered>> {
    let mut edgelb = Edgelb::start(instance.clone(), lab.host(Host::Balancer))?;
    let connections = connect(lab)?;
    ensure!(edgelb.stop(Signal::SIGTERM)?.success(), "{}", edgelb.log());
    let mut chown = Command::new("chown");
    run(chown
        .args(["-R", &format!("{USER}:{USER}")])
        .arg(instance.pin_dir()))?;
    Ok(connections)
}

#[test]
fn the_units_capabilities_are_enough_and_its_manager_hears_everything() -> Result<()> {
    ensure!(unit("Type")? == "notify");
    ensure!(unit("NoNewPrivileges")? == "yes");
    ensure!(unit("AmbientCapabilities")? == unit("CapabilityBoundingSet")?);
    ensure!(unit("User")? == "edgelb");
    let mut lab = Lab::up(Arrangement::TwoArm, |_| ())?;
    lab.end_edgelb()?;
    let instance = instance(&lab)?;
    let notify = lab.folder.file("notify.sock");
    let mut manager = Manager::listen(&notify)?;
    // As the service manager's is: everybody may write there.
    fs::set_permissions(&notify, Permissions::from_mode(0o777))?;

    let mut connections = left_by_root(&lab, &instance)?;
    let mut edgelb = start(&lab, &instance, &notify)?;
    manager.wait("READY=1")?;
    ensure_alive(&lab, &mut connections)?;
    let held = fs::read_to_string(format!("/proc/{}/status", edgelb.number()))?;
    let capabilities = unit("CapabilityBoundingSet")?.split(' ').count() as u32;
    let effective = held
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .context("no CapEff")?;
    ensure!(effective.count_ones() == capabilities, "{effective:x}");
    manager.wait("WATCHDOG=1")?;
    manager.wait("WATCHDOG=1")?;
    connections.extend(connect(&lab)?);

    // Interface and VIP come and go: that takes the same capabilities.
    let usual = edgelb::config(lab.arrangement);
    let service = "[[services]]\nname = \"web\"\nlisten = \"203.0.113.40:443/tcp\"\n\
        treatment = \"snat\"\nnodes = [{ name = \"edge1\", address = \"203.0.113.11:443\" }]\n";
    lab.host(Host::Balancer)
        .ip("link add spare0 type bridge\nlink set spare0 up\n")?;
    let more = format!("{usual}{service}").replacen("\"ext1\"]", "\"ext1\", \"spare0\"]", 1);
    for config in [more, usual] {
        instance.configure(&config)?;
        instance.reload()?;
        manager.wait("RELOADING=1")?;
        manager.wait("READY=1")?;
    }

    // Once more, with what the first one has left.
    ensure!(
        edgelb.end(Signal::SIGTERM)?.success(),
        "{}",
        edgelb.printed()
    );
    manager.wait("STOPPING=1")?;
    let mut edgelb = start(&lab, &instance, &notify)?;
    manager.wait("READY=1")?;
    ensure_alive(&lab, &mut connections)?;
    connect(&lab)?;
    let log = edgelb.printed();
    ensure!(
        !log.contains("permitted") && !log.contains("denied"),
        "{log}"
    );
    ensure!(edgelb.end(Signal::SIGTERM)?.success(), "{log}");
    Ok(())
}
