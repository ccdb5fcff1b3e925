//! Texts with labels, and activations with labels, as evaluations take them.

use std::path::{Path, PathBuf};

use attention_probes_activations::{
    ActivationError, DatasetConfig, ExternalActivations, ExternalConfig, LabelColumn, TextReader,
};

use crate::eval::error::EvalError;
use crate::{Sae, SaeError};

/// A text with its label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledText {
    /// The text.
    pub text: String,
    /// Its label.
    pub label: String,
    /// Its value of a second column, a spurious attribute; empty where none was asked for.
    pub attribute: String,
}

/// Texts with a label each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledData {
    /// Where they are from, for messages.
    pub from: String,
    /// What they are called in results.
    pub name: String,
    /// The texts.
    pub texts: Vec<LabelledText>,
}

/// Activations of examples.
#[derive(Clone, Debug)]
pub struct ActivationData {
    /// Where they are from, for messages.
    pub from: String,
    /// What they are called in results.
    pub name: String,
    /// The activations, with labels where the evaluation needs them.
    pub activations: ExternalActivations,
}

/// Reads texts with their labels from some files, whose rows follow each other; rows without text
/// are left out.
///
/// `columns.group` names the column of a spurious attribute, if there is one. `path` is what the
/// files were found by, which names the data.
///
/// # Errors
///
/// - [`EvalError::EmptyCell`] if a row has no value of the attribute.
/// - [`SaeError::Activation`] if a file or a column is at fault, or there is no text.
///
/// # Memory
///
/// The texts.
pub fn read_labelled(
    path: &Path,
    files: &[PathBuf],
    columns: &DatasetConfig,
) -> Result<LabelledData, SaeError> {
    let from = path.display().to_string();
    let (mut texts, mut n_rows) = (Vec::new(), 0);
    for row in TextReader::open_files(files, columns, LabelColumn::Needed)? {
        let row = row?;
        n_rows += 1;
        if row.text.trim().is_empty() {
            continue;
        }
        if let (Some(column), None) = (&columns.group, &row.group) {
            let (row, column) = (n_rows - 1, column.clone());
            return Err(EvalError::EmptyCell { from, row, column }.into());
        }
        let label = row.label.unwrap_or_default();
        let attribute = row.group.unwrap_or_default();
        texts.push(LabelledText { text: row.text, label, attribute });
    }
    if texts.is_empty() {
        return Err(ActivationError::NoText { name: from, n_rows }.into());
    }
    Ok(LabelledData { from, name: name_of(path), texts })
}

/// Reads activations of a file or folder.
///
/// # Errors
///
/// - [`EvalError::Width`] if they are not as wide as the autoencoder reads.
/// - [`SaeError::Activation`] if the file is at fault, or has no labels though those are asked for.
///
/// # Memory
///
/// The activations.
pub fn read_activations(
    path: &Path,
    sae: &Sae,
    labels: WantedLabels,
) -> Result<ActivationData, SaeError> {
    let with_labels = labels == WantedLabels::Classes;
    let config = ExternalConfig { with_labels, ..ExternalConfig::default() };
    let activations = ExternalActivations::read_with(path, &config)?;
    let from = path.display().to_string();
    let (found, expected) = (activations.d_model, sae.config.d_in);
    if found != expected {
        return Err(EvalError::Width { from, found, expected }.into());
    }
    if with_labels && activations.labels.is_none() {
        return Err(ExternalActivations::no_labels(path).into());
    }
    Ok(ActivationData { from, name: name_of(path), activations })
}

/// Which labels of activations are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WantedLabels {
    /// None.
    None,
    /// Classes.
    Classes,
}

fn name_of(path: &Path) -> String {
    path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
}
