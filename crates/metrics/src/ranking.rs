//! Metrics of a ranking: how well scores put the positives above the negatives.

use attention_probes_errors::ValueError;
use serde::{Deserialize, Serialize};

use crate::{MetricError, check};

/// A threshold, and the rates that it gives.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatingPoint {
    /// Share of the positives that score at least `threshold`.
    pub tpr: f64,
    /// Share of the negatives that score at least `threshold`.
    pub fpr: f64,
    /// Score from which an example counts as positive. Just above every score if nothing may.
    pub threshold: f64,
}

/// Area under the ROC curve: how often a positive scores above a negative, ties counting half.
///
/// # Errors
///
/// - [`MetricError::OneClass`] if the labels are all alike
/// - [`MetricError::NotFinite`] if a score is NaN or infinite
/// - [`MetricError::Empty`] or [`MetricError::LengthMismatch`] if the slices do not fit
///
/// # Examples
///
/// ```
/// use attention_probes::metrics::auroc;
///
/// assert_eq!(auroc(&[0.1, 0.4, 0.4, 0.8], &[false, true, false, true])?, 0.875);
/// # Ok::<(), attention_probes::metrics::MetricError>(())
/// ```
pub fn auroc(scores: &[f64], labels: &[bool]) -> Result<f64, MetricError> {
    let ranking = Ranking::new(scores, labels)?;
    let (n_positives, n_negatives) = ranking.both_classes()?;

    // Twice the number of (positive, negative) pairs in the right order, so that ties stay whole.
    let mut twice_in_order: u128 = 0;
    let mut positives_above: u128 = 0;
    for tie in &ranking.ties {
        let (positives, negatives) = (tie.positives as u128, tie.negatives as u128);
        twice_in_order += negatives * (2 * positives_above + positives);
        positives_above += positives;
    }
    Ok(twice_in_order as f64 / (2.0 * n_positives * n_negatives))
}

/// Mean of the one-against-the-rest [`auroc`] over the classes that occur among the labels.
///
/// # Shapes
///
/// - `scores`: `[n, n_classes]`, row-major; column `c` scores class `c`
/// - `labels`: `[n]`
///
/// # Errors
///
/// - [`MetricError::OneClass`] if the labels are all alike
/// - [`MetricError::NotFinite`], [`MetricError::LabelOutOfRange`], [`MetricError::Empty`] or
///   [`MetricError::LengthMismatch`] if the slices do not fit
pub fn auroc_one_vs_rest(
    scores: &[f64],
    labels: &[usize],
    n_classes: usize,
) -> Result<f64, MetricError> {
    check::scores_by_class("scores", scores, labels, n_classes)?;
    let (mut sum, mut n_present) = (0.0, 0);
    for class in 0..n_classes {
        let is_class: Vec<bool> = labels.iter().map(|&label| label == class).collect();
        if !is_class.contains(&true) {
            continue;
        }
        let column: Vec<f64> = scores.iter().skip(class).step_by(n_classes).copied().collect();
        sum += auroc(&column, &is_class)?;
        n_present += 1;
    }
    Ok(sum / f64::from(n_present))
}

/// Average precision: precision at each threshold, weighted by the recall that it adds.
///
/// ```text
/// AP = Σ_n (R_n - R_{n-1}) P_n      thresholds n over the distinct scores, from the highest
/// ```
///
/// # Errors
///
/// - [`MetricError::NoPositives`] if no label is positive
/// - [`MetricError::NotFinite`] if a score is NaN or infinite
/// - [`MetricError::Empty`] or [`MetricError::LengthMismatch`] if the slices do not fit
pub fn average_precision(scores: &[f64], labels: &[bool]) -> Result<f64, MetricError> {
    let ranking = Ranking::new(scores, labels)?;
    if ranking.n_positives == 0 {
        return Err(MetricError::NoPositives);
    }
    let (mut true_positives, mut predicted, mut sum) = (0, 0, 0.0);
    for tie in &ranking.ties {
        true_positives += tie.positives;
        predicted += tie.positives + tie.negatives;
        sum += tie.positives as f64 * true_positives as f64 / predicted as f64;
    }
    Ok(sum / ranking.n_positives as f64)
}

