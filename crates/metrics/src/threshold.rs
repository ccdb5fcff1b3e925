//! Decision threshold at a target false-positive rate, with a promise about new examples.

use serde::{Deserialize, Serialize};

use crate::distribution::binomial_cdf;
use crate::{Interval, MetricError, check, clopper_pearson};

/// Confidence level of the interval of the achieved rate.
const LEVEL: f64 = 0.95;

/// What a fitted threshold promises about examples that it was not fitted on.
///
/// Both promises need nothing but that the calibration examples and the new ones are drawn
/// independently from the same distribution (for the marginal one, that they are exchangeable).
/// Neither says anything about texts of another kind.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Guarantee {
    /// On average over calibration sets and new examples, the error rate is at most the target:
    /// one calibration set may lie above it, another below.
    ///
    /// ```text
    /// k = ⌊target (n + 1)⌋      P(new score > k-th largest of n) ≤ k / (n + 1) ≤ target
    /// ```
    ///
    /// Vovk, Gammerman and Shafer, "Algorithmic learning in a random world" (2005).
    Marginal,
    /// With probability at least `confidence` over calibration sets, the error rate of the
    /// threshold that this one gave is at most the target.
    ///
    /// ```text
    /// k = largest with P(Binomial(n, target) ≤ k - 1) ≤ 1 - confidence
    /// ```
    ///
    /// Tong, Feng and Li, "Neyman-Pearson classification algorithms and NP receiver operating
    /// characteristics" (2018), proposition 1; the training-conditional validity of Vovk,
    /// "Conditional validity of inductive conformal predictors" (2012).
    Confidence {
        /// Probability that the promise holds, between 0 and 1.
        confidence: f64,
    },
}

/// A threshold fitted on negatives, from which on an example counts as positive.
///
/// Fit it on one score per example, as the threshold will be used. The quantile of the scores of
/// all tokens pooled is another number: an example is positive as soon as one of its tokens is, so
/// such a threshold lets through far more than the target.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FprThreshold {
    /// Score from which an example counts as positive.
    pub threshold: f64,
    /// False-positive rate that was asked for.
    pub target_fpr: f64,
    /// In which sense new negatives keep to it.
    pub guarantee: Guarantee,
    /// Number of negatives that it was fitted on.
    pub n_negatives: usize,
    /// Share of those negatives that score at least `threshold`; at most the target.
    pub calibration_fpr: f64,
    /// Clopper-Pearson interval of the false-positive rate, 95 %. With distinct scores it holds
    /// although the threshold was chosen on the same negatives: the rate of new ones has the
    /// distribution of an order statistic, whose quantile is the upper end.
    pub calibration_fpr_interval: Interval,
}

/// A false-positive rate that no threshold can promise, because there are too few negatives.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnfittedThreshold {
    /// The rate.
    pub target_fpr: f64,
    /// Number of negatives that a threshold was to be fitted on.
    pub n_negatives: usize,
    /// Number of negatives that would be enough.
    pub n_needed: usize,
}

impl FprThreshold {
    /// Fits the lowest threshold that keeps the promise.
    ///
    /// It lies just above the k-th largest score, with the `k` of the [`Guarantee`], so that every
    /// score that ties with it stays negative: with ties the rate is lower, never higher. Compare
    /// it with scores in `f64`; rounded to `f32` it may be that score again.
    ///
    /// `negatives` holds one score of each negative example, not of each token.
    ///
    /// # Errors
    ///
    /// - [`MetricError::TooFew`] if there are too few negatives for the target, with the number
    ///   that would do: `1 / target - 1`, or `ln(1 - confidence) / ln(1 - target)`
    /// - [`MetricError::Parameter`] if the target or the confidence is not between 0 and 1
    /// - [`MetricError::NotFinite`] if a score, or the number above it, is NaN or infinite
    /// - [`MetricError::Empty`] if there is no score
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::metrics::{FprThreshold, Guarantee, MetricError};
    ///
    /// let negatives: Vec<f64> = (0..199).map(f64::from).collect();
    /// let fitted = FprThreshold::fit(&negatives, 0.01, Guarantee::Marginal)?;
    /// assert!(fitted.is_positive(198.0) && !fitted.is_positive(197.0));
    ///
    /// let sure = Guarantee::Confidence { confidence: 0.95 };
    /// let error = FprThreshold::fit(&negatives, 0.01, sure).unwrap_err();
    /// assert_eq!(error, MetricError::TooFew { name: "negatives", n: 199, needed: 299 });
    /// # Ok::<(), attention_probes::metrics::MetricError>(())
    /// ```
    pub fn fit(
        negatives: &[f64],
        target_fpr: f64,
        guarantee: Guarantee,
    ) -> Result<Self, MetricError> {
        check::rate("target_fpr", target_fpr)?;
        let threshold = just_above(kth_largest("negatives", negatives, target_fpr, guarantee)?);
        check::finite("threshold", &[threshold])?;

        let n_positive = negatives.iter().filter(|&&score| score >= threshold).count();
        Ok(Self {
            threshold,
            target_fpr,
            guarantee,
            n_negatives: negatives.len(),
            calibration_fpr: n_positive as f64 / negatives.len() as f64,
            calibration_fpr_interval: clopper_pearson(n_positive, negatives.len(), LEVEL)?,
        })
    }

