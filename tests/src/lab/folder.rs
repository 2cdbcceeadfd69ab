//! The folder of one lab: its files, a bpffs, and the lock that says that its owner lives.

use std::{
    fs::{self, File},
    io,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context as _, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::supervisor;

/// What the names of all labs begin with.
const PREFIX: &str = "elb";

const LOCK: &str = "owner";
const BPFFS: &str = "bpf";

/// The folder of a lab; it goes when this is dropped.
#[derive(Debug)]
pub struct Folder {
    name: String,
    path: PathBuf,
    kept: bool,
    // The kernel lets go of it when the process ends, however it ends.
    _lock: File,
}

impl Folder {
    /// Makes the folder of a lab, whose name is this process's and no other's.
    pub fn create() -> Result<Self> {
        static LABS: AtomicU32 = AtomicU32::new(0);
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}{number}", own_prefix());
        let path = of(&name);
        let place = || path.display().to_string();
        // A process that had this number before may have left one.
        remove(&name)?;
        fs::create_dir_all(&path).with_context(place)?;
        let lock = File::create(path.join(LOCK)).with_context(place)?;
        lock.lock().with_context(place)?;
        let bpffs = path.join(BPFFS);
        fs::create_dir(&bpffs).with_context(place)?;
        mount(
            Some("bpf"),
            &bpffs,
            Some("bpf"),
            MsFlags::empty(),
            None::<&str>,
        )
        .with_context(|| format!("cannot mount a bpffs on {}", bpffs.display()))?;
        Ok(Self {
            name,
            path,
            kept: false,
            _lock: lock,
        })
    }

    /// The lab's name, which begins the name of everything that it makes.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A file in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A new folder in the folder.
    pub fn subfolder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// A name in the lab's bpffs.
    pub fn pin(&self, name: &str) -> PathBuf {
        self.path.join(BPFFS).join(name)
    }

    /// Leaves the folder in place when this is dropped.
    pub fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = remove(&self.name)
        {
            eprintln!("{}: {error:#}", self.path.display());
        }
    }
}

fn of(name: &str) -> PathBuf {
    std::env::temp_dir().join(name)
}

/// Whether the process that brought the lab up is still there.
pub fn is_owned(name: &str) -> bool {
    File::open(of(name).join(LOCK)).is_ok_and(|lock| lock.try_lock().is_err())
}

/// Whether this process has brought the lab up.
pub fn is_of_this_process(name: &str) -> bool {
    name.starts_with(&own_prefix())
}

fn own_prefix() -> String {
    format!("{PREFIX}{}-", supervisor::number())
}

/// The names of all labs that have a folder.
pub fn all() -> Result<Vec<String>> {
    let folder = std::env::temp_dir();
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if lab_of(&name) == Some(&name) && entry.path().join(LOCK).exists() {
            names.push(name);
        }
    }
    Ok(names)
}

/// The name of the lab in the name of something that may be a lab's: `elb123-0` in `elb123-0-router`.
pub fn lab_of(name: &str) -> Option<&str> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (process, rest) = name.strip_prefix(PREFIX)?.split_once('-')?;
    let number = rest.split('-').next()?;
    (is_number(process) && is_number(number))
        .then(|| &name[..PREFIX.len() + process.len() + 1 + number.len()])
}

/// Removes the folder of a lab, with the bpffs in it.
pub fn remove(name: &str) -> Result<()> {
    let folder = of(name);
    // Not mounted is as good; and while something is still open in it, it goes with the last user.
    let _ = umount2(&folder.join(BPFFS), MntFlags::MNT_DETACH);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| folder.display().to_string())
        }
        _ => Ok(()),
    }
}

/// The folder of a lab, for people.
pub fn path(name: &str) -> PathBuf {
    of(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lab_is_known_by_its_name() {
        for (name, lab) in [
            ("elb123-0-router", Some("elb123-0")),
            ("elb123-0-a-b", Some("elb123-0")),
            ("elb123-0", Some("elb123-0")),
            ("elb-0", None),
            ("elb123", None),
            ("elb123-", None),
            ("elb123-x", None),
            ("elbow12-0", None),
            ("s-lb", None),
        ] {
            assert_eq!(lab_of(name), lab, "{name}");
        }
    }
}
