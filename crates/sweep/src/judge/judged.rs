//! What every trial says about the examples of one side of a split.

use attention_probes_metrics::{
    Bootstrap, ClassScores, ClassificationReport, ConfusionMatrix, Interval, LabelledLogits,
    PairAccuracy, auroc, log_loss, predicted_class, wilson,
};
use attention_probes_probes::{n_out, probabilities_from_logits};
use serde::{Deserialize, Serialize};

use crate::SweepError;
use crate::results::predictions::{HeldOutExamples, SidePredictions};

/// Metrics of one trial on one split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitMetrics {
    /// Share of right answers.
    pub accuracy: f64,
    /// Its 95 % Wilson interval.
    pub accuracy_interval: Interval,
    /// Mean recall over the classes.
    pub balanced_accuracy: f64,
    /// Harmonic mean of precision and recall, of class 1 or averaged over classes.
    pub f1: f64,
    /// Area under the ROC curve, for binary tasks.
    pub auroc: Option<f64>,
    /// Mean negative log-likelihood in nats.
    pub log_loss: f64,
    /// Examples by true class (rows) and predicted class (columns).
    pub confusion: Vec<Vec<usize>>,
}

/// Level of every interval.
pub(crate) const LEVEL: f64 = 0.95;

/// Logits of every trial of every group on one side.
pub(crate) struct Judged {
    /// Logits of each group, `[n_trials, n_examples, n_out]`.
    pub(crate) logits: Vec<Vec<f32>>,
    pub(crate) examples: HeldOutExamples,
    pub(crate) n_classes: usize,
}

impl Judged {
    /// What the trials of one group say.
    pub(crate) fn group(&self, group: usize) -> TrialLogits<'_> {
        TrialLogits {
            logits: &self.logits[group],
            examples: &self.examples,
            n_classes: self.n_classes,
        }
    }

    /// The logits of one trial of each of some groups, by the name that each is to have.
    pub(crate) fn predictions<'a>(
        &self,
        chosen: impl Iterator<Item = (&'a str, usize, usize)>,
    ) -> SidePredictions {
        let logits = chosen.map(|(name, group, trial)| {
            (name.to_owned(), self.group(group).logits_of(trial).to_vec())
        });
        SidePredictions { examples: self.examples.clone(), logits: logits.collect() }
    }
}

/// Logits `[n_trials, n_examples, n_out]` of one group, and the examples.
#[derive(Clone, Copy)]
pub(crate) struct TrialLogits<'a> {
    pub(crate) logits: &'a [f32],
    pub(crate) examples: &'a HeldOutExamples,
    pub(crate) n_classes: usize,
}

impl<'a> TrialLogits<'a> {
    /// Logits of one trial, `[n_examples, n_out]`.
    pub(crate) fn logits_of(&self, trial: usize) -> &'a [f32] {
        let per_trial = self.examples.labels.len() * n_out(self.n_classes);
        &self.logits[trial * per_trial..(trial + 1) * per_trial]
    }

    /// Probabilities of one trial, `[n_examples, n_classes]`.
    pub(crate) fn probabilities(&self, trial: usize) -> Vec<f64> {
        probabilities_from_logits(self.logits_of(trial), self.n_classes)
    }

    /// Probabilities of one trial, and the log-odds that rank.
    pub(crate) fn scores(&self, trial: usize) -> Result<ClassScores, SweepError> {
        Ok(ClassScores::from_logits(self.logits_of(trial), self.n_classes)?)
    }

    /// Classes that one trial predicts.
    pub(crate) fn predicted(&self, trial: usize) -> Vec<usize> {
        let probabilities = self.probabilities(trial);
        probabilities.chunks(self.n_classes).map(|row| predicted_class(row, 0.5)).collect()
    }

    /// Whether a trial's logits are numbers.
    pub(crate) fn are_finite(&self, trial: usize) -> bool {
        self.logits_of(trial).iter().all(|logit| logit.is_finite())
    }

    /// Everything about one trial, with a bootstrap.
    pub(crate) fn report(
        &self,
        trial: usize,
        seed: u64,
    ) -> Result<ClassificationReport, SweepError> {
        let HeldOutExamples { labels, groups, .. } = self.examples;
        let bootstrap = Bootstrap { seed, ..Bootstrap::default() }.of_groups(groups.as_deref());
        Ok(ClassificationReport::new(labels, &self.scores(trial)?, &bootstrap)?)
    }

    /// What every trial is reported by, without a bootstrap.
    pub(crate) fn metrics(&self, trial: usize) -> Result<SplitMetrics, SweepError> {
        let labels = &self.examples.labels;
        let probabilities = self.probabilities(trial);
        let confusion = ConfusionMatrix::new(labels, &self.predicted(trial), self.n_classes)?;
        let binary = self.n_classes == 2;
        Ok(SplitMetrics {
            accuracy: confusion.accuracy(),
            accuracy_interval: wilson(confusion.n_correct(), labels.len(), LEVEL)?,
            balanced_accuracy: confusion.balanced_accuracy(),
            f1: if binary { confusion.f1(1) } else { confusion.macro_f1() },
            auroc: binary
                .then(|| self.binary(trial))
                .and_then(|data| auroc(&data.logits, &data.labels).ok()),
            log_loss: log_loss(&probabilities, labels, self.n_classes)?,
            confusion: confusion.counts().to_vec(),
        })
    }

    /// How often one trial gives the good text of a minimal pair the higher logit.
    pub(crate) fn pair_accuracy(&self, trial: usize) -> Result<Option<PairAccuracy>, SweepError> {
        let Some(pairs) = self.examples.pairs.as_ref().filter(|_| self.n_classes == 2) else {
            return Ok(None);
        };
        let logits = self.binary(trial).logits;
        Ok(PairAccuracy::new(&logits, &self.examples.labels, pairs)?)
    }

    /// Logits and labels of two classes, as numbers that thresholds and calibrators take.
    pub(crate) fn binary(&self, trial: usize) -> BinaryLogits {
        BinaryLogits {
            logits: self.logits_of(trial).iter().map(|logit| f64::from(*logit)).collect(),
            labels: self.examples.labels.iter().map(|label| *label == 1).collect(),
        }
    }
}

/// Logits of class 1, and whether it is the class of the example.
pub(crate) struct BinaryLogits {
    pub(crate) logits: Vec<f64>,
    pub(crate) labels: Vec<bool>,
}

impl BinaryLogits {
    pub(crate) fn labelled(&self) -> LabelledLogits<'_> {
        LabelledLogits { logits: &self.logits, labels: &self.labels }
    }

    /// Logits of the examples of class 0.
    pub(crate) fn negatives(&self) -> Vec<f64> {
        let pairs = self.logits.iter().zip(&self.labels);
        pairs.filter(|(_, is_positive)| !**is_positive).map(|(logit, _)| *logit).collect()
    }
}
