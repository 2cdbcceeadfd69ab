//! Keeps what is installed for the lab from running as a service of the machine.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path, process};

use anyhow::{Context as _, Result};
use xshell::{Shell, cmd};

/// Services that come with our packages. The lab runs these programs itself, in its namespaces.
const SERVICES: [&str; 3] = ["coturn", "haproxy", "nginx"];

/// What dpkg asks before it starts a service, if it is there (invoke-rc.d(8)).
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Tells our policy from one that the machine has of its own.
const OURS: &str = "From `cargo xtask setup` of edgelb";

/// Installs something, and neither starts the services that are new by it nor lets the next boot start
/// them. A service that the machine had before is left as it is.
pub fn while_installing(shell: &Shell, install: impl FnOnce() -> Result<()>) -> Result<()> {
    let new: Vec<_> = SERVICES
        .into_iter()
        .filter(|service| !is_known(service))
        .collect();
    let policy = Policy::new(&new).context(POLICY)?;
    let installed = install();
    drop(policy);
    for service in new.into_iter().filter(|service| is_known(service)) {
        cmd!(shell, "update-rc.d {service} disable").run()?;
    }
    installed
}

fn is_known(service: &str) -> bool {
    Path::new("/etc/init.d").join(service).exists()
}

/// Our policy, for as long as this lives.
struct Policy {
    is_ours: bool,
}

impl Policy {
    fn new(services: &[&str]) -> io::Result<Self> {
        // Containers often have one already, which starts nothing at all.
        let is_ours = match fs::read_to_string(POLICY) {
            Ok(policy) => policy.contains(OURS),
            Err(_) => true,
        };
        if is_ours {
            fs::write(POLICY, policy(services, process::id()))?;
            fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        }
        Ok(Self { is_ours })
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if self.is_ours {
            // Where this fails, what is left no longer denies anything.
            let _ = fs::remove_file(POLICY);
        }
    }
}

/// A policy that denies `services` while the process `owner` runs: an interrupted setup leaves a file
/// without effect.
fn policy(services: &[&str], owner: u32) -> String {
    let services = services.join("|");
    format!(
        "#!/bin/sh\n\
         # {OURS}: while that runs, these services are not started.\n\
         [ -d /proc/{owner} ] || exit 0\n\
         for argument; do\n\
         \x20   case ${{argument%.service}} in\n\
         \x20   none|{services}) exit 101 ;;\n\
         \x20   esac\n\
         done\n"
    )
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_policy_denies_new_services_while_its_owner_runs() {
        let us = process::id();
        for (owner, arguments, denied) in [
            (us, &["nginx", "start"][..], true),
            (us, &["--quiet", "coturn.service", "start"], true),
            (us, &["ssh", "restart"], false),
            (0, &["nginx", "start"], false),
        ] {
            let policy = policy(&["coturn", "nginx"], owner);
            let shell = Command::new("sh")
                .args(["-c", &policy, "policy"])
                .args(arguments)
                .status();
            let code = shell.expect("a shell").code();
            assert_eq!(
                code,
                Some(if denied { 101 } else { 0 }),
                "{owner} {arguments:?}"
            );
        }
    }
}
