//! `cargo xtask build`: the eBPF objects and edgelb.

use std::{env, fs, path::Path};

use anyhow::{Context as _, Result};
use xshell::{Shell, cmd};

use crate::ebpf;

/// Builds everything that is shipped, and says where it is.
pub fn run(shell: &Shell, release: bool) -> Result<()> {
    let mut built = ebpf::build(&shell.current_dir())?;

    let (flag, profile) = if release {
        (Some("--release"), "release")
    } else {
        (None, "debug")
    };
    cmd!(shell, "cargo build --package lb-daemon {flag...}").run()?;
    // xtask itself lies in TARGET/PROFILE, wherever Cargo has been told to put that.
    let xtask = env::current_exe()?;
    let target = xtask.ancestors().nth(2).unwrap_or(Path::new("target"));
    built.push(target.join(profile).join("edgelb"));

    for file in built {
        let size = fs::metadata(&file)
            .with_context(|| file.display().to_string())?
            .len();
        println!("{:>7} KiB  {}", size.div_ceil(1024), file.display());
    }
    Ok(())
}
