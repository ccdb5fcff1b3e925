//! Every number that a classifier is reported with, from one set of scores.

use serde::{Deserialize, Serialize};

use crate::{
    Bootstrap, ClassScores, ConfusionMatrix, Interval, MetricError, OperatingPoint, auroc,
    auroc_one_vs_rest, average_precision, binary_log_loss, bootstrap_balanced_accuracy, brier,
    brier_multiclass, ece, log_loss, tpr_at_fpr, wilson,
};

/// Confidence level of the intervals.
const LEVEL: f64 = 0.95;

/// Bins of the expected calibration error: the number of Guo et al. (2017).
const N_BINS: usize = 15;

/// What a classifier's scores are worth on labelled examples.
///
/// What ranks (AUROC, average precision, and the rates at a threshold) ranks by the log-odds of
/// [`ClassScores`], everything else looks at the probabilities. Every number is finite; what is
/// undefined on these examples is `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassificationReport {
    /// Number of examples.
    pub n_examples: usize,
    /// Number of classes.
    pub n_classes: usize,
    /// Share of the examples that were predicted correctly.
    pub accuracy: f64,
    /// Wilson interval of the accuracy, 95 %.
    pub accuracy_interval: Interval,
    /// Mean recall over the classes that occur.
    pub balanced_accuracy: f64,
    /// Bootstrap interval of the balanced accuracy, 95 %, 1000 resamples unless told.
    pub balanced_accuracy_interval: Interval,
    /// Resamples of groups that lacked a class and were drawn again; 0 without groups.
    #[serde(default)]
    pub n_redrawn: usize,
    /// F1 of class 1 of two classes, macro F1 of more.
    pub f1: f64,
    /// Precision of class 1 of two classes; 0 where it was never predicted.
    pub precision: Option<f64>,
    /// Recall of class 1 of two classes; 0 where there is no example.
    pub recall: Option<f64>,
    /// Matthews correlation coefficient; 0 where it is undefined.
    pub mcc: f64,
    /// Area under the ROC curve; of more than two classes, the one-against-the-rest mean. `None`
    /// if only one class occurs.
    pub auroc: Option<f64>,
    /// Average precision of class 1 of two classes. `None` if only one class occurs.
    pub average_precision: Option<f64>,
    /// Highest true-positive rate at 1 % false positives, with its threshold on the log-odds of
    /// class 1. `None` if only one class occurs, or there are more than two.
    pub tpr_at_1_percent_fpr: Option<OperatingPoint>,
    /// Highest true-positive rate at 5 % false positives, with its threshold on the log-odds of
    /// class 1. `None` if only one class occurs, or there are more than two.
    pub tpr_at_5_percent_fpr: Option<OperatingPoint>,
    /// Brier score, 0 to 1 of two classes, 0 to 2 (summed over classes) of more.
    pub brier: f64,
    /// Expected calibration error of the predicted class, 15 bins.
    pub ece: f64,
    /// Mean negative log-probability of the true class, in nats.
    pub log_loss: f64,
    /// Counts of true class against predicted class.
    pub confusion: ConfusionMatrix,
}

