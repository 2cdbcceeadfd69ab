//! Room for nftables' flows: the size of the kernel's connection tracking, which is one for the whole machine.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result};

const MAX: &str = "/proc/sys/net/netfilter/nf_conntrack_max";
const BUCKETS: &str = "/proc/sys/net/netfilter/nf_conntrack_buckets";

/// Room that was made; the sizes are what they were when this is dropped, or when the process ends, however it
/// ends.
pub struct Room {
    // It waits for the end of its standard input, which is ours to close.
    restorer: Child,
}

impl Room {
    /// Makes room for so many flows, with as many buckets: what an administrator would do who expects them.
    pub fn for_flows(flows: u64) -> Result<Self> {
        let script = format!(
            "cat > /dev/null; echo {} > {MAX}; echo {} > {BUCKETS}",
            current(MAX)?,
            current(BUCKETS)?
        );
        let restorer = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            // Ctrl-C is for the bench.
            .process_group(0)
            .spawn()
            .context("sh")?;
        let room = Self { restorer };
        raise(BUCKETS, flows)?;
        raise(MAX, flows)?;
        Ok(room)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        drop(self.restorer.stdin.take());
        let _ = self.restorer.wait();
    }
}

fn current(path: &str) -> Result<u64> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("{path}: the kernel has no connection tracking"))?;
    text.trim()
        .parse()
        .with_context(|| format!("{path}: {text}"))
}

/// What is larger already stays.
fn raise(path: &str, to: u64) -> Result<()> {
    if current(path)? < to {
        fs::write(path, to.to_string()).with_context(|| path.to_owned())?;
    }
    Ok(())
}
