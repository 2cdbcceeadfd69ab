//! The pin folder: what outlives the daemon, and where the next one finds it.
//!
//! ```text
//! FOLDER/layout-3/FLOWS    a map; `layout-2` is the version of what the maps mean
//! FOLDER/layout-3/edgelb   the program
//! FOLDER/links/4           the program's attachment to the interface with this kernel index
//! ```

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use aya::programs::links::PinnedLink;
use lb_common::names;

use super::{Error, Result, link};

const LAYOUT: &str = "layout-";
const LINKS: &str = "links";
/// What begins the names of maps that are to replace others.
const NEW: &str = "new-";

/// The pin folder of one edgelb, which no other uses while this lives.
#[derive(Debug)]
pub struct Pins {
    folder: PathBuf,
    // Goes with the process, however it ends.
    _lock: File,
}

impl Pins {
    /// Opens the folder, and makes it where there is none.
    ///
    /// # Errors
    ///
    /// That another edgelb uses it, or that one has left there what this one does not understand.
    pub fn open(folder: &Path) -> Result<Self> {
        let failed = |source| Error::Pin {
            folder: folder.to_owned(),
            source,
        };
        fs::create_dir_all(folder).map_err(failed)?;
        let lock = File::open(folder).map_err(failed)?;
        if lock.try_lock().is_err() {
            return Err(Error::InUse(folder.to_owned()));
        }
        let pins = Self {
            folder: folder.to_owned(),
            _lock: lock,
        };
        for layout in pins.layouts()? {
            if layout != pins.layout() {
                return Err(Error::OtherLayout {
                    folder: layout,
                    own: names::LAYOUT,
                });
            }
        }
        fs::create_dir_all(pins.layout()).map_err(failed)?;
        fs::create_dir_all(folder.join(LINKS)).map_err(failed)?;
        pins.discard_new()?;
        Ok(pins)
    }

    /// Opens the folder to take away what is there; `None` where there is nothing.
    pub fn open_any(folder: &Path) -> Result<Option<Self>> {
        let lock = match File::open(folder) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                let folder = folder.to_owned();
                return Err(Error::Pin { folder, source });
            }
        };
        if lock.try_lock().is_err() {
            return Err(Error::InUse(folder.to_owned()));
        }
        Ok(Some(Self {
            folder: folder.to_owned(),
            _lock: lock,
        }))
    }

    /// An error of this folder.
    pub fn failed(&self) -> impl Fn(io::Error) -> Error {
        |source| Error::Pin {
            folder: self.folder.clone(),
            source,
        }
    }

    fn layout(&self) -> PathBuf {
        self.folder.join(format!("{LAYOUT}{}", names::LAYOUT))
    }

    fn layouts(&self) -> Result<Vec<PathBuf>> {
        let mut layouts = entries(&self.folder).map_err(self.failed())?;
        layouts.retain(|path| name(path).starts_with(LAYOUT));
        Ok(layouts)
    }

    /// Where a map or program is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.layout().join(name)
    }

    /// Where a map is that will replace another, or be the first, when [`Self::replace`] is called.
    pub fn new_path(&self, name: &str) -> PathBuf {
        self.layout().join(format!("{NEW}{name}"))
    }

    /// Puts everything new in the place of the old.
    pub fn replace(&self) -> Result<()> {
        for path in self.new_paths()? {
            let place = self.path(name(&path).trim_start_matches(NEW));
            fs::rename(&path, place).map_err(self.failed())?;
        }
        Ok(())
    }

    /// Removes what was to replace something and did not come to it.
    fn discard_new(&self) -> Result<()> {
        for path in self.new_paths()? {
            fs::remove_file(path).map_err(self.failed())?;
        }
        Ok(())
    }

    fn new_paths(&self) -> Result<Vec<PathBuf>> {
        let mut paths = entries(&self.layout()).map_err(self.failed())?;
        paths.retain(|path| name(path).starts_with(NEW));
        Ok(paths)
    }

    /// Where the attachment to an interface is.
    pub fn link(&self, index: u32) -> PathBuf {
        self.folder.join(LINKS).join(index.to_string())
    }

    /// The kernel indexes of the interfaces that the program was attached to.
    pub fn links(&self) -> Result<Vec<u32>> {
        let paths = entries(&self.folder.join(LINKS)).map_err(self.failed())?;
        Ok(paths
            .iter()
            .filter_map(|path| name(path).parse().ok())
            .collect())
    }

    /// The attachment to an interface, if there is one.
    pub fn pinned_link(&self, index: u32) -> Option<PinnedLink> {
        let path = self.link(index);
        path.exists().then(|| PinnedLink::from_pin(path).ok())?
    }

    /// Takes the program off an interface, at once; that the interface is gone is as good.
    pub fn detach(&self, index: u32) -> Result<()> {
        link::detach(&self.link(index)).map_err(self.failed())?;
        fs::remove_file(self.link(index)).map_err(self.failed())
    }

    /// Removes everything, of whatever layout. The program must be off all interfaces.
    pub fn remove(&self) -> Result<()> {
        for layout in self.layouts()? {
            for path in entries(&layout).map_err(self.failed())? {
                fs::remove_file(path).map_err(self.failed())?;
            }
            fs::remove_dir(layout).map_err(self.failed())?;
        }
        Ok(())
    }
}

impl Drop for Pins {
    /// What was not put in its place goes, and folders that are empty then.
    fn drop(&mut self) {
        let _ = self.discard_new();
        for folder in [self.layout(), self.folder.join(LINKS), self.folder.clone()] {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// What is in a folder; nothing where there is none.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    entries.map(|entry| Ok(entry?.path())).collect()
}

fn name(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
}
