//! The kernel's pktgen, where it has one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};

use super::script::{Script, Sent, result};

const FOLDER: &str = "/proc/net/pktgen";

/// Whether there is one.
pub enum Availability {
    /// There is.
    There(Pktgen),
    /// There is none, and why.
    Missing(String),
}

/// The kernel's pktgen; where it was loaded for the bench, it goes when this is dropped.
pub struct Pktgen {
    loaded: bool,
}

impl Drop for Pktgen {
    fn drop(&mut self) {
        if self.loaded {
            let _ = modprobe(&["--remove", "pktgen"]);
        }
    }
}

/// Finds it, and loads it if need be.
pub fn find() -> Result<Availability> {
    if Path::new(FOLDER).is_dir() {
        return Ok(Availability::There(Pktgen { loaded: false }));
    }
    if modprobe(&["pktgen"]) && Path::new(FOLDER).is_dir() {
        return Ok(Availability::There(Pktgen { loaded: true }));
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(Availability::Missing(missing(
        release.trim(),
        configuration().as_deref(),
    )))
}

fn modprobe(arguments: &[&str]) -> bool {
    Command::new("modprobe")
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The options that the kernel was built with, where it tells.
fn configuration() -> Option<String> {
    let output = Command::new("zcat").arg("/proc/config.gz").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then_some(text)
}

/// Why a kernel has no pktgen, and what would help.
fn missing(release: &str, configuration: Option<&str>) -> String {
    let is_set = |option: &str| {
        configuration.is_some_and(|text| {
            text.lines()
                .any(|line| line == format!("{option}=y") || line == format!("{option}=m"))
        })
    };
    let why = if configuration.is_none() {
        "`modprobe pktgen` finds no module"
    } else if is_set("CONFIG_NET_PKTGEN") {
        "it was built with CONFIG_NET_PKTGEN, but `modprobe pktgen` does not load the module"
    } else if is_set("CONFIG_MODULES") {
        "it was built without CONFIG_NET_PKTGEN"
    } else {
        "it was built without CONFIG_NET_PKTGEN, and takes no modules (CONFIG_MODULES)"
    };
    format!(
        "This kernel ({release}) has no packet generator: {why}. The module pktgen (CONFIG_NET_PKTGEN) is in Debian's and \
         Ubuntu's generic kernels (linux-image-amd64 and linux-image-arm64; on Ubuntu, linux-modules-extra-{release}); those \
         for clouds may lack it. docs/pktgen.md has the set-up of two machines."
    )
}

impl Pktgen {
    /// Sends: what each queue has sent. Returns when all are done.
    pub fn run(&self, script: &Script) -> Result<Vec<Sent>> {
        for (file, line) in script.commands() {
            tell(&file, &line)?;
        }
        tell("pgctrl", "start")?;
        (0..script.queues)
            .map(|queue| {
                let path = path(&script.device(queue));
                let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                result(&text).with_context(|| format!("{}: no result: {text}", path.display()))
            })
            .collect()
    }
}

fn tell(file: &str, line: &str) -> Result<()> {
    let path = path(file);
    fs::write(&path, format!("{line}\n")).with_context(|| format!("{line} > {}", path.display()))
}

fn path(file: &str) -> PathBuf {
    Path::new(FOLDER).join(file)
}

/// Packets that a NIC has received since it is there.
pub fn received(interface: &str) -> Result<u64> {
    let path = format!("/sys/class/net/{interface}/statistics/rx_packets");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    text.trim().parse().with_context(|| path.clone())
}

#[cfg(test)]
mod tests {
    use super::missing;

    #[test]
    fn what_is_missing_is_named() {
        for (configuration, named) in [
            (None, "finds no module"),
            (
                Some("CONFIG_MODULES=y\n# CONFIG_NET_PKTGEN is not set\n"),
                "built without CONFIG_NET_PKTGEN.",
            ),
            (Some("# CONFIG_MODULES is not set\n"), "takes no modules"),
            (
                Some("CONFIG_MODULES=y\nCONFIG_NET_PKTGEN=m\n"),
                "does not load",
            ),
        ] {
            let text = missing("6.1.0-18-amd64", configuration);
            assert!(text.contains(named), "{text}");
            assert!(text.contains("linux-image-amd64") && text.contains("docs/pktgen.md"));
        }
    }
}
