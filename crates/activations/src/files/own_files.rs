//! Removing what this program wrote, and nothing else.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use attention_probes_errors::FileError;

use crate::ActivationError;

/// Removes the files of a folder whose names are those of files that this program writes there, and
/// then the folder, unless something else is in it.
///
/// Folders in it, links, and files of other names stay. A folder that is not there is none to
/// remove.
///
/// # Errors
///
/// [`ActivationError::File`] if the folder cannot be read, or a file
/// not removed.
///
/// # Examples
///
/// ```
/// use attention_probes::activations::remove_own_files;
///
/// let folder = tempfile::tempdir()?;
/// for name in ["best.json", "notes.txt"] {
///     std::fs::write(folder.path().join(name), "")?;
/// }
/// remove_own_files(folder.path(), |name| name == "best.json")?;
/// assert!(!folder.path().join("best.json").exists());
/// assert!(folder.path().join("notes.txt").exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn remove_own_files(
    folder: &Path,
    is_own: impl Fn(&str) -> bool,
) -> Result<(), ActivationError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(FileError::read(folder))?,
    };
    for entry in entries.flatten() {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_file && entry.file_name().to_str().is_some_and(&is_own) {
            let path = entry.path();
            fs::remove_file(&path).map_err(FileError::write(path))?;
        }
    }
    // One with something else in it stays.
    let _ = fs::remove_dir(folder);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_known_names_are_removed_and_then_an_empty_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, shared) = (folder.path().join("ours"), folder.path().join("shared"));
        for folder in [&ours, &shared] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join("a.json"), "").unwrap();
        }
        fs::write(shared.join("notes.txt"), "").unwrap();
        fs::create_dir(shared.join("b.json")).unwrap();
        let is_own = |name: &str| name == "a.json" || name == "b.json";
        for path in [&ours, &shared, &folder.path().join("absent")] {
            remove_own_files(path, is_own).unwrap();
        }
        assert!(!ours.exists());
        let mut left: Vec<_> =
            fs::read_dir(&shared).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["b.json", "notes.txt"]);
    }
}
