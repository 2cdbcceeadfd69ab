//! What the machine does not allow is told in one error: privileges, and drivers without native XDP.

use std::{fs, process::Command};

use anyhow::{Result, ensure};
use lb_tests::lab::{
    Lab,
    edgelb::{self, Edgelb, Instance},
    namespace::run,
    plan::{Arrangement, Host},
};

#[test]
fn without_the_privileges_one_error_names_them() -> Result<()> {
    let mut lab = Lab::up(Arrangement::OneArm, |_| ())?;
    lab.end_edgelb()?;
    let instance = Instance::create(&lab.folder, "powerless", &edgelb::config(lab.arrangement))?;
    let mut command = lab.host(Host::Balancer).command("setpriv")?;
    command.args(["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]);
    command.arg(instance.program()).arg("run");
    command.args(instance.options());
    let output = command.output()?;
    let printed = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success(), "{printed}");
    let errors: Vec<&str> = printed
        .lines()
        .filter(|line| line.starts_with("edgelb: "))
        .collect();
    ensure!(errors.len() == 1, "{printed}");
    ensure!(errors[0].contains("CAP_BPF and CAP_NET_ADMIN"), "{printed}");
    Ok(())
}

/// A bridge has no XDP of its own.
#[test]
fn a_driver_without_native_xdp_is_used_generically_with_a_warning_of_the_cost() -> Result<()> {
    let mut lab = Lab::up(Arrangement::OneArm, |_| ())?;
    lab.end_edgelb()?;
    let balancer = lab.host(Host::Balancer);
    balancer.ip("link add slow0 type bridge\nlink set slow0 up\n")?;
    let config = "[pool]\nname = \"slow\"\n[interfaces]\nexternal = [\"slow0\"]\n\
        [[services]]\nname = \"web\"\nlisten = \"192.0.2.80:80/tcp\"\ntreatment = \"snat\"\n\
        nodes = [{ name = \"a\", address = \"192.0.2.81:80\" }]\n";
    let instance = Instance::create(&lab.folder, "slow", config)?;
    let mut edgelb = Edgelb::start(instance, balancer)?;
    let status = edgelb.instance.status()?;
    ensure!(status.interfaces[0].mode == "generic", "{status:#?}");
    edgelb.end(balancer)?;
    let log = fs::read_to_string(edgelb.instance.log())?;
    ensure!(
        log.contains("generic mode") && log.contains("several times"),
        "{log}"
    );
    let left =
        run(Command::new("ip").args(["-n", balancer.name(), "address", "show", "dev", "slow0"]))?;
    ensure!(
        !left.contains("192.0.2.80") && !left.contains("xdp"),
        "{left}"
    );
    Ok(())
}
