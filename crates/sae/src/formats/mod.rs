//! Files of sparse autoencoders: five forms are read, that of `SAELens` is written.

mod arrays;
mod attention_output;
mod dictionary_learning;
mod gemma_scope;
mod pickle;
mod sae_lens;
mod sparsify;

use std::path::{Path, PathBuf};
use std::{fmt, fs};

use attention_probes_errors::FileError;
use attention_probes_models::{ModelError, is_lfs_pointer, read_description};
use serde::de::DeserializeOwned;

use crate::{Sae, SaeError};

pub use sae_lens::write_sae_lens;

/// A form in which autoencoders are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaeFormat {
    /// A folder with `cfg.json` and `sae_weights.safetensors`, as the Python library `sae_lens`
    /// writes it.
    SaeLens,
    /// `NAME.pt` beside `NAME_cfg.json`, as Kissane et al. published attention-output
    /// autoencoders.
    AttentionOutput,
    /// A folder with `params.npz`, as Google publishes Gemma Scope.
    GemmaScope,
    /// A folder with `ae.pt` and `config.json`, as `dictionary_learning` writes it.
    DictionaryLearning,
    /// A folder with `cfg.json` and `sae.safetensors`, as `EleutherAI`'s `sparsify` writes it.
    Sparsify,
}

impl SaeFormat {
    /// Returns the name of the library or collection.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SaeLens => "SAELens",
            Self::AttentionOutput => "attention-output (.pt)",
            Self::GemmaScope => "Gemma Scope",
            Self::DictionaryLearning => "dictionary_learning",
            Self::Sparsify => "sparsify",
        }
    }

    /// Says which form a path has, and where its folder or file of weights is.
    ///
    /// # Errors
    ///
    /// [`SaeError::UnknownFormat`] if it has none of them.
    pub fn of(path: impl AsRef<Path>) -> Result<(Self, PathBuf), SaeError> {
        let path = path.as_ref();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let folder = if path.is_dir() { Some(path) } else { path.parent() };
        let is_wanted = |file: &str| path.is_dir() || name == file;
        if let Some(folder) = folder {
            let forms = [
                (sae_lens::WEIGHTS, Some(sae_lens::CONFIG), Self::SaeLens),
                (sparsify::WEIGHTS, Some(sparsify::CONFIG), Self::Sparsify),
                (gemma_scope::WEIGHTS, None, Self::GemmaScope),
                (dictionary_learning::WEIGHTS, None, Self::DictionaryLearning),
            ];
            for (weights, config, format) in forms {
                let has_config = config.is_none_or(|file| folder.join(file).is_file());
                if is_wanted(weights) && folder.join(weights).is_file() && has_config {
                    return Ok((format, folder.to_owned()));
                }
            }
        }
        if path.is_file() && path.extension().is_some_and(|ending| ending == "pt") {
            return Ok((Self::AttentionOutput, path.to_owned()));
        }
        Err(SaeError::UnknownFormat { path: path.to_owned() })
    }
}

impl fmt::Display for SaeFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Reads an autoencoder in any form that [`SaeFormat`] lists.
///
/// # Errors
///
/// - [`SaeError::UnknownFormat`] if the path is none of them.
/// - [`SaeError::Read`], [`SaeError::Json`], [`SaeError::Config`],
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

/// Reads a configuration.
fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, SaeError> {
    let text = read_description(path).map_err(|error| match error {
        ModelError::File(FileError { path, source, .. }) => SaeError::Read { path, source },
        error => error.into(),
    })?;
    serde_json::from_slice(&text).map_err(|source| SaeError::Json { path: path.to_owned(), source })
}

/// The number in a name such as `layer_20` or `layers.5`.
fn layer_of(name: &str) -> Option<usize> {
    let at = name.find("layer")?;
    let rest = name[at..].trim_start_matches(|c: char| !c.is_ascii_digit());
    let digits = rest.find(|c: char| !c.is_ascii_digit()).map_or(rest, |end| &rest[..end]);
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_found_in_names() {
        let names =
            ["layer_20/width_16k", "layers.5.mlp", "gpt2/layers_11", "embedding", "layer_x"];
        assert_eq!(names.map(layer_of), [Some(20), Some(5), Some(11), None, None]);
    }

    #[test]
    fn a_path_without_weights_is_no_autoencoder() {
        let folder = tempfile::tempdir().unwrap();
        let error = SaeFormat::of(folder.path()).unwrap_err().to_string();
        assert!(error.contains("is no sparse autoencoder; expected a folder with"), "{error}");
    }
}
