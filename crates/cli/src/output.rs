//! Where results go, checked before the long part starts.

use std::fs;
use std::path::Path;

use anyhow::Result;
use attention_probes_activations::check_output;
use attention_probes_errors::FileError;

use crate::exit::InputError;

/// Makes the folder of a file that is to be written, and refuses one that cannot be: something other
/// than a regular file has its name.
///
/// # Errors
///
/// - a file error if the folder cannot be made
/// - as [`check_target`]
pub fn check_file(path: &Path) -> Result<()> {
    if let Some(folder) = folder_of(path) {
        fs::create_dir_all(folder).map_err(FileError::write(path))?;
    }
    check_target(path)
}

/// As [`check_file`], and refuses a file that the command reads.
///
/// # Errors
///
/// As [`check_file`] and [`check_not_read`].
pub fn check_file_beside<'a>(
    path: &Path,
    inputs: impl IntoIterator<Item = &'a Path>,
) -> Result<()> {
    check_file(path)?;
    check_not_read(path, inputs)
}

/// Refuses a file that the command reads.
///
/// # Errors
///
/// [`InputError`] if it is one of `inputs`.
pub fn check_not_read<'a>(path: &Path, inputs: impl IntoIterator<Item = &'a Path>) -> Result<()> {
    let Ok(written) = fs::canonicalize(path) else { return Ok(()) };
    if inputs.into_iter().any(|input| fs::canonicalize(input).is_ok_and(|read| read == written)) {
        let message = format!("`{}` is read by this command, name another file", path.display());
        return Err(InputError(message).into());
    }
    Ok(())
}

/// As [`check_file_beside`], for a page, whose name has to say so: whatever else has the name of a
/// page is one.
///
/// # Errors
///
/// - [`InputError`] if its name does not end as that of a page
/// - as [`check_file_beside`]
pub fn check_page<'a>(path: &Path, inputs: impl IntoIterator<Item = &'a Path>) -> Result<()> {
    check_target(path)?;
    let ends = path.extension().and_then(|end| end.to_str()).map(str::to_lowercase);
    if !matches!(ends.as_deref(), Some("html" | "htm")) {
        let message = format!("`{}` does not end in .html, as a page does", path.display());
        return Err(InputError(message).into());
    }
    check_file_beside(path, inputs)
}

/// Refuses a file that is there already, unless it is to be replaced.
///
/// # Errors
///
/// [`InputError`] if it exists and `overwrite` is not set.
pub fn check_absent(path: &Path, overwrite: bool) -> Result<()> {
    if overwrite || !path.is_file() {
        return Ok(());
    }
    let message = format!(
        "`{}` exists; give another `--output`, or replace it with `--overwrite`",
        path.display()
    );
    Err(InputError(message).into())
}

/// As [`check_file`], without making the folder.
///
/// # Errors
///
/// - [`InputError`] if it is a folder
/// - a file error if it is there and no regular file, or nothing can be written there
pub fn check_target(path: &Path) -> Result<()> {
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
///
/// # Errors
///
/// [`InputError`] if it is not UTF-8.
pub fn check_utf8(path: &Path) -> Result<()> {
    if path.to_str().is_some() {
        return Ok(());
    }
    let path = path.display();
    let error = format!("`{path}` is not UTF-8, so no configuration can hold it; rename it");
    Err(InputError(error).into())
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

    #[test]
    fn what_is_read_or_is_no_page_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let [page, table] = ["page.html", "table.csv"].map(|name| folder.path().join(name));
        fs::write(&table, "text\n").unwrap();
        check_page(&page, [&*table]).unwrap();
        fs::write(&page, "<!doctype html>").unwrap();
        check_page(&page, [&*table]).unwrap();
        assert!(check_page(&page, [&*folder.path().join("./page.html")]).is_err());
        assert!(check_page(&table, []).unwrap_err().to_string().contains("not end in .html"));
        assert!(check_absent(&table, false).is_err());
        check_absent(&table, true).unwrap();
        check_absent(&folder.path().join("new.npz"), false).unwrap();
    }
}
