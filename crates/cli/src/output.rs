//! Where results go, checked before the long part starts.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Result;
use attention_probes_activations::{ActivationError, check_output};

use crate::exit::InputError;

/// Makes the folder of a file that is to be written, and refuses one that cannot be: something other
/// than a regular file has its name.
pub(crate) fn check_file(path: &Path) -> Result<()> {
    if let Some(folder) = folder_of(path) {
        fs::create_dir_all(folder)
            .map_err(|source| ActivationError::Write { path: path.to_owned(), source })?;
    }
    check_target(path)
}

/// As [`check_file`], without making the folder.
pub(crate) fn check_target(path: &Path) -> Result<()> {
    if path.is_dir() {
        let message = format!("`{}` is a folder, name a file in it", path.display());
        return Err(InputError(message).into());
    }
    match folder_of(path) {
        Some(folder) if !folder.exists() => Ok(()),
        _ => Ok(check_output(path)?),
    }
}

fn folder_of(path: &Path) -> Option<&Path> {
    path.parent().filter(|folder| !folder.as_os_str().is_empty())
}

/// Refuses a path that a configuration kept beside results cannot hold.
pub(crate) fn check_utf8(path: &Path) -> Result<()> {
    if path.to_str().is_some() {
        return Ok(());
    }
    let path = path.display();
    let error = format!("`{path}` is not UTF-8, so no configuration can hold it; rename it");
    Err(InputError(error).into())
}

/// Removes a file, which may not be there.
pub(crate) fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(ActivationError::Write { path: path.to_owned(), source }.into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_a_file_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new").join("deeper").join("page.html");
        check_target(&path).unwrap();
        assert!(!folder.path().join("new").exists());
        check_file(&path).unwrap();
        assert!(path.parent().unwrap().is_dir());
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(check_file(&folder.path().join("file").join("page.html")).is_err());
        assert!(check_file(folder.path()).is_err());
    }
}
