//! What the kernel must have.

use std::{fs, path::Path};

use anyhow::{Result, ensure};
use xshell::{Shell, cmd};

use crate::privilege;

/// A file that is there when the kernel has a feature.
const FEATURES: [(&str, &str); 3] = [
    (
        "/proc/sys/kernel/unprivileged_bpf_disabled",
        "the bpf system call (CONFIG_BPF_SYSCALL)",
    ),
    (
        "/sys/kernel/btf/vmlinux",
        "its own BTF (CONFIG_DEBUG_INFO_BTF)",
    ),
    ("/proc/self/ns/net", "network namespaces (CONFIG_NET_NS)"),
];

/// Where edgelb pins its maps.
const BPFFS: &str = "/sys/fs/bpf";

/// Says what the kernel has not, and mounts bpffs, which no package does.
pub fn check(shell: &Shell) -> Result<String> {
    let lacking: Vec<_> = FEATURES
        .iter()
        .filter(|(file, _)| !Path::new(file).exists())
        .map(|(_, feature)| *feature)
        .collect();
    ensure!(
        lacking.is_empty(),
        "the kernel is without {}",
        lacking.join(", ")
    );
    if !has_bpffs(&fs::read_to_string("/proc/self/mounts")?) {
        ensure!(
            privilege::is_root(),
            "root must run mount -t bpf bpf {BPFFS}"
        );
        cmd!(shell, "mount -t bpf bpf {BPFFS}").run()?;
    }
    Ok("BPF, BTF, bpffs and network namespaces".to_owned())
}

/// True where the mount table has it in its place.
fn has_bpffs(mounts: &str) -> bool {
    mounts.lines().any(|mount| {
        let mut fields = mount.split(' ').skip(1);
        fields.next() == Some(BPFFS) && fields.next() == Some("bpf")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bpffs_counts_in_its_own_place_only() {
        for (mounts, expected) in [
            (
                "proc /proc proc rw 0 0\nbpf /sys/fs/bpf bpf rw,nosuid 0 0\n",
                true,
            ),
            ("none /sys/fs/bpf bpf rw 0 0\n", true),
            ("bpf /tmp/bpffs bpf rw 0 0\n", false),
            ("bpf /sys/fs/bpf tmpfs rw 0 0\n", false),
            ("", false),
        ] {
            assert_eq!(has_bpffs(mounts), expected, "{mounts}");
        }
    }
}
