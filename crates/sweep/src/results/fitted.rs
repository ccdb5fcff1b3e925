//! One architecture of an experiment: its trials as they are described, and the probes that are kept.

use attention_probes_probes::{ProbeMetadata, SavedProbe, probe_file_stem};

use crate::SweepError;
use crate::config::EvaluationConfig;
use crate::judge::decision::{calibrators, deferral, thresholds};
use crate::judge::judged::TrialLogits;
use crate::results::history::HistoryRecord;
use crate::results::report::TrialMetrics;
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

    /// The chosen trial and the best of every weight decay, but for those that diverged, by the name
    /// of their file without its ending.
    pub(crate) fn probes(
        &self,
        config: &EvaluationConfig,
    ) -> Result<Vec<(String, SavedProbe)>, SweepError> {
        let mut saved = self.fit.best_per_weight_decay.clone();
        saved.push(self.fit.best);
        saved.retain(|&index| !self.diverged(index));
        saved.sort_unstable();
        saved.dedup();
        let probe = |index: usize| {
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
            metadata.metrics.final_loss = trial.train_loss();
            metadata.thresholds = thresholds(config, self.calibration, index)?.0;
            metadata.deferral = deferral(config, self.calibration, index)?;
            metadata.calibrators = calibrators(self.calibration, index)?;
            let probe = SavedProbe { state: trial.state.clone(), metadata };
            Ok((self.stem(trial), probe))
        };
        saved.into_iter().map(probe).collect()
    }

    /// Every trial after every epoch.
    pub(crate) fn history(&self) -> impl Iterator<Item = HistoryRecord> {
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
