//! The results tree: every file of an experiment.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use attention_probes_activations::write_atomically;
use attention_probes_metrics::{
    ClassificationReport, ConfusionMatrix, auroc, log_loss, predicted_class, wilson,
};
use attention_probes_probes::{
    ProbeMetadata, SavedProbe, n_out, probabilities_from_logits, probe_file_stem,
};
use serde::Serialize;

use crate::SweepError;
use crate::find_best_fit::{GroupFit, TrialFit};
use crate::report::{ExperimentReport, SplitMetrics, TrialMetrics};

/// Level of every interval.
const LEVEL: f64 = 0.95;

/// Logits `[n_trials, n_examples, n_out]` and the true classes.
pub(crate) struct Predictions<'a> {
    pub(crate) logits: &'a [f32],
    pub(crate) labels: &'a [usize],
    pub(crate) n_classes: usize,
}

impl Predictions<'_> {
    /// Logits of one trial.
    fn logits_of(&self, trial: usize) -> &[f32] {
        let per_trial = self.labels.len() * n_out(self.n_classes);
        &self.logits[trial * per_trial..(trial + 1) * per_trial]
    }

    /// Probabilities of one trial, `[n_examples, n_classes]`.
    fn of(&self, trial: usize) -> Vec<f64> {
        probabilities_from_logits(self.logits_of(trial), self.n_classes)
    }

    /// Whether a trial's logits are numbers.
    fn are_finite(&self, trial: usize) -> bool {
        self.logits_of(trial).iter().all(|logit| logit.is_finite())
    }

    /// Everything about one trial, with a bootstrap.
    pub(crate) fn report(
        &self,
        trial: usize,
        seed: u64,
    ) -> Result<ClassificationReport, SweepError> {
        Ok(ClassificationReport::new(self.labels, &self.of(trial), self.n_classes, seed)?)
    }

    /// What every trial is reported by, without a bootstrap.
    fn metrics(&self, trial: usize) -> Result<SplitMetrics, SweepError> {
        let probabilities = self.of(trial);
        let rows = probabilities.chunks(self.n_classes);
        let predictions: Vec<usize> = rows.map(|row| predicted_class(row, 0.5)).collect();
        let confusion = ConfusionMatrix::new(self.labels, &predictions, self.n_classes)?;
        let binary = self.n_classes == 2;
        let positive = || -> (Vec<f64>, Vec<bool>) {
            let scores = probabilities.chunks(2).map(|row| row[1]).collect();
            (scores, self.labels.iter().map(|label| *label == 1).collect())
        };
        Ok(SplitMetrics {
            accuracy: confusion.accuracy(),
            accuracy_interval: wilson(confusion.n_correct(), self.labels.len(), LEVEL)?,
            balanced_accuracy: confusion.balanced_accuracy(),
            f1: if binary { confusion.f1(1) } else { confusion.macro_f1() },
            auroc: binary
                .then(positive)
                .and_then(|(scores, positive)| auroc(&scores, &positive).ok()),
            log_loss: log_loss(&probabilities, self.labels, self.n_classes)?,
            confusion: confusion.counts().to_vec(),
        })
    }
}

/// One architecture of an experiment.
pub(crate) struct FittedArchitecture<'a> {
    pub(crate) config_name: &'a str,
    pub(crate) fit: &'a GroupFit,
    pub(crate) validation: Predictions<'a>,
    pub(crate) test: Predictions<'a>,
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
    pub(crate) fn write_probes(&self, folder: &Path) -> Result<(), SweepError> {
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
            metadata.seed = trial.trial.seed;
            metadata.metrics.validation = Some(self.validation.report(index, metadata.seed)?);
            metadata.metrics.test = Some(self.test.report(index, metadata.seed)?);
            let probe = SavedProbe { state: trial.state.clone(), metadata };
            probe.save(folder, &self.stem(trial))?;
        }
        Ok(())
    }

    /// Metrics of every trial.
    pub(crate) fn trial_metrics(&self) -> Result<Vec<TrialMetrics>, SweepError> {
        let metrics = |(index, trial): (usize, &TrialFit)| {
            let diverged = self.diverged(index);
            let side = |side: &Predictions<'_>| {
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
    std::fs::create_dir_all(folder)
        .map_err(|source| SweepError::Write { path: folder.to_owned(), source })
}

/// Writes every file of an experiment; `best.json` last, which says that it is complete.
pub(crate) fn write_experiment(
    folder: &Path,
    architectures: &[FittedArchitecture<'_>],
    config: &str,
    report: &ExperimentReport,
) -> Result<(), SweepError> {
    let trained = folder.join("trained");
    // Probes of other data or another version, if the experiment is made anew.
    if trained.exists() {
        std::fs::remove_dir_all(&trained)
            .map_err(|source| SweepError::Write { path: trained.clone(), source })?;
    }
    create_folder(&trained)?;
    let mut metrics = Vec::new();
    let mut history = String::new();
    for architecture in architectures {
        architecture.write_probes(&trained)?;
        metrics.extend(architecture.trial_metrics()?);
        for trial in &architecture.fit.trials {
            for record in &trial.history {
                let line = serde_json::json!({
                    "config_name": architecture.config_name,
                    "learning_rate": trial.trial.learning_rate,
                    "weight_decay": trial.trial.weight_decay,
                    "seed": trial.trial.seed,
                    "epoch": record.epoch,
                    "train_loss": finite(record.train_loss),
                    "validation_loss": finite(record.validation.loss),
                    "validation_accuracy": record.validation.accuracy,
                    "validation_balanced_accuracy": record.validation.balanced_accuracy,
                    "validation_auroc": record.validation.auroc,
                });
                let _ = writeln!(history, "{line}"); // writing to a string does not fail
            }
        }
    }
    write_text(&folder.join("config.toml"), config)?;
    write_text(&folder.join("history.jsonl"), &history)?;
    write_json(&folder.join("metrics.json"), &metrics)?;
    write_json(&folder.join("best.json"), report)
}

/// JSON has no NaN: a loss that diverged becomes null.
fn finite(loss: f64) -> Option<f64> {
    loss.is_finite().then_some(loss)
}

pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), SweepError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| SweepError::Write { path: path.to_owned(), source: error.into() })?;
    write_text(path, &(text + "\n"))
}

pub(crate) fn write_text(path: &Path, text: &str) -> Result<(), SweepError> {
    Ok(write_atomically(path, |file| file.write_all(text.as_bytes()))?)
}
