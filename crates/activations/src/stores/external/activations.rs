//! Activations with their labels.

use std::collections::BTreeSet;
use std::path::Path;

use rayon::prelude::*;

use super::site::{ActivationOrigin, ExternalSite};
use crate::data::copies::{rows_key, text_key};
use crate::{ActivationError, LabelKind, Labels, ShardError};

/// Activations of real tokens, packed without padding.
#[derive(Clone, Debug, PartialEq)]
pub struct ExternalActivations {
    /// Activations, `[n_tokens, d_model]`, row-major, examples one after the other.
    pub x: Vec<f32>,
    /// Where each example begins among the tokens, and at last the number of tokens: `[n + 1]`.
    pub offsets: Vec<usize>,
    /// Class of each example, an index into `classes`. `None` if the file has no `y`.
    pub labels: Option<Vec<usize>>,
    /// Labels other than classes, one for each example, if they were asked for.
    pub targets: Option<Labels>,
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
    /// Activations that are in memory, `[n_tokens, d_model]`, as those of a file: of sequences that
    /// follow each other, each with a label.
    ///
    /// # Errors
    ///
    /// [`ActivationError::LengthMismatch`] if the numbers are not as many for each token, or labels not
    /// as many as sequences.
    pub fn from_rows(
        x: Vec<f32>,
        lengths: &[usize],
        labels: &Labels,
    ) -> Result<Self, ActivationError> {
        let n_tokens: usize = lengths.iter().sum();
        let d_model = x.len() / n_tokens.max(1);
        for (name, length, expected) in
            [("rows", x.len(), n_tokens * d_model), ("labels", labels.len(), lengths.len())]
        {
            if length != expected {
                return Err(ActivationError::LengthMismatch { name, length, expected });
            }
        }
        let mut hasher = blake3::Hasher::new();
        for values in x.chunks(1 << 14) {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            hasher.update(&bytes);
        }
        for label in labels.classes() {
            hasher.update(&(*label as u64).to_le_bytes());
        }
        for label in labels.numbers() {
            hasher.update(&label.to_le_bytes());
        }
        let mut offsets = vec![0];
        for length in lengths {
            offsets.push(offsets[offsets.len() - 1] + length);
        }
        Ok(Self {
            x,
            offsets,
            labels: Some(labels.strata()),
            targets: Some(labels.clone()).filter(|labels| !labels.kind().is_class()),
            classes: labels.names.clone(),
            d_model,
            position: None,
            input_ids: None,
            texts: None,
            groups: None,
            source_rows: (0..lengths.len()).collect(),
            skipped: Vec::new(),
            sites: Vec::new(),
            origin: ActivationOrigin::default(),
            hash: hasher.finalize().to_hex().to_string(),
        })
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
