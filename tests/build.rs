//! Brings the eBPF objects to the tests and the lab: every object is a file in `EDGELB_BPF_OBJECTS`.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

#[path = "../xtask/src/ebpf.rs"]
mod ebpf;

fn main() -> Result<(), Box<dyn Error>> {
    let workspace = Path::new("..");
    for input in ebpf::SOURCES.into_iter().chain([ebpf::LINKER]) {
        println!(
            "cargo::rerun-if-changed={}",
            workspace.join(input).display()
        );
    }
    let folder = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo::rustc-env=EDGELB_BPF_OBJECTS={}", folder.display());
    match ebpf::build(workspace) {
        Ok(objects) => {
            for object in objects {
                let name = object.file_name().ok_or("an object has a name")?;
                fs::copy(&object, folder.join(name))?;
            }
        }
        Err(ebpf::Error::Missing(what)) => {
            println!("cargo::warning=the kernel tests have nothing to load: {what}");
            // Looks again with each build: Cargo takes a file that is never there as a changed one.
            println!("cargo::rerun-if-changed=never-there");
        }
        Err(failed) => return Err(failed.into()),
    }
    Ok(())
}
