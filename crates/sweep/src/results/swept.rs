//! The results of an experiment, in memory, and the files that they become.

use std::path::Path;

use attention_probes_probes::SavedProbe;

use crate::SweepError;
use crate::results::files::{write_json, write_probes, write_text};
use crate::results::history::{HistoryRecord, write_history};
use crate::results::predictions::Predictions;
use crate::results::report::{ExperimentReport, TrialMetrics};

/// Everything that is known of a data set at one layer.
#[derive(Clone, Debug)]
pub struct SweptExperiment {
    /// Baselines, the chosen probe of each architecture with its metrics on test, and warnings:
    /// `best.json`.
    pub report: ExperimentReport,
    /// Every trial, on validation and test: `metrics.json`.
    pub trials: Vec<TrialMetrics>,
    /// Every trial after every epoch: `history.jsonl`.
    pub history: Vec<HistoryRecord>,
    /// What the chosen probes say of every example held out: `predictions.npz`.
    pub predictions: Predictions,
    /// Of every architecture the chosen probe and the best of each weight decay, by the name of its
    /// file without `_state.npz`: `trained/`.
    pub probes: Vec<(String, SavedProbe)>,
    /// The configuration of the experiment alone, TOML: `config.toml`.
    pub config: String,
}

impl SweptExperiment {
    /// The chosen probe of an architecture; `None` if there is none of this name, or all of its trials
    /// diverged.
    pub fn probe(&self, config_name: &str) -> Option<&SavedProbe> {
        let mut found = self.report.architectures.iter();
        let found = found.find(|architecture| architecture.config_name == config_name)?;
        let stem = found.file.strip_suffix("_state.npz")?;
        self.probes.iter().find_map(|(name, probe)| (name == stem).then_some(probe))
    }

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
        write_history(&folder.join("history.jsonl"), &self.history)?;
        write_json(&folder.join("metrics.json"), &self.trials)?;
        self.predictions.write(&folder.join("predictions.npz"))?;
        write_json(&folder.join("best.json"), &self.report)
    }
}
