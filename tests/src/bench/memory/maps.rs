//! The BPF maps that a process holds, and what they take.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};
use aya::maps::MapInfo;

/// A map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    /// Name, as the kernel has it.
    pub name: String,
    /// Memory, by the kernel's account (`memlock`).
    pub bytes: u64,
}

/// The maps that a process holds, each once.
pub fn of_process(process: u32) -> Result<Vec<Map>> {
    let folder = format!("/proc/{process}/fdinfo");
    let mut maps = BTreeMap::new();
    for file in fs::read_dir(&folder).with_context(|| folder.clone())? {
        // A file that the process has closed meanwhile is gone.
        let Some((id, bytes)) = fs::read_to_string(file?.path())
            .ok()
            .and_then(|text| map(&text))
        else {
            continue;
        };
        let info = MapInfo::from_id(id)?;
        let name = info.name_as_str().unwrap_or("?").to_owned();
        maps.insert(id, Map { name, bytes });
    }
    anyhow::ensure!(
        !maps.is_empty(),
        "{} holds no map",
        Path::new(&folder).display()
    );
    Ok(maps.into_values().collect())
}

/// The id and the memory of a map, from what the kernel says of an open file.
fn map(fdinfo: &str) -> Option<(u32, u64)> {
    let number = |name: &str| {
        let line = fdinfo.lines().find_map(|line| line.strip_prefix(name));
        line.map(str::trim)
    };
    let id = number("map_id:")?.parse().ok()?;
    let bytes = number("memlock:")?.parse().ok()?;
    Some((id, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_told_from_other_files() {
        let text = "pos:\t0\nmap_type:\t1\nmax_entries:\t16\nmemlock:\t4096\nmap_id:\t77\n";
        assert_eq!(map(text), Some((77, 4096)));
        // A program has memory, too.
        assert_eq!(map("prog_type:\t6\nmemlock:\t8192\nprog_id:\t3\n"), None);
    }
}