/// The highest true-positive rate at a false-positive rate of at most `max_fpr`.
///
/// Thresholds are the distinct scores, and an example counts as positive from its threshold on, so
/// tied scores fall on one side together and the returned rates are what the threshold really gives
/// on these examples. Of several thresholds with that rate, the highest.
///
/// # Errors
///
/// - [`MetricError::Parameter`] if `max_fpr` is not from 0 to 1
/// - [`MetricError::OneClass`] if the labels are all alike
/// - [`MetricError::NotFinite`] if a score is NaN or infinite
/// - [`MetricError::Empty`] or [`MetricError::LengthMismatch`] if the slices do not fit
pub fn tpr_at_fpr(
    scores: &[f64],
    labels: &[bool],
    max_fpr: f64,
) -> Result<OperatingPoint, MetricError> {
    if !(0.0..=1.0).contains(&max_fpr) {
        return Err(ValueError::new("max_fpr", max_fpr, "a rate from 0 to 1").into());
    }
    let ranking = Ranking::new(scores, labels)?;
    let (n_positives, n_negatives) = ranking.both_classes()?;

    let mut best =
        OperatingPoint { tpr: 0.0, fpr: 0.0, threshold: ranking.ties[0].score.next_up() };
    let (mut true_positives, mut false_positives) = (0, 0);
    for tie in &ranking.ties {
        true_positives += tie.positives;
        false_positives += tie.negatives;
        let (tpr, fpr) =
            (true_positives as f64 / n_positives, false_positives as f64 / n_negatives);
        if fpr > max_fpr {
            break;
        }
        if tpr > best.tpr {
            best = OperatingPoint { tpr, fpr, threshold: tie.score };
        }
    }
    Ok(best)
}

/// Scores in falling order, tied ones counted together.
pub(crate) struct Ranking {
    pub(crate) ties: Vec<Tie>,
    pub(crate) n_positives: usize,
    n_negatives: usize,
}

/// All examples of one score.
pub(crate) struct Tie {
    pub(crate) score: f64,
    pub(crate) positives: usize,
    pub(crate) negatives: usize,
}