    /// Whether an example with this score counts as positive; NaN does not.
    pub fn is_positive(&self, score: f64) -> bool {
        score >= self.threshold
    }
}

/// The largest score but `k - 1`, where at most a share `target` of new scores lies above it.
pub(crate) fn kth_largest(
    name: &'static str,
    scores: &[f64],
    target: f64,
    guarantee: Guarantee,
) -> Result<f64, MetricError> {
    check::not_empty(name, scores)?;
    check::finite(name, scores)?;
    if let Guarantee::Confidence { confidence } = guarantee {
        check::rate("confidence", confidence)?;
    }
    let n = scores.len();
    let k = rank(n, target, guarantee);
    if k == 0 {
        return Err(MetricError::TooFew { name, n, needed: n_needed(target, guarantee) });
    }
    let mut scores = scores.to_vec();
    Ok(*scores.select_nth_unstable_by(n - k, f64::total_cmp).1)
}

/// A threshold that leaves a score, and all that tie with it, below.
///
/// Two steps up and not one: a reader of JSON may miss the last digit by one, as `serde_json` does
/// without its feature `float_roundtrip`, and must not land on the score itself.
pub(crate) fn just_above(score: f64) -> f64 {
    score.next_up().next_up()
}

/// The `k` of the guarantee, or 0 if no score keeps the promise.
fn rank(n: usize, target: f64, guarantee: Guarantee) -> usize {
    match guarantee {
        Guarantee::Marginal => marginal_rank(n, target),
        Guarantee::Confidence { confidence } => confident_rank(n, target, 1.0 - confidence),
    }
}

/// Largest `k` with `k / (n + 1) ≤ target`, below `n + 1`.
fn marginal_rank(n: usize, target: f64) -> usize {
    let kept = |k: usize| k as f64 / (n + 1) as f64 <= target;
    // The product may round across a whole number: 0.29 · 100 is below 29.
    let k = (target * (n + 1) as f64) as usize;
    let k = if kept(k + 1) { k + 1 } else { k };
    let k = if kept(k) { k } else { k - 1 };
    k.min(n)
}

/// Largest `k` with `P(Binomial(n, target) ≤ k - 1) ≤ delta`, or 0.
fn confident_rank(n: usize, target: f64, delta: f64) -> usize {
    // The tail is exact to about 13 digits; equality must not be lost to the last of them.
    let delta = delta * (1.0 + 1e-12);
    let (mut kept, mut broken) = (0, n + 1);
    while broken - kept > 1 {
        let k = usize::midpoint(kept, broken);
        if binomial_cdf(k - 1, n, target) <= delta {
            kept = k;
        } else {
            broken = k;
        }
    }
    kept
}

/// Smallest `n` for which some score keeps the promise.
fn n_needed(target: f64, guarantee: Guarantee) -> usize {
    let estimate = match guarantee {
        Guarantee::Marginal => 1.0 / target - 1.0,
        Guarantee::Confidence { confidence } => (1.0 - confidence).ln() / (-target).ln_1p(),
    };
    let estimate = estimate.ceil() as usize;
    // Where the formula gives a whole number, rounding may add one.
    let one_less = estimate.saturating_sub(1).max(1);
    if one_less < 1_000_000 && rank(one_less, target, guarantee) > 0 { one_less } else { estimate }
}

