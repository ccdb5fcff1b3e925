//! The results tree: every file of an experiment.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use attention_probes_activations::{remove_own_files, write_atomically};
use attention_probes_errors::FileError;
use attention_probes_probes::{ProbeMetadata, SavedProbe, probe_file_stem};
use serde::{Deserialize, Serialize};

use crate::SweepError;
use crate::config::EvaluationConfig;
use crate::decision::{calibrators, deferral, thresholds};
use crate::fit::{EpochRecord, GroupFit, TrialFit};
use crate::judged::TrialLogits;
use crate::plan::Trial;
use crate::predictions::Predictions;
use crate::report::{ExperimentReport, TrialMetrics};
use crate::select::BinaryCounts;

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
    /// Share of right answers on validation.
    pub validation_accuracy: f64,
    /// Mean recall over the classes on validation.
    pub validation_balanced_accuracy: f64,
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

/// One architecture of an experiment.
pub(crate) struct FittedArchitecture<'a> {
    pub(crate) config_name: &'a str,
    pub(crate) fit: &'a GroupFit,
    /// Its index among the groups.
    pub(crate) group: usize,
    pub(crate) validation: TrialLogits<'a>,
    /// The examples that thresholds and calibrators are fitted on.
    pub(crate) calibration: TrialLogits<'a>,
    pub(crate) test: TrialLogits<'a>,
    /// Metadata of its probes but for what tells one trial from another.
    pub(crate) metadata: ProbeMetadata,
    /// Whether trials differ by seed too, so that file names must say it.
    pub(crate) names_seed: bool,
}

impl FittedArchitecture<'_> {
    /// File name of a trial without its ending.
    pub(crate) fn stem(&self, trial: &TrialFit) -> String {
        let trial = trial.trial;
        let name = if self.names_seed {
            format!("{}-s{}", self.config_name, trial.seed)
        } else {
            self.config_name.to_owned()
        };
        probe_file_stem(&name, trial.learning_rate, trial.weight_decay)
    }

    /// Whether a trial ended with weights or logits that are no numbers.
    pub(crate) fn diverged(&self, index: usize) -> bool {
        let mut arrays = self.fit.trials[index].state.values();
        !arrays.all(|array| array.values.iter().all(|value| value.is_finite()))
            || !self.validation.are_finite(index)
            || !self.test.are_finite(index)
    }

    /// Writes the chosen trial and the best of every weight decay, but for those that diverged.
    pub(crate) fn write_probes(
        &self,
        folder: &Path,
        config: &EvaluationConfig,
    ) -> Result<(), SweepError> {
        let mut saved = self.fit.best_per_weight_decay.clone();
        saved.push(self.fit.best);
        saved.retain(|&index| !self.diverged(index));
        saved.sort_unstable();
        saved.dedup();
        for index in saved {
            let trial = &self.fit.trials[index];
            let mut metadata = self.metadata.clone();
            metadata.learning_rate = Some(trial.trial.learning_rate);
            metadata.weight_decay = Some(trial.trial.weight_decay);
            // Folds chose one decay; the best probes of the others lie beside it.
            metadata.folds = metadata.folds.filter(|_| index == self.fit.best);
            metadata.seed = trial.trial.seed;
            metadata.epochs = trial.epochs;
            metadata.metrics.validation = Some(self.validation.report(index, metadata.seed)?);
            metadata.metrics.test = Some(self.test.report(index, metadata.seed)?);
            metadata.thresholds = thresholds(config, self.calibration, index)?.0;
            metadata.deferral = deferral(config, self.calibration, index)?;
            metadata.calibrators = calibrators(self.calibration, index)?;
            let probe = SavedProbe { state: trial.state.clone(), metadata };
            probe.save(folder, &self.stem(trial))?;
        }
        Ok(())
    }

    /// Every trial after every epoch.
    fn history(&self) -> impl Iterator<Item = HistoryRecord> {
        self.fit.trials.iter().flat_map(|fit| {
            let record = |record| HistoryRecord::new(self.config_name, fit.trial, record);
            fit.history.iter().map(record)
        })
    }

    /// Metrics of every trial.
    pub(crate) fn trial_metrics(&self) -> Result<Vec<TrialMetrics>, SweepError> {
        let metrics = |(index, trial): (usize, &TrialFit)| {
            let diverged = self.diverged(index);
            let side = |side: &TrialLogits<'_>| {
                if diverged { Ok(None) } else { side.metrics(index).map(Some) }
            };
            Ok(TrialMetrics {
                config_name: self.config_name.to_owned(),
                learning_rate: trial.trial.learning_rate,
                weight_decay: trial.trial.weight_decay,
                seed: trial.trial.seed,
                validation: side(&self.validation)?,
                test: side(&self.test)?,
            })
        };
        self.fit.trials.iter().enumerate().map(metrics).collect()
    }
}

/// Makes a folder and those above it.
pub(crate) fn create_folder(folder: &Path) -> Result<(), SweepError> {
    Ok(std::fs::create_dir_all(folder).map_err(FileError::write(folder))?)
}

/// What is written of an experiment beside its report.
pub(crate) struct ExperimentFiles<'a> {
    pub(crate) architectures: &'a [FittedArchitecture<'a>],
    pub(crate) predictions: &'a Predictions,
    /// The configuration of the experiment alone, TOML.
    pub(crate) config: &'a str,
    pub(crate) evaluation: &'a EvaluationConfig,
}

/// Removes the probes of an experiment, which may have none, and no other files.
pub(crate) fn remove_probes(trained: &Path) -> Result<(), SweepError> {
    let is_probe = |name: &str| name.ends_with("_state.npz") || name.ends_with("_meta.json");
    Ok(remove_own_files(trained, is_probe)?)
}

/// Writes every file of an experiment; `best.json` last, which says that it is complete.
pub(crate) fn write_experiment(
    folder: &Path,
    files: &ExperimentFiles<'_>,
    report: &ExperimentReport,
) -> Result<(), SweepError> {
    let trained = folder.join("trained");
    // Probes of other data or another version, if the experiment is made anew.
    remove_probes(&trained)?;
    create_folder(&trained)?;
    let mut metrics = Vec::new();
    let mut history = String::new();
    for architecture in files.architectures {
        architecture.write_probes(&trained, files.evaluation)?;
        metrics.extend(architecture.trial_metrics()?);
        for record in architecture.history() {
            let line = serde_json::to_string(&record)
                .map_err(|error| FileError::write(folder.join("history.jsonl"))(error.into()))?;
            let _ = writeln!(history, "{line}"); // writing to a string does not fail
        }
    }
    write_text(&folder.join("config.toml"), files.config)?;
    write_text(&folder.join("history.jsonl"), &history)?;
    write_json(&folder.join("metrics.json"), &metrics)?;
    files.predictions.write(&folder.join("predictions.npz"))?;
    write_json(&folder.join("best.json"), report)
}

/// JSON has no NaN: a loss that diverged becomes null.
fn finite(loss: f64) -> Option<f64> {
    loss.is_finite().then_some(loss)
}

pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), SweepError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| FileError::write(path)(error.into()))?;
    write_text(path, &(text + "\n"))
}

pub(crate) fn write_text(path: &Path, text: &str) -> Result<(), SweepError> {
    Ok(write_atomically(path, |file| file.write_all(text.as_bytes()))?)
}
