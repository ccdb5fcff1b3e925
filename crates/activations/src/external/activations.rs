//! Activations with their labels, and which reader is for what they lie in.

use std::collections::BTreeMap;
use std::path::Path;

use super::mosaic::is_mosaic_folder;
use crate::dataset::sorted_classes;
use crate::{
    ActivationError, LabelKind, ShardError, TableError, Targets, is_datasets_folder,
    is_shard_folder,
};

/// Activations of real tokens, packed without padding.
#[derive(Clone, Debug, PartialEq)]
pub struct ExternalActivations {
    /// Activations, `[n_tokens, d_model]`, row-major, examples one after the other.
    pub x: Vec<f32>,
    /// Where each example begins among the tokens, and at last the number of tokens: `[n + 1]`.
    pub offsets: Vec<usize>,
    /// Class of each example, an index into `classes`. `None` if the file has no `y`.
    pub labels: Option<Vec<usize>>,
    /// Labels that are no classes, a row for each example, if they were asked for.
    pub targets: Option<Targets>,
    /// Names of the classes, by number; those of the examples that were kept.
    pub classes: Vec<String>,
    /// Width of an activation.
    pub d_model: usize,
    /// Position of each token, `[n_tokens]`, if the file gives it.
    pub position: Option<Vec<i64>>,
    /// Token of the vocabulary at each token, `[n_tokens]`, if the file gives it.
    pub input_ids: Option<Vec<i64>>,
    /// Group of each example, where the source says which belong together.
    pub groups: Option<Vec<usize>>,
    /// Row in the file of each example that was kept, ascending; of a MOSAIC folder, number of its
    /// file.
    pub source_rows: Vec<usize>,
    /// Rows in the file that were left out: NaN or infinity in a real token, or no real token.
    pub skipped: Vec<usize>,
    /// BLAKE3 of the file, as hex.
    pub hash: String,
}

/// What to read of activations that have been computed before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalConfig {
    /// Which hook of a folder of shards, or `<model>_<layer>` of a MOSAIC folder. Default none: the
    /// only one there.
    pub hook: Option<String>,
    /// Whether labels are read. Default true.
    pub with_labels: bool,
    /// What a label is. Default a class.
    pub label_kind: LabelKind,
    /// Token whose run at either end of an example of a MOSAIC folder is padding. Default none:
    /// every token is real.
    pub pad_token_id: Option<u32>,
}

impl Default for ExternalConfig {
    fn default() -> Self {
        Self { hook: None, with_labels: true, label_kind: LabelKind::Class, pad_token_id: None }
    }
}

