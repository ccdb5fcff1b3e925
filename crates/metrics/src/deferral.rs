//! Two thresholds, between which an example is passed on to a better judge.

use serde::{Deserialize, Serialize};

use crate::threshold::{just_above, kth_largest};
use crate::{Guarantee, Interval, MetricError, check, clopper_pearson};

/// Confidence level of the intervals of the achieved rates.
const LEVEL: f64 = 0.95;

/// What a pair of thresholds has to keep to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeferralTarget {
    /// Largest share of the negatives that may be called positive, between 0 and 1.
    pub target_fpr: f64,
    /// Largest share of the positives that may be called negative, between 0 and 1.
    pub target_fnr: f64,
    /// In which sense new examples keep to each of the two. Both hold together with probability
    /// at least `2 confidence - 1`.
    pub guarantee: Guarantee,
}

/// What is done with an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It counts as negative.
    Negative,
    /// It is passed on.
    Defer,
    /// It counts as positive.
    Positive,
}

/// Thresholds for a cheap classifier that passes what it is unsure of on to a better one.
///
/// Fit them on one score per example, not per token: see [`FprThreshold`](crate::FprThreshold).
///
/// Where the classifier is good enough to reach both targets with one threshold, the two that were
/// fitted cross. Every threshold between them then keeps both promises, so both become their
/// midpoint, and nothing is deferred.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deferral {
    /// Score below which an example counts as negative; at most `high`.
    pub low: f64,
    /// Score from which an example counts as positive.
    pub high: f64,
    /// What was asked for.
    pub target: DeferralTarget,
    /// Number of negatives that the thresholds were fitted on.
    pub n_negatives: usize,
    /// Number of positives that the thresholds were fitted on.
    pub n_positives: usize,
    /// Share of those negatives that score at least `high`; at most the target.
    pub calibration_fpr: f64,
    /// Clopper-Pearson interval of `calibration_fpr`, 95 %.
    pub calibration_fpr_interval: Interval,
    /// Share of those positives that score below `low`; at most the target.
    pub calibration_fnr: f64,
    /// Clopper-Pearson interval of `calibration_fnr`, 95 %.
    pub calibration_fnr_interval: Interval,
    /// Share of all those examples that are deferred.
    pub deferred: f64,
    /// Share of the negatives that are deferred.
    pub deferred_negatives: f64,
    /// Share of the positives that are deferred.
    pub deferred_positives: f64,
}

