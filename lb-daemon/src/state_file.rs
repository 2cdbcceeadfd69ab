//! What the daemon must not forget: kept in a file, which is whole at every moment.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::{drains::Deadlines, wishes::Wishes};

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// What the administrator wants of the nodes.
    #[serde(default)]
    pub wishes: Wishes,
    /// Until when clients stay with nodes that drain.
    #[serde(default)]
    pub drains: Deadlines,
    /// Names of the services and nodes that were down, by their health checks.
    #[serde(default)]
    pub down: BTreeSet<(String, String)>,
}

/// The file.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    written: State,
}

impl StateFile {
    /// Reads it; that there is none is as good as an empty one.
    ///
    /// # Errors
    ///
    /// That it cannot be read: nodes that somebody has disabled would take flows.
    pub fn open(path: &Path) -> Result<Self> {
        let written = match fs::read(path) {
            Ok(text) => serde_json::from_slice(&text).with_context(|| {
                format!(
                    "state file {}: not what this version writes; without the file, every node is enabled",
                    path.display()
                )
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => State::default(),
            Err(error) => {
                return Err(error).with_context(|| format!("state file {}", path.display()));
            }
        };
        Ok(Self {
            path: path.to_owned(),
            written,
        })
    }

    /// What was written last.
    pub const fn state(&self) -> &State {
        &self.written
    }

    /// Writes another state, if it is another.
    pub fn write(&mut self, state: State) -> Result<()> {
        if state == self.written {
            return Ok(());
        }
        self.replace(&state)
            .with_context(|| format!("state file {}", self.path.display()))?;
        self.written = state;
        Ok(())
    }

    /// A reader, and a crash, find the old file or the new one.
    fn replace(&self, state: &State) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(state)?;
        text.push(b'\n');
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let beside = self.path.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(beside, &self.path)
    }
}
