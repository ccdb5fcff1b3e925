//! Making room for a run that replaces another.

use std::fs;
use std::path::Path;

use anyhow::Result;
use attention_probes_activations::{ActivationError, remove_own_files};

use super::guidance::GUIDANCE_FILE;
use crate::output::remove_file;

/// Removes the files of a run of `sae train`, and no others.
pub(super) fn remove_run(folder: &Path) -> Result<()> {
    let of_sae = ["cfg.json", "sae_weights.safetensors", "history.jsonl", GUIDANCE_FILE];
    let of_run = ["config.toml", "checkpoint.safetensors", "attention.safetensors"];
    let entries = fs::read_dir(folder)
        .map_err(|source| ActivationError::Read { path: folder.to_owned(), source })?;
    for sae in entries.flatten().map(|entry| entry.path()) {
        if sae.join("history.jsonl").is_file() {
            remove_own_files(&sae, |name| of_sae.contains(&name))?;
        }
    }
    of_run.iter().try_for_each(|name| remove_file(&folder.join(name)))
}