impl ClassificationReport {
    /// Computes every metric; predicts as [`predicted_class`](crate::predicted_class) does at 0.5.
    ///
    /// `bootstrap` draws the resamples of the interval of the balanced accuracy.
    ///
    /// # Shapes
    ///
    /// - `labels`: `[n]`
    ///
    /// # Errors
    ///
    /// - [`MetricError::LabelOutOfRange`], [`MetricError::Empty`] or
    ///   [`MetricError::LengthMismatch`] if labels, scores, and groups do not fit
    /// - [`MetricError::Parameter`] or [`MetricError::TooFew`] if the bootstrap cannot draw
    pub fn new(
        labels: &[usize],
        scores: &ClassScores,
        bootstrap: &Bootstrap<'_>,
    ) -> Result<Self, MetricError> {
        scores.check_labels(labels)?;
        let (n_classes, probabilities) = (scores.n_classes(), scores.probabilities());

        let rows = || probabilities.chunks_exact(n_classes);
        let predictions = scores.predicted();
        let correct: Vec<bool> = labels.iter().zip(&predictions).map(|(l, p)| l == p).collect();
        let confidences: Vec<f64> = rows().zip(&predictions).map(|(row, &p)| row[p]).collect();
        let confusion = ConfusionMatrix::new(labels, &predictions, n_classes)?;
        let ranking = Ranking::new(labels, scores)?;
        let resampled = bootstrap_balanced_accuracy(labels, &predictions, n_classes, bootstrap)?;

        let binary = n_classes == 2;
        let positive: Vec<f64> = rows().map(|row| row[1]).collect();
        let is_positive: Vec<bool> = labels.iter().map(|&label| label == 1).collect();
        Ok(Self {
            n_examples: labels.len(),
            n_classes,
            accuracy: confusion.accuracy(),
            accuracy_interval: wilson(confusion.n_correct(), labels.len(), LEVEL)?,
            balanced_accuracy: confusion.balanced_accuracy(),
            balanced_accuracy_interval: resampled.interval,
            n_redrawn: resampled.n_redrawn,
            f1: if binary { confusion.f1(1) } else { confusion.macro_f1() },
            precision: binary.then(|| confusion.precision(1)),
            recall: binary.then(|| confusion.recall(1)),
            mcc: confusion.mcc(),
            auroc: ranking.auroc,
            average_precision: ranking.average_precision,
            tpr_at_1_percent_fpr: ranking.tpr_at_1_percent_fpr,
            tpr_at_5_percent_fpr: ranking.tpr_at_5_percent_fpr,
            brier: if binary {
                brier(&positive, &is_positive)?
            } else {
                brier_multiclass(probabilities, labels, n_classes)?
            },
            ece: ece(&confidences, &correct, N_BINS)?,
            log_loss: if binary {
                binary_log_loss(&positive, &is_positive)?
            } else {
                log_loss(probabilities, labels, n_classes)?
            },
            confusion,
        })
    }
}

/// The metrics that need two classes among the labels.
#[derive(Default)]
struct Ranking {
    auroc: Option<f64>,
    average_precision: Option<f64>,
    tpr_at_1_percent_fpr: Option<OperatingPoint>,
    tpr_at_5_percent_fpr: Option<OperatingPoint>,
}

