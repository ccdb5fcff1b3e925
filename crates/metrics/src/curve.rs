//! Points of curves for plotting: ROC, precision against recall, and reliability.

use attention_probes_errors::ValueError;
use serde::{Deserialize, Serialize};

use crate::calibration::check_binary;
use crate::ranking::{Ranking, Tie};
use crate::{Binning, Interval, MetricError, OperatingPoint, check, wilson};

/// Confidence level of the intervals.
const LEVEL: f64 = 0.95;

/// A threshold, and the precision and recall that it gives.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrecisionRecall {
    /// Share of the examples that score at least `threshold` that are positive; 1 of none.
    pub precision: f64,
    /// Share of the positives that score at least `threshold`.
    pub recall: f64,
    /// Score from which an example counts as positive. Just above every score in the first point.
    pub threshold: f64,
}

/// The ROC curve, from no example positive to all of them.
///
/// There is a point for each distinct score, tied ones together. Points on a straight line between
/// their neighbours are left out, so that the drawn curve and the area under it stay what they
/// were. If more than `max_points` remain, some are left out as well, evenly along the curve: none
/// of them was further than `2 / (max_points - 1)`, along the curve, from one that stays.
///
/// # Errors
///
/// - [`MetricError::Parameter`] if `max_points` is below 2
/// - [`MetricError::OneClass`] if the labels are all alike
/// - [`MetricError::NotFinite`] if a score, or the number above the highest, is NaN or infinite
/// - [`MetricError::Empty`] or [`MetricError::LengthMismatch`] if the slices do not fit
///
/// # Examples
///
/// ```
/// use attention_probes::metrics::roc_curve;
///
/// let labels = [true, true, false, true, false, false];
/// let curve = roc_curve(&[0.9, 0.8, 0.7, 0.6, 0.5, 0.4], &labels, 100)?;
/// let rates: Vec<[f64; 2]> = curve.iter().map(|point| [point.fpr, point.tpr]).collect();
/// let third = 1.0 / 3.0;
/// assert_eq!(rates, [[0.0, 0.0], [0.0, 2.0 * third], [third, 2.0 * third], [third, 1.0], [1.0, 1.0]]);
/// # Ok::<(), attention_probes::metrics::MetricError>(())
/// ```
pub fn roc_curve(
    scores: &[f64],
    labels: &[bool],
    max_points: usize,
) -> Result<Vec<OperatingPoint>, MetricError> {
    check_max_points(max_points)?;
    let ranking = Ranking::new(scores, labels)?;
    let (n_positives, n_negatives) = ranking.both_classes()?;
    let corners = corners(cumulative(&ranking.ties)?, |a, b, c| {
        let rise = |from: &Counts, to: &Counts| to.true_positives - from.true_positives;
        let run = |from: &Counts, to: &Counts| to.false_positives - from.false_positives;
        rise(a, b) * run(b, c) == rise(b, c) * run(a, b)
    });
    let points = corners.iter().map(|counts| OperatingPoint {
        tpr: counts.true_positives as f64 / n_positives,
        fpr: counts.false_positives as f64 / n_negatives,
        threshold: counts.threshold,
    });
    Ok(evenly(points.collect(), max_points, |a, b| (b.tpr - a.tpr) + (b.fpr - a.fpr)))
}

/// The curve of precision against recall, from no example positive to all of them.
///
/// The first point has recall 0 and, by scikit-learn's convention, precision 1. There is a point
/// for each distinct score, tied ones together, thinned as [`roc_curve`] is; the way along this
/// curve can be longer, as precision rises and falls.
///
/// # Errors
///
/// - [`MetricError::Parameter`] if `max_points` is below 2
/// - [`MetricError::NoPositives`] if no label is positive
/// - [`MetricError::NotFinite`] if a score, or the number above the highest, is NaN or infinite
/// - [`MetricError::Empty`] or [`MetricError::LengthMismatch`] if the slices do not fit
pub fn precision_recall_curve(
    scores: &[f64],
    labels: &[bool],
    max_points: usize,
) -> Result<Vec<PrecisionRecall>, MetricError> {
    check_max_points(max_points)?;
    let ranking = Ranking::new(scores, labels)?;
    if ranking.n_positives == 0 {
        return Err(MetricError::NoPositives);
    }
    let corners = corners(cumulative(&ranking.ties)?, |a, b, c| {
        precision_is_straight(a, b, c).unwrap_or(false)
    });
    let points = corners.iter().map(|counts| PrecisionRecall {
        precision: counts.true_positives.max(counts.is_none()) as f64
            / counts.n_predicted().max(1) as f64,
        recall: counts.true_positives as f64 / ranking.n_positives as f64,
        threshold: counts.threshold,
    });
    Ok(evenly(points.collect(), max_points, |a, b| {
        (b.recall - a.recall) + (b.precision - a.precision).abs()
    }))
}