impl Ranking {
    pub(crate) fn new(scores: &[f64], labels: &[bool]) -> Result<Self, MetricError> {
        check::scores(scores, labels)?;

        let mut examples: Vec<(f64, bool)> =
            scores.iter().copied().zip(labels.iter().copied()).collect();
        examples.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));

        let mut ties: Vec<Tie> = Vec::new();
        for (score, label) in examples {
            let (positives, negatives) = (usize::from(label), usize::from(!label));
            match ties.last_mut() {
                // Scores fall, so one that is not lower is the same (0.0 beside -0.0 is).
                Some(tie) if score >= tie.score => {
                    tie.positives += positives;
                    tie.negatives += negatives;
                }
                _ => ties.push(Tie { score, positives, negatives }),
            }
        }
        let n_positives = labels.iter().filter(|&&label| label).count();
        Ok(Self { ties, n_positives, n_negatives: labels.len() - n_positives })
    }

    /// Numbers of positives and negatives, neither 0.
    pub(crate) fn both_classes(&self) -> Result<(f64, f64), MetricError> {
        if self.n_positives == 0 || self.n_negatives == 0 {
            return Err(MetricError::OneClass);
        }
        Ok((self.n_positives as f64, self.n_negatives as f64))
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    use super::*;

    const SCORES: [f64; 6] = [0.9, 0.8, 0.8, 0.4, 0.3, 0.1];
    const LABELS: [bool; 6] = [true, true, false, true, false, false];

    #[test]
    fn auroc_counts_a_tie_as_half() {
        // Of 9 pairs, 7 in order, 1 tied (0.8), 1 out of order (0.4 below 0.8).
        assert_relative_eq!(auroc(&SCORES, &LABELS).unwrap(), 7.5 / 9.0);
    }

    #[test]
    fn average_precision_takes_tied_scores_together() {
        // Precision 1 at 0.9, 2/3 at 0.8, 3/4 at 0.4, each adding a third of the recall.
        let expected = (1.0 + 2.0 / 3.0 + 0.75) / 3.0;
        assert_relative_eq!(average_precision(&SCORES, &LABELS).unwrap(), expected);
    }

    #[test]
    fn a_threshold_never_splits_a_tie() {
        let point = tpr_at_fpr(&SCORES, &LABELS, 0.2).unwrap();
        assert_eq!(point, OperatingPoint { tpr: 1.0 / 3.0, fpr: 0.0, threshold: 0.9 });
        let point = tpr_at_fpr(&SCORES, &LABELS, 1.0 / 3.0).unwrap();
        assert_eq!(point, OperatingPoint { tpr: 1.0, fpr: 1.0 / 3.0, threshold: 0.4 });
    }

    #[test]
    fn a_threshold_above_every_score_is_the_last_resort() {
        let point = tpr_at_fpr(&[1.0, 0.0], &[false, true], 0.0).unwrap();
        assert_eq!((point.tpr, point.fpr), (0.0, 0.0));
        assert!(point.threshold > 1.0 && point.threshold.is_finite());
    }

    #[test]
    fn one_vs_rest_leaves_out_classes_without_labels() {
        let scores = [0.8, 0.2, 0.0, 0.3, 0.7, 0.0, 0.6, 0.4, 0.0];
        let value = auroc_one_vs_rest(&scores, &[0, 1, 0], 3).unwrap();
        assert_relative_eq!(value, 1.0);
    }

    #[test]
    fn bad_input_is_refused() {
        assert_eq!(auroc(&[0.1, 0.2], &[true, true]), Err(MetricError::OneClass));
        assert_eq!(auroc(&[], &[]), Err(MetricError::Empty { name: "labels" }));
        assert!(matches!(
            auroc(&[0.1, f64::NAN], &[true, false]),
            Err(MetricError::NotFinite { name: "scores", index: 1, .. })
        ));
        assert_eq!(average_precision(&[0.1], &[false]), Err(MetricError::NoPositives));
        assert!(matches!(
            tpr_at_fpr(&SCORES, &LABELS, f64::NAN),
            Err(MetricError::Parameter(ValueError { name: "max_fpr", .. }))
        ));
        assert_eq!(auroc_one_vs_rest(&[1.0, 0.0], &[0], 2), Err(MetricError::OneClass));
    }

    /// Scores on a coarse grid, so that ties are common, with both classes.
    fn examples() -> impl Strategy<Value = (Vec<f64>, Vec<bool>)> {
        prop::collection::vec((-8_i32..8, any::<bool>()), 2..80)
            .prop_map(|pairs| {
                pairs.into_iter().map(|(score, label)| (f64::from(score) / 4.0, label)).unzip()
            })
            .prop_filter("both classes", |(_, labels): &(Vec<f64>, Vec<bool>)| {
                labels.contains(&true) && labels.contains(&false)
            })
    }

    proptest! {
        #[test]
        fn auroc_equals_counting_the_pairs((scores, labels) in examples()) {
            let (mut sum, mut n_pairs) = (0.0, 0.0);
            for (i, _) in labels.iter().enumerate().filter(|(_, label)| **label) {
                for (j, _) in labels.iter().enumerate().filter(|(_, label)| !**label) {
                    n_pairs += 1.0;
                    if scores[i] > scores[j] {
                        sum += 1.0;
                    } else if scores[i] == scores[j] {
                        sum += 0.5;
                    }
                }
            }
            prop_assert!((auroc(&scores, &labels).unwrap() - sum / n_pairs).abs() < 1e-12);
        }

        #[test]
        fn a_rising_map_of_the_scores_changes_no_ranking_metric((scores, labels) in examples()) {
            let mapped: Vec<f64> = scores.iter().map(|score| score.exp() * 3.0 - 7.0).collect();
            prop_assert_eq!(auroc(&scores, &labels), auroc(&mapped, &labels));
            let precision = average_precision(&scores, &labels);
            prop_assert_eq!(precision, average_precision(&mapped, &labels));
            let point = tpr_at_fpr(&scores, &labels, 0.3).unwrap();
            prop_assert_eq!(point.tpr, tpr_at_fpr(&mapped, &labels, 0.3).unwrap().tpr);
        }

        #[test]
        fn auroc_of_the_opposite_labels_is_the_complement((scores, labels) in examples()) {
            let opposite: Vec<bool> = labels.iter().map(|label| !label).collect();
            let sum = auroc(&scores, &labels).unwrap() + auroc(&scores, &opposite).unwrap();
            prop_assert!((sum - 1.0).abs() < 1e-12);
        }

        #[test]
        fn an_operating_point_holds_what_it_promises(
            (scores, labels) in examples(),
            max_fpr in 0.0..1.0_f64,
        ) {
            let point = tpr_at_fpr(&scores, &labels, max_fpr).unwrap();
            let rate = |class: bool, threshold: f64| {
                let of_class = || scores.iter().zip(&labels).filter(|(_, label)| **label == class);
                of_class().filter(|(score, _)| **score >= threshold).count() as f64
                    / of_class().count() as f64
            };
            prop_assert_eq!(rate(true, point.threshold), point.tpr);
            prop_assert_eq!(rate(false, point.threshold), point.fpr);
            prop_assert!(point.fpr <= max_fpr);
            for &threshold in &scores {
                if rate(false, threshold) <= max_fpr {
                    prop_assert!(rate(true, threshold) <= point.tpr);
                }
            }
        }
    }
}
