//! Files of results, each written under another name and renamed.

use std::io::Write as _;
use std::path::Path;

use attention_probes_activations::{remove_own_files, write_atomically};
use attention_probes_errors::FileError;
use attention_probes_probes::SavedProbe;
use serde::Serialize;

use crate::SweepError;

/// Makes a folder and those above it.
pub(crate) fn create_folder(folder: &Path) -> Result<(), SweepError> {
    Ok(std::fs::create_dir_all(folder).map_err(FileError::write(folder))?)
}

/// Removes the probes of an experiment, which may have none, and no other files.
pub(crate) fn remove_probes(trained: &Path) -> Result<(), SweepError> {
    let is_probe = |name: &str| name.ends_with("_state.npz") || name.ends_with("_meta.json");
    Ok(remove_own_files(trained, is_probe)?)
}

/// Writes the probes of an experiment, which may have none, in place of those that are there: they
/// may be of other data or another version.
pub(crate) fn write_probes(
    trained: &Path,
    probes: &[(String, SavedProbe)],
) -> Result<(), SweepError> {
    remove_probes(trained)?;
    create_folder(trained)?;
    for (stem, probe) in probes {
        probe.save(trained, stem)?;
    }
    Ok(())
}

pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), SweepError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| FileError::write(path)(error.into()))?;
    write_text(path, &(text + "\n"))
}

pub(crate) fn write_text(path: &Path, text: &str) -> Result<(), SweepError> {
    Ok(write_atomically(path, |file| file.write_all(text.as_bytes()))?)
}
