//! Files that are either there in full or not there at all.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use attention_probes_errors::FileError;
use attention_probes_models::files;

use crate::ActivationError;

/// Writes a file to a temporary name in the same folder, then renames it.
///
/// Whoever reads `path` sees the old file or the new one, never a part, even if the process is
/// killed. If `write` fails, the temporary file is removed and `path` stays as it was. A symbolic
/// link is followed; what exists and is no regular file is refused.
///
/// # Errors
///
/// [`ActivationError::File`] if a step fails, or `write` does.
///
/// # Examples
///
/// ```
/// use std::io::Write;
///
/// use attention_probes::activations::write_atomically;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("best.json");
/// write_atomically(&path, |file| file.write_all(b"{}"))?;
/// assert_eq!(std::fs::read(&path)?, b"{}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>,
) -> Result<(), ActivationError> {
    Ok(files::write_atomically(path, write).map_err(FileError::write(path))?)
}

/// Checks that a file can be given as an output: it does not exist, or is a regular file.
///
/// # Errors
///
/// [`ActivationError::File`] if it is a folder, a device, a named pipe, or a socket.
pub fn check_output(path: &Path) -> Result<(), ActivationError> {
    files::output_target(path).map_err(FileError::write(path))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing").join("state");
        let error = write_atomically(&path, |_| Ok(())).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot write `{}`", path.display()));
    }

    #[test]
    fn a_folder_is_no_output() {
        let folder = tempfile::tempdir().unwrap();
        assert!(check_output(folder.path()).is_err());
        assert!(check_output(&folder.path().join("new")).is_ok());
    }
}