impl ExternalActivations {
    /// Reads one `.npz`, in which other arrays are left alone, or a folder of shards.
    ///
    /// A folder must hold one hook; [`read_hook`](ExternalActivations::read_hook) takes one of
    /// several. Where it has labels, a row without one is left out.
    ///
    /// # Shapes
    ///
    /// - `x`: `[n, pos, d_model]`, a float type
    /// - `mask`: `[n, pos]`, any type, 1 where the token is real and 0 where it is padding
    /// - `y`: `[n]`, an integer type; may be absent
    /// - `position`, `input_ids`: `[n, pos]`, an integer type; may be absent
    ///
    /// # Errors
    ///
    /// - what [`read_npz_arrays`](crate::read_npz_arrays) returns for a damaged file or a missing
    ///   `x` or `mask`
    /// - [`ActivationError::ArrayShape`] if `x` has not three axes, none of them 0, or is no float
    /// - [`ActivationError::ArrayMismatch`] if another array does not fit `x`
    /// - [`ActivationError::FloatArray`] if `y`, `position` or `input_ids` holds floats
    /// - [`ActivationError::ArrayValue`] if `mask` is anything but 0 or 1
    /// - [`ActivationError::NoUsableExamples`] if every example was left out
    /// - what [`ShardFolder`](crate::ShardFolder) returns for a folder that is damaged or not
    ///   complete, [`ShardError::SeveralHooks`], or [`ShardError::Pairs`]
    ///
    /// # Memory
    ///
    /// `x` as `f32`, padding included; it is packed in place.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ActivationError> {
        Self::read_with(path, &ExternalConfig::default())
    }

    /// As [`ExternalActivations::read`], for one hook of a folder of shards by name.
    ///
    /// # Errors
    ///
    /// - as [`ExternalActivations::read`]
    /// - [`ShardError::NoSuchHook`] if a hook is named that a folder does not have, or an npz
    ///
    /// # Memory
    ///
    /// As [`ExternalActivations::read`].
    pub fn read_hook(path: impl AsRef<Path>, hook: Option<&str>) -> Result<Self, ActivationError> {
        let hook = hook.map(str::to_owned);
        Self::read_with(path, &ExternalConfig { hook, ..ExternalConfig::default() })
    }

    /// As [`ExternalActivations::read`], as the config says; also a folder of MOSAIC, which has
    /// `<model>_<layer>_activations_metadata.csv` with the columns `npz_file`, `label`, and perhaps
    /// `sample_id`, whose equal values are one group, and an npz for each example.
    ///
    /// # Shapes
    ///
    /// In an npz of a MOSAIC folder:
    ///
    /// - `hidden_state`: `[pos, d_model]`, a float type
    /// - `input_ids`: `[pos]`, an integer type; may be absent
    ///
    /// # Errors
    ///
    /// - as [`ExternalActivations::read_hook`]
    /// - [`ActivationError::PadToken`] if a padding token is given for anything but a MOSAIC folder
    /// - [`ActivationError::Table`], [`ActivationError::MosaicFile`], or
    ///   [`ActivationError::MosaicLabel`] if the table of a MOSAIC folder or a row of it is at fault
    ///
    /// # Memory
    ///
    /// As [`ExternalActivations::read`].
    pub fn read_with(
        path: impl AsRef<Path>,
        config: &ExternalConfig,
    ) -> Result<Self, ActivationError> {
        let path = path.as_ref();
        if path.is_dir() && config.with_labels && !config.label_kind.is_class() {
            return Err(ActivationError::FolderTargets { path: path.to_owned() });
        }
        let (hook, with_labels) = (config.hook.as_deref(), config.with_labels);
        if path.is_dir() && !is_shard_folder(path) && is_mosaic_folder(path) {
            return Self::read_mosaic(path, config);
        }
        if config.pad_token_id.is_some() {
            return Err(ActivationError::PadToken { path: path.to_owned() });
        }
        if path.is_dir() {
            if is_datasets_folder(path) {
                return Err(TableError::Arrow { path: path.to_owned() }.into());
            }
            return Self::read_shards(path, hook, with_labels);
        }
        if let Some(hook) = hook {
            let (path, hook) = (path.to_owned(), hook.to_owned());
            return Err(ShardError::NoSuchHook { path, hook, hooks: Vec::new() }.into());
        }
        Self::read_npz(path, config)
    }

    /// Why activations without labels cannot be used where labels are needed.
    pub fn no_labels(path: &Path) -> ActivationError {
        if path.is_dir() {
            return ShardError::NoLabels { path: path.to_owned() }.into();
        }
        let arrays = vec!["x".to_owned(), "mask".to_owned()];
        ActivationError::MissingArray { path: path.to_owned(), array: "y", arrays }
    }

    /// Number of examples that were kept.
    pub fn n_examples(&self) -> usize {
        self.source_rows.len()
    }
}

/// Classes by name, and the class of each example.
pub(super) fn classes_and_labels(names: Option<&[String]>) -> (Vec<String>, Option<Vec<usize>>) {
    let classes = sorted_classes(names.unwrap_or_default().iter().map(String::as_str));
    let numbers: BTreeMap<&str, usize> =
        classes.iter().enumerate().map(|(index, class)| (class.as_str(), index)).collect();
    let labels = names.map(|names| names.iter().map(|name| numbers[name.as_str()]).collect());
    (classes, labels)
}
