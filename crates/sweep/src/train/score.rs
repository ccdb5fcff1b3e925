//! Metrics on validation that a trial is chosen by, and which of two is better.

use std::cmp::Ordering;

use attention_probes_metrics::{ConfusionMatrix, auroc, predicted_class};
use attention_probes_probes::engine::Targets;
use attention_probes_probes::probabilities_from_logits;
use serde::{Deserialize, Serialize};

use crate::SweepError;
use crate::config::SelectBy;

/// Metrics that a trial is chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Mean loss, class weights included.
    pub loss: f64,
    /// Share of right answers, of classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Mean recall over the classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balanced_accuracy: Option<f64>,
    /// Area under the ROC curve, for binary tasks.
    pub auroc: Option<f64>,
    /// The four counts of a confusion matrix, for binary tasks.
    pub counts: Option<BinaryCounts>,
}

/// A confusion matrix of two classes; class 1 is the positive one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinaryCounts {
    /// Negatives that were called negative.
    pub true_negatives: usize,
    /// Negatives that were called positive.
    pub false_positives: usize,
    /// Positives that were called negative.
    pub false_negatives: usize,
    /// Positives that were called positive.
    pub true_positives: usize,
}

impl BinaryCounts {
    fn of(confusion: &ConfusionMatrix) -> Option<Self> {
        let [negatives, positives] = confusion.counts() else { return None };
        let (&[true_negatives, false_positives], &[false_negatives, true_positives]) =
            (negatives.as_slice().first_chunk()?, positives.as_slice().first_chunk()?);
        Some(Self { true_negatives, false_positives, false_negatives, true_positives })
    }
}

impl Score {
    /// Metrics of one trial from its outputs, `[n_examples, n_out]`: where labels are not classes, the
    /// loss alone.
    pub(crate) fn new(
        logits: &[f32],
        targets: &Targets<'_>,
        n_classes: usize,
    ) -> Result<Self, SweepError> {
        let loss = targets.plain_loss(logits);
        if targets.labels().is_empty() {
            return Ok(Self {
                loss,
                accuracy: None,
                balanced_accuracy: None,
                auroc: None,
                counts: None,
            });
        }
        let probabilities = probabilities_from_logits(logits, n_classes);
        let predictions: Vec<usize> =
            probabilities.chunks(n_classes).map(|row| predicted_class(row, 0.5)).collect();
        let confusion = ConfusionMatrix::new(targets.labels(), &predictions, n_classes)?;
        let auroc = if n_classes == 2 {
            let scores: Vec<f64> = logits.iter().map(|z| f64::from(*z)).collect();
            let positive: Vec<bool> = targets.labels().iter().map(|label| *label == 1).collect();
            auroc(&scores, &positive).ok()
        } else {
            None
        };
        Ok(Self {
            loss,
            accuracy: Some(confusion.accuracy()),
            balanced_accuracy: Some(confusion.balanced_accuracy()),
            auroc,
            counts: BinaryCounts::of(&confusion),
        })
    }

    /// The metric that trials are chosen by, the higher the better.
    pub(crate) fn value(&self, select_by: SelectBy) -> Option<f64> {
        match select_by {
            SelectBy::BalancedAccuracy => self.balanced_accuracy,
            SelectBy::Accuracy => self.accuracy,
            SelectBy::Auroc => self.auroc,
            SelectBy::Loss => Some(-self.loss),
        }
    }
}

/// The metric that trials are chosen by, the higher the better; `None` if it is no number, or the
/// loss is none.
pub(crate) fn value_of(score: Option<Score>, select_by: SelectBy) -> Option<f64> {
    let score = score.filter(|score| !score.loss.is_nan())?;
    score.value(select_by).filter(|value| !value.is_nan())
}

/// Which of two scores is better; the lower loss breaks ties. A score that is not a number loses.
pub(crate) fn compare(a: Option<Score>, b: Option<Score>, select_by: SelectBy) -> Ordering {
    let key = |score: Option<Score>| Some((value_of(score, select_by)?, -score?.loss));
    match (key(a), key(b)) {
        (Some(a), Some(b)) => a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)),
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(a: (f64, f64), b: (f64, f64), select_by: SelectBy) -> Ordering {
        let [a, b] = [a, b].map(|(balanced_accuracy, loss)| {
            let (accuracy, balanced_accuracy) = (Some(0.5), Some(balanced_accuracy));
            Some(Score { loss, accuracy, balanced_accuracy, auroc: None, counts: None })
        });
        compare(a, b, select_by)
    }

    #[test]
    fn the_lower_loss_breaks_ties_and_nan_loses() {
        let by = SelectBy::BalancedAccuracy;
        assert_eq!(order((0.8, 0.9), (0.7, 0.1), by), Ordering::Greater);
        assert_eq!(order((0.8, 0.1), (0.8, 0.9), by), Ordering::Greater);
        assert_eq!(order((0.9, f64::NAN), (0.5, 0.9), by), Ordering::Less);
        assert_eq!(order((0.7, 0.1), (0.8, 0.9), SelectBy::Loss), Ordering::Greater);
        // There is no area under the curve here, so neither is better.
        assert_eq!(order((0.7, 0.1), (0.8, 0.9), SelectBy::Auroc), Ordering::Equal);
    }

    #[test]
    fn a_logit_of_zero_is_class_1() {
        let targets = Targets::new(&[1, 0], &[1.0, 1.0]);
        let score = Score::new(&[0.0, -0.5], &targets, 2).unwrap();
        approx::assert_abs_diff_eq!(score.balanced_accuracy.unwrap(), 1.0);
        approx::assert_abs_diff_eq!(score.auroc.unwrap(), 1.0);
    }
}