/// The examples whose confidence lies in one bin.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Number of examples, at least 1.
    pub n_examples: usize,
    /// Mean of their confidences.
    pub mean_confidence: f64,
    /// Share of them that are correct; equal to `mean_confidence` if the confidences are right.
    pub share_correct: f64,
    /// Wilson interval of `share_correct`, 95 %.
    pub share_correct_interval: Interval,
}

/// The bars of a reliability diagram, by rising confidence; bins without an example are left out.
///
/// `Σ n_examples / n |share_correct - mean_confidence|` is [`ece`](crate::ece) with
/// [`Binning::EqualWidth`], and [`ece_equal_mass`](crate::ece_equal_mass) with
/// [`Binning::EqualMass`].
///
/// # Errors
///
/// - [`MetricError::Parameter`] if the number of bins is 0
/// - [`MetricError::NotAProbability`] or [`MetricError::NotFinite`] if a value is no probability
/// - [`MetricError::Empty`] or [`MetricError::LengthMismatch`] if the slices do not fit
///
/// # Examples
///
/// ```
/// use attention_probes::metrics::{Binning, reliability_bins};
///
/// let bins = reliability_bins(&[0.6, 0.8, 0.9], &[false, true, true], Binning::EqualWidth(4))?;
/// assert_eq!(bins.len(), 2);
/// assert_eq!((bins[1].n_examples, bins[1].share_correct), (2, 1.0));
/// # Ok::<(), attention_probes::metrics::MetricError>(())
/// ```
pub fn reliability_bins(
    confidences: &[f64],
    correct: &[bool],
    binning: Binning,
) -> Result<Vec<ReliabilityBin>, MetricError> {
    check_binary("confidences", confidences, correct)?;
    let bins = binning.bins(confidences)?;
    let mut order: Vec<usize> = (0..bins.len()).collect();
    order.sort_by_key(|&i| bins[i]);
    order
        .chunk_by(|&i, &j| bins[i] == bins[j])
        .map(|examples| {
            let n_examples = examples.len();
            let n_correct = examples.iter().filter(|&&i| correct[i]).count();
            let sum: f64 = examples.iter().map(|&i| confidences[i]).sum();
            Ok(ReliabilityBin {
                n_examples,
                mean_confidence: sum / n_examples as f64,
                share_correct: n_correct as f64 / n_examples as f64,
                share_correct_interval: wilson(n_correct, n_examples, LEVEL)?,
            })
        })
        .collect()
}

/// How many examples of each class score at least a threshold.
struct Counts {
    true_positives: i128,
    false_positives: i128,
    threshold: f64,
}

impl Counts {
    fn n_predicted(&self) -> i128 {
        self.true_positives + self.false_positives
    }

    /// 1 where nothing is predicted, which counts as precision 1.
    fn is_none(&self) -> i128 {
        i128::from(self.n_predicted() == 0)
    }
}

fn check_max_points(max_points: usize) -> Result<(), MetricError> {
    if max_points >= 2 {
        return Ok(());
    }
    Err(ValueError::new("max_points", max_points, "at least 2").into())
}

/// Counts at every distinct score, after those of a threshold above all of them.
fn cumulative(ties: &[Tie]) -> Result<Vec<Counts>, MetricError> {
    let above = ties[0].score.next_up();
    check::finite("threshold", &[above])?;
    let (mut true_positives, mut false_positives) = (0, 0);
    let mut counts = vec![Counts { true_positives, false_positives, threshold: above }];
    for tie in ties {
        true_positives += tie.positives as i128;
        false_positives += tie.negatives as i128;
        counts.push(Counts { true_positives, false_positives, threshold: tie.score });
    }
    Ok(counts)
}

/// Leaves out each point that lies straight between the last kept one and the next.
fn corners<T>(points: Vec<T>, is_straight: impl Fn(&T, &T, &T) -> bool) -> Vec<T> {
    let mut kept: Vec<T> = Vec::new();
    for point in points {
        if let [.., before, last] = kept.as_slice()
            && is_straight(before, last, &point)
        {
            kept.pop();
        }
        kept.push(point);
    }
    kept
}

