//! The results tree: every file of an experiment.

use std::fmt::Write as _;
use std::path::Path;

use attention_probes_errors::FileError;
use attention_probes_probes::{ProbeMetadata, SavedProbe, probe_file_stem};

use crate::SweepError;
use crate::config::EvaluationConfig;
use crate::judge::decision::{calibrators, deferral, thresholds};
use crate::judge::judged::TrialLogits;
use crate::results::files::{create_folder, remove_probes, write_json, write_text};
use crate::results::history::HistoryRecord;
use crate::results::predictions::Predictions;
use crate::results::report::{ExperimentReport, TrialMetrics};
use crate::train::fit::{GroupFit, TrialFit};

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

/// What is written of an experiment beside its report.
pub(crate) struct ExperimentFiles<'a> {
    pub(crate) architectures: &'a [FittedArchitecture<'a>],
    pub(crate) predictions: &'a Predictions,
    /// The configuration of the experiment alone, TOML.
    pub(crate) config: &'a str,
    pub(crate) evaluation: &'a EvaluationConfig,
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
