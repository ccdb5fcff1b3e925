//! Results of a data set whose labels are no classes, as a part of the page of a sweep.

use serde::{Deserialize, Serialize};

use crate::{Estimate, SweepTrial};

/// A data set at all its layers: one table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TargetTable {
    /// Name of the data set.
    pub data: String,
    /// What a label is, and how many examples there are, in words.
    pub facts: String,
    /// What training minimises, in words.
    #[serde(default)]
    pub loss: String,
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
    /// Whether validation likes it best of all probes of its data set.
    #[serde(default)]
    pub is_best: bool,
    /// What it was chosen from; nothing of a baseline.
    #[serde(default)]
    pub search: Option<TargetSearch>,
}

/// What a probe was chosen from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetSearch {
    /// Trials of a grid.
    Trials(TargetTrials),
    /// Penalties of an exact solution, in the order in which they were tried.
    Penalties(Vec<PenaltyPoint>),
}

/// The trials of a grid, and which of them was chosen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TargetTrials {
    /// Whether L-BFGS fitted them, which finds its own steps.
    pub has_own_steps: bool,
    /// Step size of the chosen trial; shown unless it has its own steps.
    pub learning_rate: f64,
    /// Weight decay of the chosen trial.
    pub weight_decay: f64,
    /// Seed of the chosen trial.
    pub seed: u64,
    /// Every trial, the chosen one among them; none has a balanced accuracy.
    pub trials: Vec<SweepTrial>,
}

/// A penalty, and what validation says of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PenaltyPoint {
    /// The label that it is about, where each has a penalty of its own.
    pub output: Option<String>,
    /// The penalty.
    pub penalty: f64,
    /// R² of a number, else the log loss negated; `None` if the solver did not get there.
    pub validation: Option<f64>,
}
