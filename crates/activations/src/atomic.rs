//! Files that are either there in full or not there at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::ActivationError;

/// Writes a file to a temporary name in the same folder, then renames it.
///
/// Whoever reads `path` sees the old file or the new one, never a part, even if the process is
/// killed. If `write` fails, the temporary file is removed and `path` stays as it was.
///
/// # Errors
///
/// [`ActivationError::Write`] if a step fails, or `write` does.
///
/// # Examples
///
/// ```
/// use std::io::Write;
///
/// use attention_probes_activations::write_atomically;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("best.json");
/// write_atomically(&path, |file| file.write_all(b"{}"))?;
/// assert_eq!(std::fs::read(&path)?, b"{}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), ActivationError> {
    let temporary = temporary_path(path);
    let result = write_file(&temporary, write).and_then(|()| fs::rename(&temporary, path));
    result.map_err(|source| {
        // The first fault is the one to report; a file that was never made cannot be removed.
        let _ = fs::remove_file(&temporary);
        ActivationError::Write { path: path.to_owned(), source }
    })
}

fn write_file(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = BufWriter::new(File::create_new(path)?);
    write(&mut file)?;
    file.flush()?;
    file.get_ref().sync_all()
}

/// A hidden name beside `path` that no other writer uses.
pub(crate) fn temporary_path(path: &Path) -> PathBuf {
    static N_WRITTEN: AtomicU64 = AtomicU64::new(0);
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}-{}.tmp", process::id(), N_WRITTEN.fetch_add(1, Ordering::Relaxed)));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        write_atomically(&path, |file| file.write_all(b"old")).unwrap();
        let result = write_atomically(&path, |file| {
            file.write_all(b"new")?;
            Err(io::Error::other("disk full"))
        });
        assert!(matches!(result, Err(ActivationError::Write { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing").join("state");
        let error = write_atomically(&path, |_| Ok(())).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot write `{}`", path.display()));
    }
}
