//! Builds the eBPF objects.
//!
//! A module of xtask and of the build scripts that embed the objects, so it needs nothing but the
//! standard library. What it builds with is found by looking: nothing is ever downloaded here, that
//! is `cargo xtask setup`.

use std::{
    env, fmt, fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{self, Command},
};

/// The LLVM of the pinned bpf-linker. The compiler's must be the same, as it writes what the linker
/// reads.
pub const LLVM: &str = "22";

/// The pinned bpf-linker, in the workspace. Not on `PATH`: another one is not a substitute.
pub const LINKER: &str = "target/tools/bin/bpf-linker";

/// Where the objects are built, in the workspace: also where `CARGO_TARGET_DIR` leads elsewhere, and
/// apart from the folder that Cargo holds locked while it runs a build script.
const FOLDER: &str = "target/bpf";

/// What the objects are made from, in the workspace.
#[allow(dead_code, reason = "only build scripts need to know")]
pub const SOURCES: [&str; 6] = [
    "Cargo.lock",
    "Cargo.toml",
    "lb-common/Cargo.toml",
    "lb-common/src",
    "lb-ebpf/Cargo.toml",
    "lb-ebpf/src",
];

/// Why there are no objects, in one line.
#[derive(Debug)]
pub enum Error {
    /// There is nothing to build them with.
    Missing(String),
    /// The build has failed. The compiler has said why.
    Failed(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Missing(text) | Self::Failed(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for Error {}

/// Where `core` for the BPF target comes from, the better way first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Core {
    /// Compiled, beside the compiler: so it comes from Debian.
    Ready,
    /// Sources of the compiler's own version, to be compiled with the objects: so it comes from rustup.
    Sources,
}

/// A compiler that can build the objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiler {
    /// The program itself, not a proxy of rustup.
    pub rustc: PathBuf,
    /// What it has.
    pub core: Core,
    /// Its LLVM.
    libllvm: PathBuf,
}

/// Builds all objects and returns their paths: one for each binary of lb-ebpf, named like it.
pub fn build(workspace: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut cargo = cargo(workspace, "build")?;
    // In a build script this is seen when it fails.
    eprintln!("$ {cargo:?}");
    let status = cargo
        .status()
        .map_err(|error| failed(Path::new(cargo.get_program()), &error))?;
    if !status.success() {
        return Err(Error::Failed("the eBPF objects do not build".to_owned()));
    }
    let folder = workspace.join(FOLDER).join(target()).join("bpf");
    let files = fs::read_dir(&folder).map_err(|error| failed(&folder, &error))?;
    // Cargo's own files beside the objects are folders, hidden, or have an extension.
    let objects = files
        .flatten()
        .filter(|file| file.path().is_file() && !file.file_name().to_string_lossy().contains('.'));
    Ok(objects.map(|file| file.path()).collect())
}

/// Cargo, set up to `build` or `check` the objects.
pub fn cargo(workspace: &Path, subcommand: &str) -> Result<Command, Error> {
    // One spelling of every path, or each caller would build anew.
    let workspace = fs::canonicalize(workspace).map_err(|error| failed(workspace, &error))?;
    let compiler = compiler()?;
    let linker = workspace.join(LINKER);
    if !linker.is_file() {
        return Err(missing("no bpf-linker in target/tools"));
    }
    let folder = workspace.join(FOLDER);
    let llvm = folder.join("llvm");
    offer(&compiler.libllvm, &llvm).map_err(|error| failed(&llvm, &error))?;

    let linker = format!("-Clinker={}", linker.display());
    // The third version of the instruction set is the first with atomics that return a value.
    let flags = [&*linker, "-Clink-arg=--btf", "-Ctarget-cpu=v3"];
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args([subcommand, "--package", "lb-ebpf", "--bins"])
        .args(["--profile", "bpf"])
        .args(["--target", target(), "--target-dir"])
        .arg(&folder)
        .current_dir(workspace)
        .env("RUSTC", &compiler.rustc)
        // The BPF targets are unstable.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        // Or it would wait for ever where that is the folder which the calling Cargo has locked.
        .env("CARGO_BUILD_BUILD_DIR", &folder)
        // The linker loads the first libLLVM that it sees.
        .env("LD_LIBRARY_PATH", &llvm)
        // Cargo tells it to build scripts; aya's crates would be built anew where it comes and goes.
        .env_remove("HOST")
        // Clippy is one of these when it has a build script run.
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER");
    if compiler.core == Core::Sources {
        cargo.arg("-Zbuild-std=core");
    }
    Ok(cargo)
}

/// Finds the compiler to build with: the one in use, or Debian's.
pub fn compiler() -> Result<Compiler, Error> {
    let in_use = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let found = [Path::new(&in_use), Path::new("/usr/bin/rustc")];
    choose(found.into_iter().filter_map(examine)).ok_or_else(|| {
        missing(&format!(
            "no rustc with LLVM {LLVM} and a core library for BPF"
        ))
    })
}

/// The first of the compilers with the best `core`.
fn choose(found: impl Iterator<Item = Compiler>) -> Option<Compiler> {
    found.min_by_key(|compiler| compiler.core)
}

/// What there is to `rustc`, if that is enough to build the objects.
fn examine(rustc: &Path) -> Option<Compiler> {
    let ask = |arguments: &[&str]| {
        let output = Command::new(rustc).args(arguments).output().ok()?;
        String::from_utf8(output.stdout)
            .ok()
            .filter(|_| output.status.success())
    };
    let version = ask(&["-vV"])?;
    let sysroot = ask(&["--print", "sysroot"])?;
    has_llvm(&version).then(|| in_sysroot(Path::new(sysroot.trim_end())))?
}

/// True where `rustc -vV` says that its LLVM is ours.
fn has_llvm(version: &str) -> bool {
    let ours = format!("LLVM version: {LLVM}.");
    version.lines().any(|line| line.starts_with(&ours))
}

/// The compiler that a sysroot belongs to, if it has a `core` and its LLVM is a library.
fn in_sysroot(sysroot: &Path) -> Option<Compiler> {
    let lib = sysroot.join("lib");
    let core = if lib.join("rustlib").join(target()).join("lib").is_dir() {
        Core::Ready
    } else if lib.join("rustlib/src/rust/library/Cargo.lock").is_file() {
        Core::Sources
    } else {
        return None;
    };
    // The second is Debian's.
    let folders = [
        lib.clone(),
        lib.join(format!("{}-linux-gnu", env::consts::ARCH)),
    ];
    let libllvm = folders.iter().find_map(|folder| libllvm(folder))?;
    Some(Compiler {
        rustc: sysroot.join("bin/rustc"),
        core,
        libllvm,
    })
}

/// Our LLVM in a folder that may hold others.
fn libllvm(folder: &Path) -> Option<PathBuf> {
    let ours = format!("libLLVM.so.{LLVM}.");
    let mut files = fs::read_dir(folder).ok()?.flatten();
    files
        .find(|file| file.file_name().to_string_lossy().starts_with(&ours))
        .map(|file| file.path())
}

/// Makes `library` the only one in `folder`.
fn offer(library: &Path, folder: &Path) -> io::Result<()> {
    let link = folder.join("libLLVM.so");
    if fs::read_link(&link).is_ok_and(|there| there == library) {
        return Ok(());
    }
    // Another build may do the same: it sees the old link or the new one, never none.
    let new = folder.with_file_name(format!("llvm-{}", process::id()));
    fs::create_dir_all(folder)?;
    symlink(library, &new)?;
    fs::rename(new, link)
}

/// The BPF target with the byte order of the machine that the objects are for.
fn target() -> &'static str {
    // Cargo tells build scripts; xtask builds for the machine that it is on.
    match env::var("CARGO_CFG_TARGET_ENDIAN").as_deref() {
        Ok("big") => "bpfeb-unknown-none",
        Err(_) if cfg!(target_endian = "big") => "bpfeb-unknown-none",
        _ => "bpfel-unknown-none",
    }
}