/// Whether three points of a precision-recall curve lie on one line, in whole numbers; `None` if
/// these overflow.
fn precision_is_straight(a: &Counts, b: &Counts, c: &Counts) -> Option<bool> {
    if a.n_predicted() == 0 {
        // Precision 1 by convention, and still 1 at both others.
        return Some(b.false_positives == 0 && c.false_positives == 0);
    }
    // (r_b - r_a)(p_c - p_a) = (r_c - r_a)(p_b - p_a), times the three numbers of predictions.
    let rise = |to: &Counts| {
        (to.true_positives * a.n_predicted()).checked_sub(a.true_positives * to.n_predicted())
    };
    let left = (b.true_positives - a.true_positives)
        .checked_mul(b.n_predicted())?
        .checked_mul(rise(c)?)?;
    let right = (c.true_positives - a.true_positives)
        .checked_mul(c.n_predicted())?
        .checked_mul(rise(b)?)?;
    Some(left == right)
}

/// At most `max_points` of the points: the first to reach each of equal parts of the way.
fn evenly<T>(points: Vec<T>, max_points: usize, distance: impl Fn(&T, &T) -> f64) -> Vec<T> {
    if points.len() <= max_points {
        return points;
    }
    let mut way = vec![0.0];
    for pair in points.windows(2) {
        way.push(way[way.len() - 1] + distance(&pair[0], &pair[1]));
    }
    let whole = way[way.len() - 1];
    let n_parts = (max_points - 1) as f64;
    let last = points.len() - 1;
    let (mut kept, mut n_reached) = (Vec::with_capacity(max_points), 0.0);
    for (i, point) in points.into_iter().enumerate() {
        let part = (way[i] / whole * n_parts).floor();
        // The last part is left to the last point.
        if i == last || (part >= n_reached && part < n_parts) {
            kept.push(point);
            n_reached = part + 1.0;
        }
    }
    kept
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{auroc, ece, ece_equal_mass};

    /// Scores on a coarse grid, so that ties are common, with both classes.
    fn examples() -> impl Strategy<Value = (Vec<f64>, Vec<bool>)> {
        prop::collection::vec((-20_i32..20, any::<bool>()), 2..80)
            .prop_map(|pairs| {
                pairs.into_iter().map(|(score, label)| (f64::from(score), label)).unzip()
            })
            .prop_filter("both classes", |(_, labels): &(Vec<f64>, Vec<bool>)| {
                labels.contains(&true) && labels.contains(&false)
            })
    }

    fn rates(scores: &[f64], labels: &[bool], threshold: f64) -> [f64; 3] {
        let positive: Vec<bool> =
            scores.iter().zip(labels).filter(|(s, _)| **s >= threshold).map(|(_, l)| *l).collect();
        let n_positives = labels.iter().filter(|label| **label).count();
        let n_true = positive.iter().filter(|label| **label).count();
        let n_false = positive.len() - n_true;
        let precision =
            if positive.is_empty() { 1.0 } else { n_true as f64 / positive.len() as f64 };
        let n_negatives = labels.len() - n_positives;
        [n_true as f64 / n_positives as f64, n_false as f64 / n_negatives as f64, precision]
    }

    /// Height of a polyline of rising `x` at some `x`, between the lowest and the highest there.
    fn touches(line: &[(f64, f64)], (x, y): (f64, f64)) -> bool {
        line.windows(2).any(|pair| {
            let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
            if x < x0 - 1e-12 || x > x1 + 1e-12 {
                return false;
            }
            let (low, high) = (y0.min(y1) - 1e-12, y0.max(y1) + 1e-12);
            if x1 - x0 < 1e-12 {
                return low <= y && y <= high;
            }
            (y0 + (y1 - y0) * (x - x0) / (x1 - x0) - y).abs() < 1e-12
        })
    }

    #[test]
    fn a_curve_of_two_points_is_its_ends() {
        let scores: Vec<f64> = (0..50).map(f64::from).collect();
        let labels: Vec<bool> = (0..50).map(|i| i % 3 == 0).collect();
        let curve = roc_curve(&scores, &labels, 2).unwrap();
        let ends: Vec<_> = curve.iter().map(|point| (point.fpr, point.tpr)).collect();
        assert_eq!(ends, [(0.0, 0.0), (1.0, 1.0)]);
        let curve = precision_recall_curve(&scores, &labels, 2).unwrap();
        assert_eq!((curve[0].precision, curve[0].recall), (1.0, 0.0));
        assert_eq!((curve[1].recall, curve[1].threshold), (1.0, 0.0));
    }

    #[test]
    fn perfect_scores_leave_three_points() {
        let curve = roc_curve(&[4.0, 3.0, 2.0, 1.0], &[true, true, false, false], 9).unwrap();
        assert_eq!(curve.len(), 3);
        assert_eq!((curve[1].fpr, curve[1].tpr, curve[1].threshold), (0.0, 1.0, 3.0));
        let curve =
            precision_recall_curve(&[4.0, 3.0, 2.0, 1.0], &[true, true, false, false], 9).unwrap();
        assert_eq!(curve.len(), 3);
        assert_eq!((curve[1].precision, curve[1].recall), (1.0, 1.0));
    }

    #[test]
    fn bad_input_is_refused() {
        let result = roc_curve(&[0.1, 0.2], &[true, false], 1);
        assert!(matches!(
            result,
            Err(MetricError::Parameter(ValueError { name: "max_points", .. }))
        ));
        assert_eq!(roc_curve(&[0.1], &[true], 9), Err(MetricError::OneClass));
        assert!(roc_curve(&[f64::MAX, 0.0], &[true, false], 9).is_err());
        assert_eq!(precision_recall_curve(&[0.1], &[false], 9), Err(MetricError::NoPositives));
        assert!(reliability_bins(&[1.5], &[true], Binning::EqualMass(3)).is_err());
    }

    proptest! {
        #[test]
        fn a_thinned_curve_is_the_same_line((scores, labels) in examples()) {
            let roc = roc_curve(&scores, &labels, 1000).unwrap();
            let pr = precision_recall_curve(&scores, &labels, 1000).unwrap();
            for point in &roc {
                let [tpr, fpr, _] = rates(&scores, &labels, point.threshold);
                prop_assert_eq!([point.tpr, point.fpr], [tpr, fpr]);
            }
            for point in &pr {
                let [recall, _, precision] = rates(&scores, &labels, point.threshold);
                prop_assert_eq!([point.recall, point.precision], [recall, precision]);
            }
            let roc_line: Vec<_> = roc.iter().map(|point| (point.fpr, point.tpr)).collect();
            let pr_line: Vec<_> = pr.iter().map(|point| (point.recall, point.precision)).collect();
            for &threshold in &scores {
                let [tpr, fpr, precision] = rates(&scores, &labels, threshold);
                prop_assert!(touches(&roc_line, (fpr, tpr)));
                prop_assert!(touches(&pr_line, (tpr, precision)));
            }
            let area: f64 = roc_line
                .windows(2)
                .map(|pair| (pair[1].0 - pair[0].0) * (pair[1].1 + pair[0].1) / 2.0)
                .sum();
            prop_assert!((area - auroc(&scores, &labels).unwrap()).abs() < 1e-12);
            prop_assert!(roc.windows(2).all(|pair| pair[0].threshold > pair[1].threshold));
        }

        #[test]
        fn a_capped_curve_stays_near_the_whole_one(
            (scores, labels) in examples(),
            max_points in 2_usize..30,
        ) {
            let whole = roc_curve(&scores, &labels, 1000).unwrap();
            let capped = roc_curve(&scores, &labels, max_points).unwrap();
            prop_assert!(capped.len() <= max_points);
            prop_assert_eq!(whole[0], capped[0]);
            prop_assert_eq!(whole.last(), capped.last());
            for point in &whole {
                let nearest = capped
                    .iter()
                    .map(|kept| (kept.tpr - point.tpr).abs() + (kept.fpr - point.fpr).abs())
                    .fold(f64::INFINITY, f64::min);
                prop_assert!(nearest <= 2.0 / (max_points - 1) as f64 + 1e-12);
            }
            let capped = precision_recall_curve(&scores, &labels, max_points).unwrap();
            prop_assert!(capped.len() <= max_points && capped.last().unwrap().recall == 1.0);
        }

        #[test]
        fn reliability_bins_sum_to_the_calibration_error(
            examples in prop::collection::vec((0.0..=1.0_f64, any::<bool>()), 1..60),
            n_bins in 1_usize..20,
        ) {
            let (confidences, correct): (Vec<f64>, Vec<bool>) = examples.into_iter().unzip();
            let error = |binning| -> f64 {
                reliability_bins(&confidences, &correct, binning)
                    .unwrap()
                    .iter()
                    .map(|bin| {
                        let share = bin.n_examples as f64 / correct.len() as f64;
                        share * (bin.share_correct - bin.mean_confidence).abs()
                    })
                    .sum()
            };
            let expected = ece(&confidences, &correct, n_bins).unwrap();
            prop_assert!((error(Binning::EqualWidth(n_bins)) - expected).abs() < 1e-12);
            let expected = ece_equal_mass(&confidences, &correct, n_bins).unwrap();
            prop_assert!((error(Binning::EqualMass(n_bins)) - expected).abs() < 1e-12);
        }
    }
}
