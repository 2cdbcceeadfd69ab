//! Embeds the eBPF object: builds it and lays it where the crate includes it from.

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
    // The linker too: once it is there, the object can be built.
    for input in ebpf::SOURCES.into_iter().chain([ebpf::LINKER]) {
        println!(
            "cargo::rerun-if-changed={}",
            workspace.join(input).display()
        );
    }
    let embedded = PathBuf::from(env::var("OUT_DIR")?).join("edgelb-xdp");
    match ebpf::build(workspace) {
        Ok(objects) => {
            let object = objects.iter().find(|object| object.ends_with("edgelb-xdp"));
            fs::copy(object.ok_or("lb-ebpf has no edgelb-xdp")?, embedded)?;
        }
        Err(ebpf::Error::Missing(what)) => {
            println!("cargo::warning=edgelb is built without its data path: {what}");
            fs::write(embedded, [])?;
            // Looks again with each build: Cargo takes a file that is never there as a changed one.
            println!("cargo::rerun-if-changed=never-there");
        }
        Err(failed) => return Err(failed.into()),
    }
    Ok(())
}
