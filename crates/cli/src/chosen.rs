//! The probe that a folder of results stands for.

use std::path::{Path, PathBuf};

use anyhow::Result;
use attention_probes_sweep::ChosenProbe;
use tracing::info;

/// The state file of the probe that validation chose in a folder of results.
pub(crate) fn chosen_in(folder: &Path) -> Result<PathBuf> {
    let ChosenProbe { file, experiment, config_name, n_architectures } = ChosenProbe::find(folder)?;
    let of = if n_architectures > 1 {
        format!(", which validation chose of {n_architectures} architectures")
    } else {
        String::new()
    };
    info!(
        "`{}`: probe `{config_name}` of `{experiment}`{of}: {}",
        folder.display(),
        file.display()
    );
    Ok(file)
}
