//! Several labels at once, each of them there or not.

use attention_probes_errors::ValueError;
use serde::{Deserialize, Serialize};

use crate::{Bootstrap, Interval, MetricError, auroc, average_precision, bootstrap, check};

/// What one label's scores are worth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelScores {
    /// Number of examples that have the label.
    pub n_positives: usize,
    /// Area under the ROC curve. `None` if every example has the label, or none.
    pub auroc: Option<f64>,
    /// Average precision. `None` if no example has the label.
    pub average_precision: Option<f64>,
    /// F1 at the label's threshold; 0 if no example has the label and none was given it.
    pub f1: f64,
}

/// What a multi-label classifier's scores are worth.
///
/// Every number is finite; what is undefined on these examples is `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MultilabelReport {
    /// Number of examples.
    pub n_examples: usize,
    /// Each label by itself, `[n_labels]`.
    pub per_label: Vec<LabelScores>,
    /// Mean AUROC over the labels that have one. `None` if none has.
    pub macro_auroc: Option<f64>,
    /// Mean average precision over the labels that have one. `None` if none has.
    pub mean_average_precision: Option<f64>,
    /// F1 of all pairs of example and label together; 0 if nothing is positive on either side.
    pub micro_f1: f64,
    /// Mean F1 over all labels, as scikit-learn's with `zero_division=0`.
    pub macro_f1: f64,
    /// Share of the examples with every label right.
    pub subset_accuracy: f64,
    /// Share of the pairs of example and label that are wrong.
    pub hamming_loss: f64,
}

impl MultilabelReport {
    /// Computes every metric; an example has a label if its score is at least the threshold.
    ///
    /// # Shapes
    ///
    /// - `labels`: `[n, n_labels]`, row-major
    /// - `scores`: `[n, n_labels]`, row-major
    /// - `thresholds`: `[n_labels]`, 0.5 each for probabilities
    ///
    /// # Errors
    ///
    /// - [`MetricError::NotFinite`] if a score or a threshold is NaN or infinite
    /// - [`MetricError::Empty`] or [`MetricError::LengthMismatch`] if the slices do not fit
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::metrics::MultilabelReport;
    ///
    /// let labels = [true, false, true, true, false, false]; // [n, n_labels]
    /// let scores = [0.9, 0.6, 0.8, 0.7, 0.2, 0.1];
    /// let report = MultilabelReport::new(&labels, &scores, &[0.5, 0.5])?;
    /// assert_eq!((report.micro_f1, report.subset_accuracy), (6.0 / 7.0, 2.0 / 3.0));
    /// assert_eq!(report.per_label[1].average_precision, Some(1.0));
    /// # Ok::<(), attention_probes::metrics::MetricError>(())
    /// ```
    pub fn new(labels: &[bool], scores: &[f64], thresholds: &[f64]) -> Result<Self, MetricError> {
        check::not_empty("thresholds", thresholds)?;
        check::finite("thresholds", thresholds)?;
        check::scores(scores, labels)?;
        let n_labels = thresholds.len();
        let n_examples = labels.len() / n_labels;
        check::length("labels", labels.len(), n_examples.max(1) * n_labels)?;

        let predictions: Vec<bool> = scores
            .chunks_exact(n_labels)
            .flat_map(|row| row.iter().zip(thresholds).map(|(score, from)| score >= from))
            .collect();
        let per_label: Vec<LabelScores> = (0..n_labels)
            .map(|label| {
                let of_label = |values: &[bool]| -> Vec<bool> {
                    values.iter().skip(label).step_by(n_labels).copied().collect()
                };
                let column: Vec<f64> =
                    scores.iter().skip(label).step_by(n_labels).copied().collect();
                LabelScores::new(&of_label(labels), &column, &of_label(&predictions))
            })
            .collect::<Result<_, _>>()?;

        let wrong = labels.iter().zip(&predictions).filter(|(l, p)| l != p).count();
        let whole_rows = labels.chunks_exact(n_labels).zip(predictions.chunks_exact(n_labels));
        let n_whole = whole_rows.filter(|(labels, predictions)| labels == predictions).count();
        Ok(Self {
            n_examples,
            macro_auroc: mean(per_label.iter().filter_map(|label| label.auroc)),
            mean_average_precision: mean(
                per_label.iter().filter_map(|label| label.average_precision),
            ),
            micro_f1: f1(labels, &predictions),
            macro_f1: per_label.iter().map(|label| label.f1).sum::<f64>() / n_labels as f64,
            subset_accuracy: n_whole as f64 / n_examples as f64,
            hamming_loss: wrong as f64 / labels.len() as f64,
            per_label,
        })
    }
}

