//! The results of an experiment whose labels are not classes, in memory, and the files that they
//! become.

use std::path::Path;

use attention_probes_activations::{NpzArray, write_npz};
use attention_probes_probes::SavedProbe;

use crate::SweepError;
use crate::results::files::{write_json, write_probes, write_text};
use crate::results::history::{HistoryRecord, write_history};
use crate::results::target_report::{TargetMetrics, TargetReport};

/// Everything that is known of a data set at one layer whose labels are not classes.
#[derive(Clone, Debug)]
pub struct SweptTargets {
    /// Baselines, the chosen probe of each architecture with its metrics on test, and warnings:
    /// `best.json`.
    pub report: TargetReport,
    /// Every penalty and every trial: `metrics.json`.
    pub metrics: Vec<TargetMetrics>,
    /// Every trial after every epoch: `history.jsonl`, if there is any.
    pub history: Vec<HistoryRecord>,
    /// Labels of every example held out, and what the chosen probes say of it: `predictions.npz`.
    pub predictions: Vec<(String, NpzArray)>,
    /// Of every architecture the chosen probe and the best of each weight decay, by the name of its
    /// file without `_state.npz`: `trained/`.
    pub probes: Vec<(String, SavedProbe)>,
    /// The configuration of the experiment alone, TOML: `config.toml`.
    pub config: String,
}

impl SweptTargets {
    /// Writes every file of the experiment into a folder; `best.json` last, which says that it is
    /// complete. Probes that are there already are removed.
    ///
    /// # Errors
    ///
    /// - [`SweepError::File`] if a file cannot be written
    /// - [`SweepError::Probe`] if a probe cannot be written
    pub fn write(&self, folder: &Path) -> Result<(), SweepError> {
        write_probes(&folder.join("trained"), &self.probes)?;
        write_text(&folder.join("config.toml"), &self.config)?;
        if !self.history.is_empty() {
            write_history(&folder.join("history.jsonl"), &self.history)?;
        }
        write_json(&folder.join("metrics.json"), &self.metrics)?;
        write_npz(folder.join("predictions.npz"), &self.predictions)?;
        write_json(&folder.join("best.json"), &self.report)
    }
}
