//! What labs have left behind that could not clean up: their process was killed, or told to keep them.

use std::collections::BTreeSet;

use anyhow::Result;

use super::{folder, namespace};

/// The labs whose owner is gone.
pub fn find() -> Result<Vec<String>> {
    let mut labs = all()?;
    labs.retain(|lab| !folder::is_owned(lab));
    Ok(labs)
}

/// The labs that this process has made.
pub fn of_this_process() -> Result<Vec<String>> {
    let mut labs = all()?;
    labs.retain(|lab| folder::is_of_this_process(lab));
    Ok(labs)
}

/// Every lab of which there is something.
fn all() -> Result<Vec<String>> {
    let namespaces = namespace::all()?;
    let mut labs: BTreeSet<String> = folder::all()?.into_iter().collect();
    labs.extend(
        namespaces
            .iter()
            .filter_map(|name| folder::lab_of(name).map(str::to_owned)),
    );
    Ok(labs.into_iter().collect())
}

/// Everything that there is of one lab, owned or not, as paths.
pub fn traces(lab: &str) -> Result<Vec<String>> {
    let mut traces = Vec::new();
    for name in namespaces_of(lab)? {
        traces.push(namespace::path(&name).display().to_string());
    }
    let folder = folder::path(lab);
    if folder.exists() {
        traces.push(folder.display().to_string());
    }
    Ok(traces)
}

/// Removes a lab: its processes, namespaces, pins and files.
pub fn remove(lab: &str) -> Result<()> {
    for name in namespaces_of(lab)? {
        namespace::delete(&name)?;
    }
    folder::remove(lab)
}

fn namespaces_of(lab: &str) -> Result<Vec<String>> {
    let mut names = namespace::all()?;
    names.retain(|name| folder::lab_of(name) == Some(lab));
    Ok(names)
}