impl Deferral {
    /// Fits the lowest `high` and the highest `low` that keep the two promises.
    ///
    /// # Shapes
    ///
    /// - `scores`: `[n]`, one of each example
    /// - `labels`: `[n]`
    ///
    /// # Errors
    ///
    /// - [`MetricError::TooFew`] if there are too few negatives or positives for their target
    /// - [`MetricError::Parameter`] if a target or the confidence is not between 0 and 1
    /// - [`MetricError::OneClass`] if the labels are all alike
    /// - [`MetricError::NotFinite`] if a score, or the number beside it, is NaN or infinite
    /// - [`MetricError::Empty`] or [`MetricError::LengthMismatch`] if the slices do not fit
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::metrics::{Decision, Deferral, DeferralTarget, Guarantee};
    ///
    /// let scores: Vec<f64> = (0..40).map(f64::from).collect();
    /// let labels: Vec<bool> = (0..40).map(|i| i >= 25 || (i >= 15 && i % 2 == 0)).collect();
    /// let guarantee = Guarantee::Marginal;
    /// let target = DeferralTarget { target_fpr: 0.1, target_fnr: 0.1, guarantee };
    /// let fitted = Deferral::fit(&scores, &labels, target)?;
    /// assert_eq!(fitted.decide(12.0), Decision::Negative);
    /// assert_eq!(fitted.decide(20.0), Decision::Defer);
    /// assert_eq!(fitted.decide(30.0), Decision::Positive);
    /// # Ok::<(), attention_probes::metrics::MetricError>(())
    /// ```
    pub fn fit(
        scores: &[f64],
        labels: &[bool],
        target: DeferralTarget,
    ) -> Result<Self, MetricError> {
        check::scores(scores, labels)?;
        check::rate("target_fpr", target.target_fpr)?;
        check::rate("target_fnr", target.target_fnr)?;
        let [negatives, positives] = [false, true].map(|class| -> Vec<f64> {
            scores.iter().zip(labels).filter(|(_, l)| **l == class).map(|(s, _)| *s).collect()
        });
        if negatives.is_empty() || positives.is_empty() {
            return Err(MetricError::OneClass);
        }

        let DeferralTarget { target_fpr, target_fnr, guarantee } = target;
        let high = just_above(kth_largest("negatives", &negatives, target_fpr, guarantee)?);
        check::finite("high", &[high])?;
        // The k-th smallest positive is no miss, as misses are below `low`; one step down keeps it
        // so where a reader of JSON misses the last digit.
        let mirrored: Vec<f64> = positives.iter().map(|score| -score).collect();
        let low = -kth_largest("positives", &mirrored, target_fnr, guarantee)?.next_up();
        check::finite("low", &[low])?;
        let (low, high) = if low > high {
            let middle = f64::midpoint(low, high);
            (middle, middle)
        } else {
            (low, high)
        };

        let n_false_positives = negatives.iter().filter(|&&score| score >= high).count();
        let n_misses = positives.iter().filter(|&&score| score < low).count();
        let n_between = |scores: &[f64]| scores.iter().filter(|&&s| s >= low && s < high).count();
        let n_deferred = [n_between(&negatives), n_between(&positives)];
        let (n_negatives, n_positives) = (negatives.len(), positives.len());
        Ok(Self {
            low,
            high,
            target,
            n_negatives,
            n_positives,
            calibration_fpr: n_false_positives as f64 / n_negatives as f64,
            calibration_fpr_interval: clopper_pearson(n_false_positives, n_negatives, LEVEL)?,
            calibration_fnr: n_misses as f64 / n_positives as f64,
            calibration_fnr_interval: clopper_pearson(n_misses, n_positives, LEVEL)?,
            deferred: n_deferred.iter().sum::<usize>() as f64 / labels.len() as f64,
            deferred_negatives: n_deferred[0] as f64 / n_negatives as f64,
            deferred_positives: n_deferred[1] as f64 / n_positives as f64,
        })
    }