fn missing(what: &str) -> Error {
    Error::Missing(format!("{what}: `cargo xtask setup` brings it"))
}

fn failed(path: &Path, error: &io::Error) -> Error {
    Error::Failed(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiler(rustc: &str, core: Core) -> Compiler {
        Compiler {
            rustc: rustc.into(),
            core,
            libllvm: "libLLVM.so".into(),
        }
    }

    #[test]
    fn a_ready_core_is_preferred_then_the_compiler_in_use() {
        use Core::{Ready, Sources};
        for (found, chosen) in [
            (
                &[("in use", Sources), ("debian", Ready)][..],
                Some("debian"),
            ),
            (&[("in use", Sources), ("debian", Sources)], Some("in use")),
            (&[("in use", Ready), ("debian", Ready)], Some("in use")),
            (&[("debian", Ready)], Some("debian")),
            (&[], None),
        ] {
            let compilers = found.iter().map(|(rustc, core)| compiler(rustc, *core));
            let rustc = choose(compilers).map(|compiler| compiler.rustc);
            assert_eq!(rustc.as_deref(), chosen.map(Path::new), "{found:?}");
        }
    }

    #[test]
    fn only_our_llvm_will_do() {
        for (version, ours) in [
            ("rustc 1.96.0\nhost: x86_64\nLLVM version: 22.1.8\n", true),
            ("rustc 1.85.0\nhost: x86_64\nLLVM version: 19.1.7\n", false),
            ("rustc 1.22.1\nhost: x86_64\nLLVM version: 2.22.1\n", false),
            ("rustc 9.9.9\nhost: x86_64\nLLVM version: 221.0.0\n", false),
        ] {
            assert_eq!(has_llvm(version), ours, "{version}");
        }
    }

    #[test]
    fn a_sysroot_tells_what_its_compiler_has() {
        let debian_llvm = &*format!("lib/{}-linux-gnu/libLLVM.so.22.1", env::consts::ARCH);
        let old_llvm = &*format!("lib/{}-linux-gnu/libLLVM.so.21.1", env::consts::ARCH);
        let rustup_llvm = "lib/libLLVM.so.22.1-rust-1.95.0-stable";
        let ready = &*format!("lib/rustlib/{}/lib/libcore.rlib", target());
        let sources = "lib/rustlib/src/rust/library/Cargo.lock";
        for (files, expected) in [
            (
                &[rustup_llvm, sources][..],
                Some((Core::Sources, rustup_llvm)),
            ),
            (
                &[old_llvm, debian_llvm, ready],
                Some((Core::Ready, debian_llvm)),
            ),
            (
                &[debian_llvm, ready, sources],
                Some((Core::Ready, debian_llvm)),
            ),
            (&[old_llvm, ready], None),
            (&[rustup_llvm], None),
        ] {
            let sysroot = Folder::with(files);
            let expected = expected.map(|(core, libllvm)| Compiler {
                rustc: sysroot.0.join("bin/rustc"),
                core,
                libllvm: sysroot.0.join(libllvm),
            });
            assert_eq!(in_sysroot(&sysroot.0), expected, "{files:?}");
        }
    }

    #[test]
    fn the_linker_sees_the_library_last_offered_and_no_other() {
        let root = Folder::with(&[]);
        let folder = root.0.join("llvm");
        for library in ["/old", "/new", "/new"] {
            offer(Path::new(library), &folder).expect("a link");
            let links: Vec<_> = fs::read_dir(&folder)
                .expect("a folder")
                .map(|link| fs::read_link(link.expect("an entry").path()).expect("a link"))
                .collect();
            assert_eq!(links, [Path::new(library)]);
        }
    }

    /// A folder that goes with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn with(files: &[&str]) -> Self {
            use std::sync::atomic::{AtomicU32, Ordering};
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let folder = env::temp_dir().join(format!("edgelb-ebpf-{}-{number}", process::id()));
            fs::create_dir_all(&folder).expect("a new folder");
            for file in files {
                let file = folder.join(file);
                fs::create_dir_all(file.parent().expect("a parent")).expect("a folder");
                fs::write(file, []).expect("a file");
            }
            Self(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}
