//! Where results go, checked before the long part starts.

use std::path::Path;

use anyhow::Result;
use attention_probes_activations::check_output;

use crate::exit::InputError;

/// Refuses a file that cannot be written: its folder is not there, or something other than a
/// regular file has its name.
pub(crate) fn check_file(path: &Path) -> Result<()> {
    if path.is_dir() {
        let message = format!("`{}` is a folder, name a file in it", path.display());
        return Err(InputError(message).into());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder {
        Some(folder) if !folder.is_dir() => {
            let (path, folder) = (path.display(), folder.display());
            let error = format!("cannot write `{path}`: there is no folder `{folder}`, make it");
            Err(InputError(error).into())
        }
        _ => Ok(check_output(path)?),
    }
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
