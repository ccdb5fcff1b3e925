//! Locks that processes hold on a file.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

/// A file that this process has locked; the lock ends with this value, or with the process.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

impl FileLock {
    /// Takes a lock; `None` if another process holds it.
    ///
    /// The file is made if it is not there, and stays: everyone locks the same one. A file system
    /// without locks is no reason not to run, so every process gets its lock there.
    ///
    /// # Errors
    ///
    /// Whatever the system says if the file cannot be made.
    pub fn claim(path: &Path) -> io::Result<Option<Self>> {
        let file = make(path)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Ok(None),
            _ => Ok(Some(Self { _file: file })),
        }
    }

    /// Takes a lock, and waits for whoever holds it.
    ///
    /// # Errors
    ///
    /// Whatever the system says if the file cannot be made or locked.
    pub fn wait(path: &Path) -> io::Result<Self> {
        let file = make(path)?;
        match file.lock() {
            Err(error) if error.kind() != io::ErrorKind::Unsupported => Err(error),
            _ => Ok(Self { _file: file }),
        }
    }
}

fn make(path: &Path) -> io::Result<File> {
    File::options().write(true).create(true).truncate(false).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_refused_to_the_second_and_free_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".lock");
        let first = FileLock::claim(&path).unwrap();
        assert!(first.is_some() && FileLock::claim(&path).unwrap().is_none());
        drop(first);
        let waited = FileLock::wait(&path).unwrap();
        assert!(FileLock::claim(&path).unwrap().is_none());
        drop(waited);
        assert!(FileLock::claim(&path).unwrap().is_some());
        assert!(FileLock::claim(&folder.path().join("missing").join(".lock")).is_err());
    }
}
