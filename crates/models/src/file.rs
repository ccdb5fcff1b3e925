//! Whole files, with errors that name them.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::ModelError;

/// Reads a file.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, ModelError> {
    std::fs::read(path).map_err(|source| ModelError::Read { path: path.to_owned(), source })
}

/// A name beside a file that nothing else has, for what is not yet whole.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    path.with_added_extension(format!("{}-{number}.tmp", std::process::id()))
}

/// Writes a file under a temporary name and renames it, so that it is there whole or not at all.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    let temporary = temporary(path);
    std::fs::write(&temporary, bytes)
        .and_then(|()| std::fs::rename(&temporary, path))
        .map_err(|source| ModelError::Write { path: path.to_owned(), source })
}
