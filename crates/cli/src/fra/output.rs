//! Where results go, checked before the long part starts.

use std::path::Path;

use anyhow::Result;

use crate::exit::InputError;

/// Refuses a file whose folder is not there.
pub(super) fn check_folder(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder {
        Some(folder) if !folder.is_dir() => {
            let (path, folder) = (path.display(), folder.display());
            let error = format!("cannot write `{path}`: there is no folder `{folder}`, make it");
            Err(InputError(error).into())
        }
        _ => Ok(()),
    }
}