    /// What is done with an example of this score; NaN is deferred.
    pub fn decide(&self, score: f64) -> Decision {
        if score >= self.high {
            Decision::Positive
        } else if score < self.low {
            Decision::Negative
        } else {
            Decision::Defer
        }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::FprThreshold;

    fn target(rate: f64, guarantee: Guarantee) -> DeferralTarget {
        DeferralTarget { target_fpr: rate, target_fnr: rate, guarantee }
    }

    #[test]
    fn thresholds_that_cross_become_one_and_nothing_is_deferred() {
        let scores: Vec<f64> = (0..40).map(|i| f64::from(i) + 100.0 * f64::from(i / 20)).collect();
        let labels: Vec<bool> = (0..40).map(|i| i >= 20).collect();
        let fitted = Deferral::fit(&scores, &labels, target(0.1, Guarantee::Marginal)).unwrap();
        // The second largest negative is 18, the second smallest positive 121.
        assert_eq!(fitted.low, fitted.high);
        assert!((fitted.low - 69.5).abs() < 1e-9);
        assert_eq!((fitted.deferred, fitted.calibration_fpr, fitted.calibration_fnr), (0., 0., 0.));
        assert_eq!(fitted.decide(69.0), Decision::Negative);
        assert_eq!(fitted.decide(70.0), Decision::Positive);
        assert_eq!(fitted.decide(f64::NAN), Decision::Defer);
    }

    #[test]
    fn a_constant_score_defers_everything() {
        let labels: Vec<bool> = (0..60).map(|i| i % 2 == 0).collect();
        let fitted = Deferral::fit(&[0.5; 60], &labels, target(0.1, Guarantee::Marginal)).unwrap();
        assert_eq!((fitted.deferred, fitted.deferred_negatives), (1.0, 1.0));
        assert_eq!(fitted.decide(0.5), Decision::Defer);
    }

    #[test]
    fn new_examples_keep_to_both_targets_as_often_as_promised() {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let guarantee = Guarantee::Confidence { confidence: 0.9 };
        let mut n_above = [0; 2]; // of negatives, of positives
        for _ in 0..1500 {
            // Negatives are uniform on 0..30 and positives on 10..40, in whole numbers.
            let labels: Vec<bool> = (0..160).map(|i| i % 2 == 0).collect();
            let scores: Vec<f64> = labels
                .iter()
                .map(|&label| f64::from(rng.random_range(0..30) + 10 * i32::from(label)))
                .collect();
            let fitted = Deferral::fit(&scores, &labels, target(0.15, guarantee)).unwrap();
            let rate = |from: i32, decision: Decision| {
                (0..30).filter(|i| fitted.decide(f64::from(from + i)) == decision).count() as f64
                    / 30.0
            };
            n_above[0] += usize::from(rate(0, Decision::Positive) > 0.15);
            n_above[1] += usize::from(rate(10, Decision::Negative) > 0.15);
        }
        // Three standard errors of a share of 0.1 in 1500 draws.
        assert!(n_above.iter().all(|&n| n as f64 / 1500.0 <= 0.1 + 0.024), "{n_above:?}");
    }

    #[test]
    fn bad_input_is_refused() {
        let fit = |scores: &[f64], labels: &[bool], rate| {
            Deferral::fit(scores, labels, target(rate, Guarantee::Marginal))
        };
        assert_eq!(fit(&[0.1, 0.2], &[true, true], 0.5), Err(MetricError::OneClass));
        assert_eq!(fit(&[], &[], 0.5), Err(MetricError::Empty { name: "labels" }));
        assert_eq!(
            fit(&[0.1, 0.2], &[true, false], 0.3),
            Err(MetricError::TooFew { name: "negatives", n: 1, needed: 3 })
        );
        assert_eq!(
            fit(&[0.1, 0.2, 0.2, 0.2], &[true, false, false, false], 0.3),
            Err(MetricError::TooFew { name: "positives", n: 1, needed: 3 })
        );
        assert!(fit(&[0.1, 0.2], &[true, false], 0.0).is_err());
    }

    proptest! {
        #[test]
        fn every_example_is_decided_once_and_within_the_targets(
            examples in prop::collection::vec((-8_i32..8, any::<bool>()), 40..120),
            rate in 0.1..0.9_f64,
        ) {
            let scores: Vec<f64> =
                examples.iter().map(|(score, label)| f64::from(score + 3 * i32::from(*label))).collect();
            let labels: Vec<bool> = examples.iter().map(|example| example.1).collect();
            let n_positives = labels.iter().filter(|label| **label).count();
            prop_assume!(n_positives >= 10 && labels.len() - n_positives >= 10);
            let fitted = Deferral::fit(&scores, &labels, target(rate, Guarantee::Marginal)).unwrap();

            let share = |class: bool, decision: Decision| {
                let of_class = || scores.iter().zip(&labels).filter(|(_, label)| **label == class);
                of_class().filter(|(score, _)| fitted.decide(**score) == decision).count() as f64
                    / of_class().count() as f64
            };
            prop_assert!(fitted.low <= fitted.high);
            prop_assert!(fitted.calibration_fpr <= rate && fitted.calibration_fnr <= rate);
            prop_assert_eq!(fitted.calibration_fpr, share(false, Decision::Positive));
            prop_assert_eq!(fitted.calibration_fnr, share(true, Decision::Negative));
            prop_assert_eq!(fitted.deferred_negatives, share(false, Decision::Defer));
            prop_assert_eq!(fitted.deferred_positives, share(true, Decision::Defer));
            // Unless the two crossed, `high` is the threshold of the negatives alone.
            if fitted.low < fitted.high {
                let negatives: Vec<f64> =
                    scores.iter().zip(&labels).filter(|(_, l)| !**l).map(|(s, _)| *s).collect();
                let alone = FprThreshold::fit(&negatives, rate, Guarantee::Marginal).unwrap();
                prop_assert_eq!(fitted.high, alone.threshold);
            }
        }
    }
}
