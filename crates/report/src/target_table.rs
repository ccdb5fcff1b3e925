//! Results of a data set whose labels are no classes, as a part of the page of a sweep.

use serde::{Deserialize, Serialize};

use crate::Estimate;

/// A data set at all its layers: one table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TargetTable {
    /// Name of the data set.
    pub data: String,
    /// What a label is, and how many examples there are, in words.
    pub facts: String,
    /// The metric that sums a probe up, such as `R²`.
    pub metric: String,
    /// Names of further metrics, one for each of [`TargetRow::details`].
    pub details: Vec<String>,
    /// Probes by layer, and last what they have to beat.
    pub rows: Vec<TargetRow>,
}

/// One probe, or what it has to beat, on the test examples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TargetRow {
    /// The layer or layers, and the component if there are several; empty of a baseline.
    pub place: String,
    /// Number of the layer, where there is one.
    pub layer: Option<usize>,
    /// Name of the probe, or of the baseline.
    pub name: String,
    /// The penalty, or the learning rate and weight decay, that validation chose; empty of a baseline.
    pub setting: String,
    /// Path of its state file, relative to the folder of the page; empty of a baseline.
    pub file: String,
    /// The metric on the examples that chose the setting; NaN of a baseline.
    pub validation: f64,
    /// The metric on examples that nothing was chosen by; NaN where it is undefined.
    pub test: Estimate,
    /// Further metrics on the same; NaN where one is undefined.
    pub details: Vec<f64>,
}
