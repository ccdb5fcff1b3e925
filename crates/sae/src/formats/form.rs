//! Which form a file or folder has.

use std::fmt;
use std::path::{Path, PathBuf};

use attention_probes_errors::FileError;

use super::{dictionary_learning, gemma_scope, sae_lens, sparsify};
use crate::SaeError;

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
    /// - [`SaeError::File`] if there is no such file or folder
    /// - [`SaeError::UnknownFormat`] if it has none of them
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
        // What is not there, or cannot be looked at, is no question of its form.
        path.metadata().map_err(FileError::read(path))?;
        Err(SaeError::UnknownFormat { path: path.to_owned() })
    }
}

impl fmt::Display for SaeFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_without_weights_is_no_autoencoder() {
        let folder = tempfile::tempdir().unwrap();
        let error = SaeFormat::of(folder.path()).unwrap_err().to_string();
        assert!(error.contains("is no sparse autoencoder; expected a folder with"), "{error}");
    }

    #[test]
    fn a_path_that_is_not_there_is_told_so() {
        let error = SaeFormat::of("/nowhere/sae").unwrap_err();
        assert!(error.is_not_found(), "{error}");
        assert_eq!(error.kind(), attention_probes_errors::ErrorKind::File);
        assert_eq!(error.to_string(), "cannot read `/nowhere/sae`");
    }
}
