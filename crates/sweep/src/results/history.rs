//! A line of the history of a run.

use std::fmt::Write as _;
use std::path::Path;

use attention_probes_errors::FileError;
use serde::{Deserialize, Serialize};

use crate::SweepError;
use crate::config::trial::Trial;
use crate::results::files::write_text;
use crate::train::record::EpochRecord;
use crate::train::score::BinaryCounts;

/// One trial after one epoch: a line of `history.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryRecord {
    /// Prefix of the file names of its architecture.
    pub config_name: String,
    /// Step size.
    pub learning_rate: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Seed of the initial weights.
    pub seed: u64,
    /// Epoch, from 1.
    pub epoch: usize,
    /// Mean training loss over the epoch's steps; `None` if it is not finite.
    pub train_loss: Option<f64>,
    /// Mean loss on validation, class weights included; `None` if it is not finite.
    pub validation_loss: Option<f64>,
    /// Share of right answers on validation, of classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_accuracy: Option<f64>,
    /// Mean recall over the classes on validation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_balanced_accuracy: Option<f64>,
    /// Area under the ROC curve on validation, of two classes.
    pub validation_auroc: Option<f64>,
    /// The four counts of a confusion matrix on validation, of two classes.
    pub validation_counts: Option<BinaryCounts>,
}

impl HistoryRecord {
    /// A trial of an architecture after an epoch.
    pub(crate) fn new(config_name: &str, trial: Trial, record: &EpochRecord) -> Self {
        let validation = &record.validation;
        Self {
            config_name: config_name.to_owned(),
            learning_rate: trial.learning_rate,
            weight_decay: trial.weight_decay,
            seed: trial.seed,
            epoch: record.epoch,
            train_loss: finite(record.train_loss),
            validation_loss: finite(validation.loss),
            validation_accuracy: validation.accuracy,
            validation_balanced_accuracy: validation.balanced_accuracy,
            validation_auroc: validation.auroc,
            validation_counts: validation.counts,
        }
    }
}

/// Writes a line for every record.
pub(crate) fn write_history(path: &Path, records: &[HistoryRecord]) -> Result<(), SweepError> {
    let mut history = String::new();
    for record in records {
        let line =
            serde_json::to_string(record).map_err(|error| FileError::write(path)(error.into()))?;
        let _ = writeln!(history, "{line}"); // writing to a string does not fail
    }
    write_text(path, &history)
}

/// JSON has no NaN: a loss that diverged becomes null.
fn finite(loss: f64) -> Option<f64> {
    loss.is_finite().then_some(loss)
}