#[cfg(test)]
mod tests {
    use attention_probes_errors::ValueError;
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const SURE: Guarantee = Guarantee::Confidence { confidence: 0.9 };

    /// Fits on many sets of `n` negatives with scores 0 to `n_values - 1`, each as likely, and
    /// returns the true false-positive rate of each threshold.
    fn true_rates(n: usize, n_values: u32, target: f64, guarantee: Guarantee) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut fit = || {
            let negatives: Vec<f64> =
                (0..n).map(|_| f64::from(rng.random_range(0..n_values))).collect();
            let fitted = FprThreshold::fit(&negatives, target, guarantee).unwrap();
            assert!(fitted.calibration_fpr <= target);
            let n_above = (0..n_values).filter(|&v| fitted.is_positive(f64::from(v))).count();
            n_above as f64 / f64::from(n_values)
        };
        (0..4000).map(|_| fit()).collect()
    }

    #[test]
    fn the_marginal_rate_stays_below_the_target_on_average() {
        for (n, n_values, target) in [(99, 10_000, 0.05), (150, 10_000, 0.01), (60, 7, 0.2)] {
            let rates = true_rates(n, n_values, target, Guarantee::Marginal);
            let mean = rates.iter().sum::<f64>() / rates.len() as f64;
            assert!(mean <= target + 0.002, "{mean} of {n} with {n_values} values");
            // Without ties it is also close to k / (n + 1), so nothing is given away.
            let k = marginal_rank(n, target) as f64;
            assert!(n_values < 100 || (mean - k / (n as f64 + 1.0)).abs() < 0.002, "{mean}");
        }
    }

    #[test]
    fn a_confident_threshold_exceeds_the_target_as_rarely_as_it_promises() {
        for (n, n_values, target) in [(99, 10_000, 0.05), (400, 10_000, 0.01), (60, 7, 0.2)] {
            let rates = true_rates(n, n_values, target, SURE);
            let n_above = rates.iter().filter(|&&rate| rate > target).count();
            // Three standard errors of a share of 0.1 in 4000 draws.
            let share = n_above as f64 / rates.len() as f64;
            assert!(share <= 0.1 + 0.015, "{share} of {n} with {n_values} values");
        }
    }

    #[test]
    fn tied_scores_stay_negative_together() {
        let negatives = [[0.0; 10], [1.0; 10]].concat();
        let fitted = FprThreshold::fit(&negatives, 0.2, Guarantee::Marginal).unwrap();
        assert!(!fitted.is_positive(1.0) && fitted.is_positive(1.0 + 1e-9));
        assert!(fitted.calibration_fpr == 0.0 && !fitted.is_positive(f64::NAN));
        let fitted = FprThreshold::fit(&negatives, 0.6, Guarantee::Marginal).unwrap();
        assert!(fitted.is_positive(1.0) && !fitted.is_positive(0.0));
    }

    #[test]
    fn a_rate_that_rounding_would_miss_is_reached() {
        assert!((0.29 * 100.0_f64).floor() < 29.0);
        assert_eq!(marginal_rank(99, 0.29), 29);
        assert_eq!(marginal_rank(99, 0.01), 1);
        assert_eq!(marginal_rank(98, 0.01), 0);
    }

    #[test]
    fn the_number_that_is_needed_is_the_smallest_that_does() {
        for (target, guarantee, needed) in [
            (0.01, Guarantee::Marginal, 99),
            (0.001, Guarantee::Marginal, 999),
            (0.01, Guarantee::Confidence { confidence: 0.95 }, 299),
            (0.05, Guarantee::Confidence { confidence: 0.95 }, 59),
            (0.5, Guarantee::Confidence { confidence: 0.75 }, 2),
        ] {
            let fit = |n: usize| FprThreshold::fit(&vec![0.5; n], target, guarantee);
            let error = MetricError::TooFew { name: "negatives", n: needed - 1, needed };
            assert_eq!(fit(needed - 1), Err(error));
            assert!(fit(needed).is_ok());
        }
    }

    #[test]
    fn bad_input_is_refused() {
        for target in [0.0, 1.0, -0.1, f64::NAN] {
            let result = FprThreshold::fit(&[0.5], target, Guarantee::Marginal);
            assert!(matches!(
                result,
                Err(MetricError::Parameter(ValueError { name: "target_fpr", .. }))
            ));
        }
        let result = FprThreshold::fit(&[0.5], 1e-300, Guarantee::Marginal);
        assert!(matches!(result, Err(MetricError::TooFew { needed: usize::MAX, .. })));
        let unsure = Guarantee::Confidence { confidence: 1.0 };
        let result = FprThreshold::fit(&[0.5], 0.5, unsure);
        assert!(matches!(
            result,
            Err(MetricError::Parameter(ValueError { name: "confidence", .. }))
        ));
        let fit = |scores: &[f64]| FprThreshold::fit(scores, 0.5, Guarantee::Marginal);
        assert_eq!(fit(&[]), Err(MetricError::Empty { name: "negatives" }));
        assert!(matches!(fit(&[f64::NAN]), Err(MetricError::NotFinite { name: "negatives", .. })));
        assert!(matches!(fit(&[f64::MAX]), Err(MetricError::NotFinite { name: "threshold", .. })));
    }

    #[test]
    fn a_threshold_survives_json() {
        let fitted = FprThreshold::fit(&[0.1, 0.7, 0.2], 0.5, Guarantee::Marginal).unwrap();
        let json = serde_json::to_value(fitted).unwrap();
        assert_eq!(json["guarantee"]["kind"], "marginal");
        assert_eq!(serde_json::from_value::<FprThreshold>(json).unwrap(), fitted);
    }

    proptest! {
        #[test]
        fn the_rank_equals_trying_every_rank(
            n in 1_usize..80,
            target in 0.005..0.995_f64,
            confidence in 0.01..0.99_f64,
        ) {
            let marginal = (1..=n).filter(|&k| k as f64 / (n + 1) as f64 <= target).count();
            prop_assert_eq!(marginal_rank(n, target), marginal);
            // P(Binomial(n, target) ≤ k - 1), summed term by term.
            let mut cdf = 0.0;
            let mut confident = 0;
            let mut slack = f64::INFINITY;
            for j in 0..n {
                let choose: f64 = (0..j).map(|i| (n - i) as f64 / (j - i) as f64).product();
                cdf += choose * target.powi(j as i32) * (1.0 - target).powi((n - j) as i32);
                slack = slack.min((cdf - (1.0 - confidence)).abs());
                confident += usize::from(cdf <= 1.0 - confidence);
            }
            prop_assume!(slack > 1e-9);
            prop_assert_eq!(confident_rank(n, target, 1.0 - confidence), confident);
        }

        #[test]
        fn no_decision_changes_in_json(
            negatives in prop::collection::vec(-9.0..9.0_f32, 20..40),
        ) {
            let scores: Vec<f64> = negatives.iter().map(|&score| f64::from(score)).collect();
            let fitted = FprThreshold::fit(&scores, 0.3, Guarantee::Marginal).unwrap();
            let json = serde_json::to_string(&fitted).unwrap();
            let again: FprThreshold = serde_json::from_str(&json).unwrap();
            for &score in &scores {
                prop_assert_eq!(again.is_positive(score), fitted.is_positive(score));
            }
        }

        #[test]
        fn a_rising_map_of_the_scores_moves_the_threshold_along(
            negatives in prop::collection::vec(-8_i32..8, 20..80),
        ) {
            let scores: Vec<f64> = negatives.iter().map(|&score| f64::from(score)).collect();
            let mapped: Vec<f64> = scores.iter().map(|score| score.exp()).collect();
            let plain = FprThreshold::fit(&scores, 0.15, SURE).unwrap();
            let moved = FprThreshold::fit(&mapped, 0.15, SURE).unwrap();
            for (score, mapped) in scores.iter().zip(&mapped) {
                prop_assert_eq!(plain.is_positive(*score), moved.is_positive(*mapped));
            }
        }
    }
}
