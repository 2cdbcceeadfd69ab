//! Packages of Debian and Ubuntu.

use anyhow::{Context as _, Result, ensure};
use xshell::{Shell, cmd};

use super::dormant;
use crate::privilege;

/// Installs packages.
pub struct Apt<'a> {
    shell: &'a Shell,
    updated: bool,
}

impl<'a> Apt<'a> {
    pub fn new(shell: &'a Shell) -> Self {
        Self {
            shell,
            updated: false,
        }
    }

    /// Installs those of the packages that are not.
    pub fn bring(&mut self, packages: &[&str]) -> Result<()> {
        let states = cmd!(self.shell, "dpkg-query --show")
            .arg("--showformat=${Package} ${db:Status-Status}\n")
            .args(packages)
            .quiet()
            // For packages that dpkg has never heard of.
            .ignore_status()
            .ignore_stderr()
            .read()
            .context("only machines with Debian's packages can be set up")?;
        let missing = missing(packages, &states);
        if missing.is_empty() {
            return Ok(());
        }
        ensure!(
            privilege::is_root(),
            "root must run apt-get install {}",
            missing.join(" ")
        );
        self.update()?;
        dormant::while_installing(self.shell, || {
            // Nothing that the machine has may go, or restart, for our sake.
            cmd!(
                self.shell,
                "apt-get install --quiet --yes --no-install-recommends --no-remove"
            )
            // A fresh machine may be at its unattended upgrades.
            .arg("--option=DPkg::Lock::Timeout=300")
            .args(missing)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("NEEDRESTART_SUSPEND", "1")
            .run()?;
            Ok(())
        })
    }

    /// True where a package could be installed.
    pub fn offers(&mut self, package: &str) -> Result<bool> {
        if !privilege::is_root() {
            return Ok(false);
        }
        self.update()?;
        let show = cmd!(self.shell, "apt-cache show {package}").quiet();
        Ok(show.ignore_stdout().ignore_stderr().run().is_ok())
    }

    fn update(&mut self) -> Result<()> {
        if !self.updated {
            cmd!(self.shell, "apt-get update --quiet").run()?;
            self.updated = true;
        }
        Ok(())
    }
}

/// The packages that `dpkg-query` does not call installed.
fn missing<'a>(packages: &[&'a str], states: &str) -> Vec<&'a str> {
    let installed: Vec<_> = states
        .lines()
        .filter_map(|line| line.strip_suffix(" installed"))
        .collect();
    packages
        .iter()
        .copied()
        .filter(|package| !installed.contains(package))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_installed_is_missing() {
        let states =
            "curl installed\ncoturn config-files\nopenssl half-installed\nnginx installed\n";
        for (packages, expected) in [
            (&["curl"][..], &[][..]),
            (&["curl", "coturn"], &["coturn"]),
            (&["openssl", "nginx"], &["openssl"]),
            (&["nginx-light", "unknown"], &["nginx-light", "unknown"]),
            (&[], &[]),
        ] {
            assert_eq!(missing(packages, states), expected, "{packages:?}");
        }
    }
}