impl Ranking {
    fn new(labels: &[usize], scores: &ClassScores) -> Result<Self, MetricError> {
        if labels.iter().all(|label| *label == labels[0]) {
            return Ok(Self::default());
        }
        if scores.n_classes() > 2 {
            let auroc = auroc_one_vs_rest(scores.log_odds(), labels, scores.n_classes())?;
            return Ok(Self { auroc: Some(auroc), ..Self::default() });
        }
        let scores = scores.of_class(1);
        let labels: Vec<bool> = labels.iter().map(|&label| label == 1).collect();
        Ok(Self {
            auroc: Some(auroc(&scores, &labels)?),
            average_precision: Some(average_precision(&scores, &labels)?),
            tpr_at_1_percent_fpr: Some(tpr_at_fpr(&scores, &labels, 0.01)?),
            tpr_at_5_percent_fpr: Some(tpr_at_fpr(&scores, &labels, 0.05)?),
        })
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    use super::*;

    fn report(labels: &[usize], rows: &[f64], n_classes: usize) -> ClassificationReport {
        let scores = ClassScores::from_probabilities(rows, n_classes).unwrap();
        ClassificationReport::new(labels, &scores, &Bootstrap::default()).unwrap()
    }

    #[test]
    fn a_binary_report_equals_its_parts() {
        let labels = [0, 0, 1, 1, 1];
        let positive = [0.2, 0.6, 0.9, 0.5, 0.7];
        let rows: Vec<f64> = positive.iter().flat_map(|p| [1.0 - p, *p]).collect();
        let report = report(&labels, &rows, 2);

        // Class 1 begins at 0.5, so example 3 counts as class 1.
        assert_eq!(report.confusion.counts(), [[1, 1], [0, 3]]);
        assert_relative_eq!(report.accuracy, 0.8);
        assert_relative_eq!(report.balanced_accuracy, 0.75);
        assert_relative_eq!(report.f1, 6.0 / 7.0);
        assert_relative_eq!(report.precision.unwrap(), 0.75);
        assert_relative_eq!(report.auroc.unwrap(), 5.0 / 6.0);
        assert_relative_eq!(
            report.average_precision.unwrap(),
            (1.0 + 1.0 + 0.75) / 3.0,
            epsilon = 1e-12
        );
        let point = report.tpr_at_1_percent_fpr.unwrap();
        assert_eq!((point.tpr, point.fpr), (2.0 / 3.0, 0.0));
        assert_relative_eq!(point.threshold, (0.7_f64 / 0.3).ln(), max_relative = 1e-12);
        assert_relative_eq!(report.brier, (0.04 + 0.36 + 0.01 + 0.25 + 0.09) / 5.0);
        let interval = report.balanced_accuracy_interval;
        assert!(interval.lower <= 0.5 && interval.upper >= 0.75);
    }

    #[test]
    fn three_classes_have_no_binary_metrics() {
        let rows = [0.8, 0.1, 0.1, 0.2, 0.5, 0.3, 0.4, 0.4, 0.2, 0.1, 0.2, 0.7];
        let report = report(&[0, 1, 1, 2], &rows, 3);
        // The tie of example 2 goes to class 0.
        assert_eq!(report.confusion.counts(), [[1, 0, 0], [1, 1, 0], [0, 0, 1]]);
        assert_eq!((report.precision, report.average_precision), (None, None));
        assert_eq!(report.tpr_at_1_percent_fpr, None);
        assert_relative_eq!(report.auroc.unwrap(), 1.0);
        assert_relative_eq!(report.f1, (2.0 / 3.0 + 2.0 / 3.0 + 1.0) / 3.0);
    }

    #[test]
    fn one_class_alone_leaves_the_rankings_out() {
        let report = report(&[1, 1], &[0.3, 0.7, 0.6, 0.4], 2);
        assert_eq!((report.auroc, report.average_precision), (None, None));
        assert_eq!(report.balanced_accuracy, 0.5);
    }

    #[test]
    fn scores_that_do_not_fit_are_refused() {
        let scores = ClassScores::from_logits(&[-2.3, 2.3], 2).unwrap();
        let new = |labels: &[usize]| {
            ClassificationReport::new(labels, &scores, &Bootstrap::default()).unwrap_err()
        };
        assert!(matches!(new(&[1]), MetricError::LengthMismatch { name: "scores", .. }));
        assert!(matches!(new(&[0, 2]), MetricError::LabelOutOfRange { index: 1, .. }));
        assert_eq!(new(&[]), MetricError::Empty { name: "labels" });
    }

    #[test]
    fn logits_beyond_the_sigmoid_are_ranked() {
        let labels = [0, 0, 1, 1];
        let scores = ClassScores::from_logits(&[60.0, 50.0, 70.0, 80.0], 2).unwrap();
        let report = ClassificationReport::new(&labels, &scores, &Bootstrap::default()).unwrap();
        assert_eq!((report.auroc, report.average_precision), (Some(1.0), Some(1.0)));
        let point = report.tpr_at_1_percent_fpr.unwrap();
        assert_eq!((point.tpr, point.threshold), (1.0, 70.0));
    }

    proptest! {
        #[test]
        fn a_report_survives_json(
            examples in prop::collection::vec((0_usize..3, 0.0..1.0_f64, 0.0..1.0_f64), 1..30),
        ) {
            let labels: Vec<usize> = examples.iter().map(|example| example.0).collect();
            let rows: Vec<f64> = examples
                .iter()
                .flat_map(|&(_, a, b)| [a * b, a * (1.0 - b), 1.0 - a])
                .collect();
            let report = report(&labels, &rows, 3);
            let json = serde_json::to_value(&report).unwrap();
            let numbers = ["accuracy", "f1", "mcc", "brier", "ece", "log_loss"];
            prop_assert!(numbers.iter().all(|name| json[name].is_number()));
            let again: ClassificationReport = serde_json::from_value(json).unwrap();
            prop_assert_eq!(again, report);
        }
    }
}
