//! How edgelb starts and stops, and how the lab goes.

use std::{
    fs,
    net::SocketAddrV4,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lb_tests::lab::{
    Lab,
    clients::{Question, ask_all},
    edgelb::{self, Instance},
    leftovers,
    namespace::{self, run},
    plan::{Arrangement, Host, NODES, Side, vip},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

fn up(arrangement: Arrangement) -> Result<Lab> {
    Lab::up(arrangement, |_| ())
}

/// What is in the namespace of edgelb: its links and addresses, as `ip` says.
fn interfaces(lab: &Lab) -> Result<String> {
    let name = lab.host(Host::Balancer).name();
    run(Command::new("ip").args(["-n", name, "-details", "address", "show"]))
}

/// The neighbours that edgelb's kernel knows.
fn neighbours(lab: &Lab) -> Result<String> {
    let name = lab.host(Host::Balancer).name();
    run(Command::new("ip").args(["-n", name, "neighbour", "show"]))
}

fn holds_vips(lab: &Lab) -> Result<Vec<bool>> {
    let interfaces = interfaces(lab)?;
    Ok(vip::ALL
        .map(|vip| interfaces.contains(&format!("inet {vip}/32 ")))
        .into())
}

/// That clients are served.
fn assert_serves(lab: &Lab) -> Result<()> {
    let questions: Vec<_> = (0..8)
        .map(|number| Question {
            from: Side::External.asker_address(number),
            to: SocketAddrV4::new(vip::ACCESS, 443),
        })
        .collect();
    let clients = lab.asker(Side::External);
    for answer in ask_all(clients, &lab.tls, &questions, Duration::ZERO)? {
        answer?;
    }
    Ok(())
}

/// A signal ends the daemon and nothing else; `edgelb detach` takes the rest.
fn assert_ends_cleanly(arrangement: Arrangement, signal: Signal) -> Result<()> {
    let mut lab = up(arrangement)?;
    assert_serves(&lab)?;

    let status = lab.edgelb.stop(signal)?;

    let log = lab.edgelb.log();
    assert!(status.success(), "{status}\n{log}");
    let instance = &lab.edgelb.instance;
    assert!(!instance.control_socket().exists(), "{log}");
    assert!(instance.status().is_err());
    assert!(holds_vips(&lab)?.into_iter().all(|held| held), "{log}");
    assert!(interfaces(&lab)?.contains("prog/xdp"), "{log}");
    assert!(neighbours(&lab)?.contains("managed"), "{log}");
    assert_serves(&lab)?;

    let printed = instance.detach(lab.host(Host::Balancer))?;

    assert!(holds_vips(&lab)?.into_iter().all(|held| !held), "{printed}");
    assert!(!interfaces(&lab)?.contains("prog/xdp"), "{printed}");
    assert!(!neighbours(&lab)?.contains("managed"), "{printed}");
    assert!(!instance.pin_dir().exists(), "{printed}");
    let again = instance.detach(lab.host(Host::Balancer))?;
    assert!(again.contains("there is no data path"), "{again}");
    Ok(())
}

#[test]
fn sigterm_leaves_the_data_path_and_detach_takes_it_off_two_arm() -> Result<()> {
    assert_ends_cleanly(Arrangement::TwoArm, Signal::SIGTERM)
}

#[test]
fn sigint_leaves_the_data_path_and_detach_takes_it_off_one_arm() -> Result<()> {
    assert_ends_cleanly(Arrangement::OneArm, Signal::SIGINT)
}

#[test]
fn detach_is_refused_while_edgelb_runs() -> Result<()> {
    let lab = up(Arrangement::OneArm)?;
    let Err(error) = lab.edgelb.instance.detach(lab.host(Host::Balancer)) else {
        anyhow::bail!("detached under a running edgelb");
    };
    let error = format!("{error:#}");
    assert!(error.contains("another edgelb is running"), "{error}");
    assert_serves(&lab)
}

#[test]
fn edgelb_can_be_started_again_after_it_was_detached() -> Result<()> {
    let mut lab = up(Arrangement::TwoArm)?;
    lab.end_edgelb()?;
    lab.start_edgelb()?;
    assert_serves(&lab)
}

#[test]
fn a_second_edgelb_on_the_same_interfaces_is_refused_and_the_first_goes_on() -> Result<()> {
    let lab = up(Arrangement::TwoArm)?;
    let second = Instance::create(&lab.folder, "second", &edgelb::config(lab.arrangement))?;

    let (status, printed) = second.run(lab.host(Host::Balancer))?;

    assert!(!status.success(), "{printed}");
    assert_one_error(&printed, "ext0");
    assert!(holds_vips(&lab)?.into_iter().all(|held| held), "{printed}");
    lab.edgelb.instance.status()?;
    assert_serves(&lab)
}

/// That what was printed ends with one error, which speaks of `what`.
fn assert_one_error(printed: &str, what: &str) {
    let errors: Vec<_> = printed
        .lines()
        .filter(|line| line.starts_with("edgelb: "))
        .collect();
    assert_eq!(errors.len(), 1, "{printed}");
    assert!(errors[0].contains(what), "{printed}");
    assert!(printed.ends_with(&format!("{}\n", errors[0])), "{printed}");
}

/// Each of these is refused with one error that names what is wrong, and nothing is left behind.
#[test]
fn what_cannot_work_is_refused_with_one_error() -> Result<()> {
    let mut lab = up(Arrangement::OneArm)?;
    lab.end_edgelb()?;
    let balancer = lab.host(Host::Balancer);
    let good = edgelb::config(lab.arrangement);
    let taken = vip::WEBCONF.to_string();
    let cases = [
        (
            "unknown-key",
            good.replacen("webconf =", "webcnof =", 1),
            "webcnof",
        ),
        (
            "no-address",
            good.replace(&format!("\"{}\"", vip::ACCESS), "\"203.0.113.300\""),
            "203.0.113.300",
        ),
        ("no-interface", good.replace("\"ext0\"", "\"ext7\""), "ext7"),
        (
            "foreign-vip",
            good.replace(
                &format!("{taken:?}"),
                &format!("\"{}\"", Side::External.networks().router),
            ),
            "203.0.113.1",
        ),
    ];
    for (name, config, what) in cases {
        assert_ne!(config, good, "{name}");
        let instance = Instance::create(&lab.folder, name, &config)?;
        let (status, printed) = instance.run(balancer)?;
        assert!(!status.success(), "{name}: {printed}");
        assert_one_error(&printed, what);
        assert!(
            holds_vips(&lab)?.into_iter().all(|held| !held),
            "{name}: {printed}"
        );
        assert!(!instance.pin_dir().exists(), "{name}: {printed}");
    }
    Ok(())
}

/// What the whole machine knows of a lab.
fn traces(lab: &str) -> Result<Vec<String>> {
    let mut traces = leftovers::traces(lab)?;
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    traces.extend(
        mounts
            .lines()
            .filter(|line| line.contains(lab))
            .map(str::to_owned),
    );
    for entry in fs::read_dir("/proc")? {
        // Processes come and go while this looks.
        if let Ok(command) = fs::read_to_string(entry?.path().join("cmdline"))
            && command.contains(lab)
        {
            traces.push(command.replace('\0', " "));
        }
    }
    Ok(traces)
}

#[test]
fn a_lab_that_is_dropped_leaves_nothing() -> Result<()> {
    let lab = up(Arrangement::TwoArm)?;
    let name = lab.folder.name().to_owned();
    // Seven hosts, the folder, the bpffs, edgelb and a master and a worker of nginx on each node: that
    // none of it is found afterwards means something.
    let found = traces(&name)?;
    assert!(
        found.len() >= Host::ALL.len() + 3 + NODES.len(),
        "{found:?}"
    );
    assert!(!leftovers::find()?.contains(&name), "it is in use");

    drop(lab);

    assert_eq!(traces(&name)?, Vec::<String>::new());
    Ok(())
}

#[test]
fn a_panic_takes_the_lab_down() -> Result<()> {
    let (send, receive) = std::sync::mpsc::channel();
    let panicked = thread::spawn(move || {
        let lab = up(Arrangement::OneArm).expect("a lab");
        send.send(lab.folder.name().to_owned()).expect("a receiver");
        panic!("as a test does that fails");
    });
    assert!(panicked.join().is_err());
    assert_eq!(traces(&receive.recv()?)?, Vec::<String>::new());
    Ok(())
}

#[test]
fn a_lab_that_is_kept_goes_on_until_it_is_removed() -> Result<()> {
    let lab = up(Arrangement::TwoArm)?;
    let name = lab.folder.name().to_owned();
    let instance = lab.edgelb.instance.clone();
    lab.keep();

    assert!(leftovers::find()?.contains(&name));
    instance.status()?;
    leftovers::remove(&name)?;

    assert_eq!(traces(&name)?, Vec::<String>::new());
    Ok(())
}

#[test]
fn ctrl_c_takes_the_lab_down() -> Result<()> {
    let mut program = Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(["--arrangement", "two-arm"])
        .stdout(std::process::Stdio::null())
        .spawn()?;
    let name = format!("elb{}-0", program.id());
    let wait_for = |what: &str, there: &dyn Fn() -> Result<bool>| -> Result<()> {
        let begun = Instant::now();
        while !there()? {
            ensure!(
                begun.elapsed() < Duration::from_secs(20),
                "{what} does not happen"
            );
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    };
    let balancer = format!("{name}-edgelb");
    let outcome = wait_for("edgelb", &|| {
        Ok(namespace::all()?.contains(&balancer) && !namespace::processes(&balancer)?.is_empty())
    });
    kill(Pid::from_raw(program.id().cast_signed()), Signal::SIGINT)?;
    let status = program.wait()?;
    outcome?;
    let left = traces(&name)?;
    leftovers::remove(&name).context("what the program has left")?;
    assert_eq!(left, Vec::<String>::new());
    assert_eq!(status.code(), Some(130));
    Ok(())
}