/// Percentile bootstrap of [`MultilabelReport::macro_auroc`] over the examples.
///
/// A label that every example of a resample has, or none, does not count in it; a resample in which
/// that is so of every label is left out.
///
/// # Shapes
///
/// - `labels`, `scores`: `[n, n_labels]`, row-major
///
/// # Errors
///
/// - [`MetricError::Empty`], [`MetricError::LengthMismatch`], or [`MetricError::NotFinite`] if the
///   slices do not fit
/// - [`MetricError::UndefinedStatistic`] if there is no resample that a label has a ranking in
/// - [`MetricError::Parameter`] if there are no labels
/// - as [`bootstrap`](crate::bootstrap)
pub fn bootstrap_macro_auroc(
    labels: &[bool],
    scores: &[f64],
    n_labels: usize,
    config: &Bootstrap<'_>,
) -> Result<Interval, MetricError> {
    check::scores(scores, labels)?;
    if n_labels == 0 {
        return Err(ValueError::new("n_labels", n_labels, "at least 1").into());
    }
    let n = labels.len() / n_labels;
    check::length("labels", labels.len(), n.max(1) * n_labels)?;
    // Every label is sorted once; a resample then only counts how often each example is in it.
    let orders: Vec<Vec<usize>> = (0..n_labels)
        .map(|label| {
            let mut order: Vec<usize> = (0..n).collect();
            let score = |example: usize| scores[example * n_labels + label];
            order.sort_unstable_by(|&a, &b| score(a).total_cmp(&score(b)));
            order
        })
        .collect();
    let mut counts = vec![0_u32; n];
    bootstrap(n, config, |indices| {
        counts.fill(0);
        for &index in indices {
            counts[index] += 1;
        }
        let of_label = |(label, order): (usize, &Vec<usize>)| {
            weighed_auroc(order, &counts, |example| {
                let place = example * n_labels + label;
                (scores[place], labels[place])
            })
        };
        mean(orders.iter().enumerate().filter_map(of_label)).unwrap_or(f64::NAN)
    })
}

/// AUROC of examples that occur so often, in ascending order of their scores; `None` if it is not
/// defined.
fn weighed_auroc(
    order: &[usize],
    counts: &[u32],
    example: impl Fn(usize) -> (f64, bool),
) -> Option<f64> {
    // Twice the pairs in the right order, so that ties stay whole.
    let (mut twice_in_order, mut n_positives, mut n_negatives) = (0_u64, 0_u64, 0_u64);
    for tie in order.chunk_by(|&a, &b| example(a).0 >= example(b).0) {
        let (mut positives, mut negatives) = (0_u64, 0_u64);
        for &index in tie {
            let count = u64::from(counts[index]);
            if example(index).1 { positives += count } else { negatives += count }
        }
        twice_in_order += positives * (2 * n_negatives + negatives);
        n_positives += positives;
        n_negatives += negatives;
    }
    let n_pairs = n_positives * n_negatives;
    (n_pairs > 0).then(|| twice_in_order as f64 / (2 * n_pairs) as f64)
}

impl LabelScores {
    fn new(labels: &[bool], scores: &[f64], predictions: &[bool]) -> Result<Self, MetricError> {
        let n_positives = labels.iter().filter(|&&label| label).count();
        let has_both = n_positives > 0 && n_positives < labels.len();
        Ok(Self {
            n_positives,
            auroc: has_both.then(|| auroc(scores, labels)).transpose()?,
            average_precision: (n_positives > 0)
                .then(|| average_precision(scores, labels))
                .transpose()?,
            f1: f1(labels, predictions),
        })
    }
}

/// `2 TP / (2 TP + FP + FN)`; 0 where nothing is positive.
fn f1(labels: &[bool], predictions: &[bool]) -> f64 {
    let both = labels.iter().zip(predictions).filter(|(l, p)| **l && **p).count();
    let sum = labels.iter().chain(predictions).filter(|&&positive| positive).count();
    if sum == 0 { 0.0 } else { (2 * both) as f64 / sum as f64 }
}

