//! What compiles and links the eBPF objects.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use xshell::{Shell, cmd};

use super::apt::Apt;
use crate::ebpf::{self, Compiler, Core};

/// The release of bpf-linker that the objects are linked with.
const LINKER_VERSION: &str = "0.10.4";

/// Debian's compiler with a ready `core` for BPF, and the clippy of that compiler.
const DEBIAN: [&str; 3] = ["rustc-web", "libstd-rust-web-dev-bpf", "rust-web-clippy"];

/// Finds a compiler, or installs one: Debian's where there is one, or else what rustup's lacks.
pub fn bring_compiler(shell: &Shell, apt: &mut Apt<'_>) -> Result<String> {
    let mut compiler = complete();
    if compiler.is_none() {
        if apt.offers(DEBIAN[1])? {
            apt.bring(&DEBIAN)?;
        } else if cmd!(shell, "rustup --version")
            .quiet()
            .ignore_stderr()
            .read()
            .is_ok()
        {
            cmd!(shell, "rustup component add rust-src clippy").run()?;
        }
        compiler = complete();
    }
    let compiler = compiler.with_context(|| {
        format!(
            "no rustc with LLVM {}, core for BPF and clippy: root must run apt-get install {}, \
             or rustup must have toolchain {}",
            ebpf::LLVM,
            DEBIAN.join(" "),
            env!("CARGO_PKG_RUST_VERSION"),
        )
    })?;
    let core = match compiler.core {
        Core::Ready => "with core for BPF",
        Core::Sources => "with the sources of core",
    };
    Ok(format!("{} {core}", compiler.rustc.display()))
}

/// A compiler that is there with all that we use of it.
fn complete() -> Option<Compiler> {
    ebpf::compiler()
        .ok()
        .filter(|compiler| clippy_driver(compiler).is_file())
}

/// The clippy of a compiler.
pub fn clippy_driver(compiler: &Compiler) -> PathBuf {
    compiler.rustc.with_file_name("clippy-driver")
}

/// Builds the pinned bpf-linker into the workspace's own folder.
pub fn bring_linker(shell: &Shell) -> Result<String> {
    let root = shell.current_dir().join("target/tools");
    let is_there = || {
        let installed = fs::read_to_string(root.join(".crates.toml")).unwrap_or_default();
        installed.contains(&format!("\"bpf-linker {LINKER_VERSION} "))
            && shell.path_exists(ebpf::LINKER)
    };
    if !is_there() {
        let llvm = ebpf::LLVM;
        cmd!(
            shell,
            "cargo install bpf-linker --version {LINKER_VERSION} --locked --force"
        )
        // It loads LLVM when it runs, and needs none to be built.
        .args([
            "--no-default-features",
            "--features",
            &format!("rust-llvm-{llvm}"),
        ])
        .arg("--root")
        .arg(&root)
        .run()?;
        ensure!(is_there(), "{} has not come", ebpf::LINKER);
    }
    Ok(format!("{LINKER_VERSION} in {}", root.display()))
}
