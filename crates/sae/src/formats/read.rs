//! Reading an autoencoder of any form.

use std::fs;
use std::path::{Path, PathBuf};

use attention_probes_models::{ModelError, is_lfs_pointer};

use super::form::SaeFormat;
use super::{attention_output, dictionary_learning, gemma_scope, sae_lens, sparsify};
use crate::{Sae, SaeError};

/// Reads an autoencoder in any form that [`SaeFormat`] lists.
///
/// # Errors
///
/// - [`SaeError::UnknownFormat`] if the path is none of them, [`SaeError::File`] if it is not there.
/// - [`SaeError::File`], [`SaeError::Json`], [`SaeError::Config`],
///   [`SaeError::UnknownArchitecture`], [`SaeError::Weights`], [`SaeError::Pickle`],
///   [`SaeError::MissingArray`], or [`SaeError::ArrayShape`] if a file is damaged, hostile, or says
///   what is not known here.
/// - [`SaeError::Unusable`] with the error of [`Sae::check`].
///
/// # Memory
///
/// The weights in `f32`, and once more while a matrix is transposed.
pub fn read_sae(path: impl AsRef<Path>) -> Result<Sae, SaeError> {
    let (format, path) = SaeFormat::of(path)?;
    let sae = match format {
        SaeFormat::SaeLens => sae_lens::read(&path),
        SaeFormat::AttentionOutput => attention_output::read(&path),
        SaeFormat::GemmaScope => gemma_scope::read(&path),
        SaeFormat::DictionaryLearning => dictionary_learning::read(&path),
        SaeFormat::Sparsify => sparsify::read(&path),
    };
    let sae = sae.map_err(|error| match pointer_in(&path) {
        Some(path) => ModelError::LfsPointer { path }.into(),
        None => error,
    })?;
    sae.check().map_err(|source| SaeError::Unusable { path, source: Box::new(source) })?;
    Ok(sae)
}

/// A file that is a Git LFS pointer: this one, or one of this folder.
fn pointer_in(path: &Path) -> Option<PathBuf> {
    let beside = fs::read_dir(if path.is_dir() { path } else { path.parent()? });
    let mut beside = beside.into_iter().flatten().flatten().map(|entry| entry.path());
    let is_meant = |found: &PathBuf| path.is_dir() || found == path;
    beside.find(|found| is_meant(found) && is_lfs_pointer(found))
}

impl Sae {
    /// Reads an autoencoder in any of the known forms, as [`read_sae`](crate::read_sae) does.
    ///
    /// # Errors
    ///
    /// As [`read_sae`](crate::read_sae).
    pub fn read(path: impl AsRef<Path>) -> Result<Self, SaeError> {
        read_sae(path)
    }
}
