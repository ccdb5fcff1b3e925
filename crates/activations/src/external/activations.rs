//! Activations with their labels.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rayon::prelude::*;

use super::site::{ActivationOrigin, ExternalSite};
use super::store::ExternalStore;
use crate::copies::{rows_key, text_key};
use crate::{ActivationError, LabelKind, ShardError, Targets};

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
    /// Names of the classes, by number; those of the examples that were kept, in the order that the
    /// file gives them, if it does.
    pub classes: Vec<String>,
    /// Width of an activation.
    pub d_model: usize,
    /// Position of each token, `[n_tokens]`, if the file gives it.
    pub position: Option<Vec<i64>>,
    /// Token of the vocabulary at each token, `[n_tokens]`, if the file gives it.
    pub input_ids: Option<Vec<i64>>,
    /// Text of each example, if the file gives it.
    pub texts: Option<Vec<String>>,
    /// Group of each example, where the source says which belong together.
    pub groups: Option<Vec<usize>>,
    /// Row in the file of each example that was kept, ascending; of a MOSAIC folder, number of its
    /// file.
    pub source_rows: Vec<usize>,
    /// Rows in the file that were left out: NaN or infinity in a real token, no real token, no label
    /// where labels are read, or in [`ExternalConfig::left_out`].
    pub skipped: Vec<usize>,
    /// Where in a model they were taken, as many as stand side by side.
    pub sites: Vec<ExternalSite>,
    /// Which model they are of.
    pub origin: ActivationOrigin,
    /// BLAKE3 of the file, as hex; of a file of several sites, also of their names.
    pub hash: String,
}

/// What to read of activations that have been computed before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalConfig {
    /// Which hook, or `<model>_<layer>` of a MOSAIC folder. Default none: the only one there.
    pub hook: Option<String>,
    /// Whether labels are read. Default true.
    pub with_labels: bool,
    /// What a label is. Default a class.
    pub label_kind: LabelKind,
    /// Token whose run at either end of an example of a MOSAIC folder is padding. Default none:
    /// every token is real.
    pub pad_token_id: Option<u32>,
    /// Rows that are left out whatever they hold. Default none.
    pub left_out: BTreeSet<usize>,
}

impl Default for ExternalConfig {
    fn default() -> Self {
        Self {
            hook: None,
            with_labels: true,
            label_kind: LabelKind::Class,
            pad_token_id: None,
            left_out: BTreeSet::new(),
        }
    }
}

impl ExternalActivations {
    /// Reads an `.npz` or a `.safetensors`, in which other arrays are left alone, or a folder of
    /// shards.
    ///
    /// What is read must have one site; [`read_hook`](ExternalActivations::read_hook) takes one of
    /// several. Where it has labels, a row without one is left out.
    ///
    /// # Shapes
    ///
    /// - `x`: `[n, pos, d_model]`, or `[n, d_model]` of one token each, a float type; or
    ///   `[n, n_layers, pos, d_model]` with `layers`, `[n_layers]`; or one `x.<layer>` for each
    ///   layer; or arrays that are named as hooks
    /// - `mask`, or `attention_mask`: `[n, pos]`, any type, 1 where the token is real and 0 where it
    ///   is padding; if absent, every token is real
    /// - `y`: `[n]`, integers, floats that are integers, or strings; may be absent
    /// - `class_names`: `[n_classes]`, strings; may be absent
    /// - `position`, `input_ids`: `[n, pos]`, an integer type; may be absent
    /// - `text`: `[n]`, strings; may be absent
    /// - `model`, `revision`, `component`, `convention`: one string each; `layer`, `max_tokens`: one
    ///   integer each; may be absent
    ///
    /// # Errors
    ///
    /// - what [`ExternalStore::open`] and [`ExternalStore::choose`] return
    /// - [`ActivationError::ArrayMismatch`] if another array does not fit `x`
    /// - [`ActivationError::FloatArray`] if `position` or `input_ids` holds floats
    /// - [`ActivationError::ArrayValue`] if `mask` is anything but 0 or 1
    /// - [`ExternalError`](crate::ExternalError) if `y` is no class, or not among `class_names`
    /// - [`ActivationError::NoUsableExamples`] if every example was left out
    /// - [`ShardError::Pairs`] if a hook relates positions
    ///
    /// # Memory
    ///
    /// One site as `f32`, padding included; it is packed in place.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ActivationError> {
        Self::read_with(path, &ExternalConfig::default())
    }

    /// As [`ExternalActivations::read`], for one hook of a folder of shards by name.
    ///
    /// # Errors
    ///
    /// - as [`ExternalActivations::read`]
    /// - [`ShardError::NoSuchHook`] if a hook is named that is not there
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
        let store = ExternalStore::open(path)?;
        let site = store.choose(config.hook.as_deref())?;
        store.read(&[site], config)
    }

    /// Why activations without labels cannot be used where labels are needed.
    pub fn no_labels(path: &Path) -> ActivationError {
        if path.is_dir() {
            return ShardError::NoLabels { path: path.to_owned() }.into();
        }
        let arrays = vec!["x".to_owned()];
        ActivationError::MissingArray { path: path.to_owned(), array: "y".to_owned(), arrays }
    }

    /// Number of each example that was kept, which equal texts share, or equal activations where
    /// there are no texts.
    pub fn keys(&self) -> Vec<u64> {
        if let Some(texts) = &self.texts {
            return texts.iter().map(|text| text_key(text)).collect();
        }
        let rows = |pair: &[usize]| &self.x[pair[0] * self.d_model..pair[1] * self.d_model];
        self.offsets.par_windows(2).map(|pair| rows_key(rows(pair))).collect()
    }

    /// Number of examples that were kept.
    pub fn n_examples(&self) -> usize {
        self.source_rows.len()
    }
}

/// Index among classes of each name, which is one of them.
pub(super) fn class_indices(classes: &[String], names: &[String]) -> Vec<usize> {
    let numbers: BTreeMap<&str, usize> =
        classes.iter().enumerate().map(|(index, class)| (class.as_str(), index)).collect();
    names.iter().map(|name| numbers[name.as_str()]).collect()
}
