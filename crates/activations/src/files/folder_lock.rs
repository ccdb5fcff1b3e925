//! One process at a time in a folder of results.

use std::fs;
use std::path::Path;

use attention_probes_errors::FileError;
use attention_probes_models::files::{FileLock, remove_all_abandoned};

use crate::ActivationError;

/// Folders below a folder of results in which files are written.
const DEPTH: usize = 2;

/// A folder that no other process writes to while this lives.
#[derive(Debug)]
pub struct FolderLock {
    _lock: FileLock,
}

impl FolderLock {
    /// Makes a folder or takes the one that is there, keeps other processes out of it, and removes
    /// what a process that was killed left half-written in it and in the folders below.
    ///
    /// The lock is a file `.lock` that stays.
    ///
    /// # Errors
    ///
    /// - [`ActivationError::Busy`] if another process has the folder
    /// - [`ActivationError::File`] if the folder or the lock cannot be made
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::activations::{ActivationError, FolderLock};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let first = FolderLock::claim(folder.path())?;
    /// let second = FolderLock::claim(folder.path());
    /// assert!(matches!(second, Err(ActivationError::Busy { .. })));
    /// drop(first);
    /// FolderLock::claim(folder.path())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn claim(folder: &Path) -> Result<Self, ActivationError> {
        fs::create_dir_all(folder).map_err(FileError::write(folder))?;
        let path = folder.join(".lock");
        let lock = FileLock::claim(&path)
            .map_err(FileError::write(&path))?
            .ok_or_else(|| ActivationError::Busy { path: folder.to_owned() })?;
        remove_all_abandoned(folder, DEPTH);
        Ok(Self { _lock: lock })
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("a").join("trained");
        fs::create_dir_all(&below).unwrap();
        for name in [".best.json.7-0.tmp", ".notes.tmp", "best.json"] {
            for folder in [folder.path(), &below] {
                fs::write(folder.join(name), "").unwrap();
            }
        }
        let _lock = FolderLock::claim(folder.path()).unwrap();
        let names = |folder: &Path| {
            let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
            let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&below), [".notes.tmp", "best.json"]);
        assert_eq!(names(folder.path()), [".lock", ".notes.tmp", "a", "best.json"]);
    }
}