/// The mean; `None` of nothing.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ConfusionMatrix;

    #[test]
    fn a_label_that_nothing_has_is_undefined() {
        let report = MultilabelReport::new(&[true, false], &[0.2, 0.3], &[0.5, 0.5]).unwrap();
        let [first, second] = report.per_label[..] else { panic!("not two labels") };
        assert_eq!((first.auroc, first.average_precision), (None, Some(1.0)));
        assert_eq!((second.auroc, second.average_precision), (None, None));
        assert_eq!((report.macro_auroc, report.mean_average_precision), (None, Some(1.0)));
        assert_eq!((report.micro_f1, report.hamming_loss), (0.0, 0.5));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(serde_json::from_value::<MultilabelReport>(json).unwrap(), report);
    }

    #[test]
    fn bad_input_is_refused() {
        let new = MultilabelReport::new;
        assert_eq!(new(&[], &[], &[0.5]), Err(MetricError::Empty { name: "labels" }));
        assert_eq!(new(&[true], &[0.1], &[]), Err(MetricError::Empty { name: "thresholds" }));
        let partial = new(&[true; 3], &[0.1; 3], &[0.5; 2]);
        let error = MetricError::LengthMismatch { name: "labels", length: 3, expected: 2 };
        assert_eq!(partial, Err(error));
        assert!(new(&[true], &[0.1], &[0.5; 2]).is_err());
        assert!(new(&[true], &[f64::NAN], &[0.5]).is_err());
        assert!(new(&[true], &[0.1], &[f64::NAN]).is_err());
    }

    #[test]
    fn the_interval_of_the_mean_is_that_of_the_plain_bootstrap() {
        let labels: Vec<bool> = (0..60).map(|i| (i * 7 + i / 9) % 3 == 0).collect();
        let scores: Vec<f64> = (0..60).map(|i| f64::from((i * 13 + i / 5) % 11)).collect();
        let config = Bootstrap { n_resamples: 200, level: 0.9, seed: 5, groups: None };
        let found = bootstrap_macro_auroc(&labels, &scores, 2, &config).unwrap();
        let plain = bootstrap(30, &config, |indices| {
            let of_label = |label: usize| {
                let place = |&i: &usize| i * 2 + label;
                let labels: Vec<bool> = indices.iter().map(|i| labels[place(i)]).collect();
                let scores: Vec<f64> = indices.iter().map(|i| scores[place(i)]).collect();
                auroc(&scores, &labels).ok()
            };
            mean((0..2).filter_map(of_label)).unwrap_or(f64::NAN)
        });
        assert_eq!(found, plain.unwrap());
        let config = Bootstrap { n_resamples: 10, ..config };
        let all = bootstrap_macro_auroc(&[true; 4], &[0.0; 4], 2, &config);
        assert_eq!(all, Err(MetricError::UndefinedStatistic { n_resamples: 10 }));
        assert!(bootstrap_macro_auroc(&[true; 4], &[0.0; 4], 0, &config).is_err());
        assert!(bootstrap_macro_auroc(&[true; 3], &[0.0; 3], 2, &config).is_err());
    }

    proptest! {
        #[test]
        fn a_label_by_itself_is_a_binary_problem(
            rows in prop::collection::vec(prop::array::uniform3((any::<bool>(), 0_i32..8)), 1..30),
        ) {
            let labels: Vec<bool> = rows.iter().flatten().map(|pair| pair.0).collect();
            let scores: Vec<f64> = rows.iter().flatten().map(|pair| f64::from(pair.1)).collect();
            let report = MultilabelReport::new(&labels, &scores, &[3.0, 4.0, 5.0]).unwrap();
            let mut n_wrong = 0;
            for (label, threshold) in [3, 4, 5].into_iter().enumerate() {
                let truth: Vec<usize> = rows.iter().map(|row| usize::from(row[label].0)).collect();
                let given: Vec<usize> =
                    rows.iter().map(|row| usize::from(row[label].1 >= threshold)).collect();
                let confusion = ConfusionMatrix::new(&truth, &given, 2).unwrap();
                prop_assert_eq!(report.per_label[label].f1, confusion.f1(1));
                n_wrong += confusion.n_examples() - confusion.n_correct();
                let column: Vec<f64> = rows.iter().map(|row| f64::from(row[label].1)).collect();
                let truth: Vec<bool> = rows.iter().map(|row| row[label].0).collect();
                prop_assert_eq!(report.per_label[label].auroc, auroc(&column, &truth).ok());
            }
            prop_assert_eq!(report.hamming_loss, n_wrong as f64 / labels.len() as f64);
            prop_assert!(report.subset_accuracy <= 1.0 - report.hamming_loss + 1e-12);
        }
    }
}
