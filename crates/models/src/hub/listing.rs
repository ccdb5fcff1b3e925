//! Which files a repository has.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use attention_probes_errors::FileError;

use crate::ModelError;
use crate::hub::id::is_inside;
use crate::hub::{HubCache, HubId};

/// Most folders within folders that are looked into.
const MAX_DEPTH: usize = 16;

/// The listing of a commit, if the Hub was asked for it before.
pub(super) fn cached(cache: &HubCache, id: &HubId, commit: &str) -> Option<Vec<String>> {
    let text = fs::read(cache.listing(id, commit)).ok()?;
    checked(serde_json::from_slice(&text).ok()?)
}

/// The files below a folder, by their paths in it.
///
/// # Errors
///
/// [`ModelError::File`] if a folder cannot be read.
pub(super) fn of_folder(folder: &Path) -> Result<Vec<String>, ModelError> {
    let mut files = BTreeSet::new();
    let mut folders = vec![(folder.to_owned(), 0)];
    while let Some((next, depth)) = folders.pop() {
        let entries: Vec<PathBuf> = fs::read_dir(&next)
            .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
            .map_err(FileError::read(&next))?;
        for path in entries {
            if path.is_dir() && depth < MAX_DEPTH {
                folders.push((path, depth + 1));
            } else if let Some(name) = path.strip_prefix(folder).ok().and_then(Path::to_str) {
                files.insert(name.replace('\\', "/"));
            }
        }
    }
    Ok(files.into_iter().collect())
}

/// Names in order, none of which leads out of a folder; `None` if one does.
pub(super) fn checked(names: Vec<String>) -> Option<Vec<String>> {
    let is_plain = names.iter().all(|name| is_inside(name));
    is_plain.then(|| names.into_iter().collect::<BTreeSet<_>>().into_iter().collect())
}
