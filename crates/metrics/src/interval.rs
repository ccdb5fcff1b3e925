//! Confidence intervals: Wilson's and the exact one for a share, the bootstrap for anything else.

use attention_probes_errors::ValueError;
use serde::{Deserialize, Serialize};

use crate::distribution::{beta_quantile, normal_quantile};
use crate::resample::{Recalls, Resampler, Sampler};
use crate::{Bootstrap, MetricError, check};

/// A confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
    /// Confidence level, between 0 and 1.
    pub level: f64,
}

/// Wilson's score interval of a share.
///
/// ```text
/// (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)      p = successes / n
/// ```
///
/// Wilson (1927), without continuity correction. Unlike the normal interval it stays within 0 and
/// 1, and has a width also where every example, or none, is a success.
///
/// # Errors
///
/// - [`MetricError::Empty`] if `n` is 0
/// - [`MetricError::Parameter`] if `successes` exceeds `n`, or `level` is not between 0 and 1
///
/// # Examples
///
/// ```
/// use attention_probes::metrics::wilson;
///
/// let interval = wilson(45, 50, 0.95)?;
/// assert!((interval.lower - 0.7864).abs() < 1e-4);
/// assert!((interval.upper - 0.9565).abs() < 1e-4);
/// # Ok::<(), attention_probes::metrics::MetricError>(())
/// ```
pub fn wilson(successes: usize, n: usize, level: f64) -> Result<Interval, MetricError> {
    check_counts(successes, n, level)?;
    let z = normal_quantile(f64::midpoint(1.0, level));
    let n_failures = n - successes;
    let n = n as f64;
    let share = successes as f64 / n;
    let scale = 1.0 / (1.0 + z * z / n);
    let centre = scale * (share + z * z / (2.0 * n));
    let half_width = scale * z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    // At the ends the formula gives exactly 0 or 1, which rounding must not cross.
    Ok(Interval {
        lower: if successes == 0 { 0.0 } else { (centre - half_width).max(0.0) },
        upper: if n_failures == 0 { 1.0 } else { (centre + half_width).min(1.0) },
        level,
    })
}

/// Clopper and Pearson's exact interval of a share.
///
/// ```text
/// lower = B(α/2; s, n - s + 1)      upper = B(1 - α/2; s + 1, n - s)      α = 1 - level
/// ```
///
/// `B` is the quantile of the beta distribution and `s` the number of successes: Clopper and
/// Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial"
/// (1934). It holds the true share with probability at least `level` for every share and every
/// `n`, and pays for it by being wider than [`wilson`].
///
/// # Errors
///
/// - [`MetricError::Empty`] if `n` is 0
/// - [`MetricError::Parameter`] if `successes` exceeds `n`, or `level` is not between 0 and 1
///
/// # Examples
///
/// ```
/// use attention_probes::metrics::clopper_pearson;
///
/// let interval = clopper_pearson(0, 10, 0.95)?;
/// assert_eq!(interval.lower, 0.0);
/// assert!((interval.upper - 0.3085).abs() < 1e-4); // 1 - 0.025^(1/10)
/// # Ok::<(), attention_probes::metrics::MetricError>(())
/// ```
pub fn clopper_pearson(successes: usize, n: usize, level: f64) -> Result<Interval, MetricError> {
    check_counts(successes, n, level)?;
    let tail = f64::midpoint(0.0, 1.0 - level);
    let (s, f) = (successes as f64, (n - successes) as f64);
    Ok(Interval {
        lower: if successes == 0 { 0.0 } else { beta_quantile(tail, s, f + 1.0) },
        upper: if successes == n { 1.0 } else { beta_quantile(1.0 - tail, s + 1.0, f) },
        level,
    })
}

/// Percentile bootstrap interval of any statistic of the examples.
///
/// `statistic` gets the indices of one resample, and may return NaN where it is undefined; resamples
/// without a finite value are left out. They are `n_examples` indices, drawn with replacement; with
/// [`Bootstrap::groups`], those of as many groups as there are, so that their number varies. The
/// same seed gives the same interval on every machine.
///
/// # Errors
///
/// - [`MetricError::Empty`] if `n_examples` is 0
/// - [`MetricError::LengthMismatch`] if there is not a group for each example
/// - [`MetricError::TooFew`] if there is only one group
/// - [`MetricError::Parameter`] if `n_resamples` is 0, or `level` is not between 0 and 1
/// - [`MetricError::UndefinedStatistic`] if the statistic is finite on no resample
///
/// # Examples
///
/// ```
/// use attention_probes::metrics::{Bootstrap, bootstrap};
///
/// let values = [1.0, 2.0, 3.0, 4.0];
/// let mean = |indices: &[usize]| {
///     indices.iter().map(|&i| values[i]).sum::<f64>() / indices.len() as f64
/// };
/// let interval = bootstrap(values.len(), &Bootstrap::default(), mean)?;
/// assert!(interval.lower < 2.5 && 2.5 < interval.upper);
/// # Ok::<(), attention_probes::metrics::MetricError>(())
/// ```
pub fn bootstrap(
    n_examples: usize,
    config: &Bootstrap<'_>,
    mut statistic: impl FnMut(&[usize]) -> f64,
) -> Result<Interval, MetricError> {
    let mut resampler = Resampler::new(n_examples, config)?;
    let mut indices = Vec::with_capacity(n_examples);
    let mut values = Vec::with_capacity(config.n_resamples);
    for _ in 0..config.n_resamples {
        resampler.draw(&mut indices);
        values.push(statistic(&indices));
    }
    percentile_interval(values, config.level)
}

/// The interval of a statistic whose resamples hold every class.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resampled {
    /// Percentile interval.
    pub interval: Interval,
    /// Resamples of groups that lacked a class and were drawn again.
    pub n_redrawn: usize,
}

/// Percentile bootstrap interval of the balanced accuracy.
///
/// Examples are drawn within their class, or as whole groups where `config` has some; see
/// [`Bootstrap`]. So a classifier that always answers one class of `k` has the interval
/// `[1/k, 1/k]`. A class so rare that 20 draws of groups all lack it keeps its recall of all
/// examples in that resample.
///
/// # Errors
///
/// - [`MetricError::Empty`], [`MetricError::LengthMismatch`] or [`MetricError::LabelOutOfRange`] if
///   the slices do not fit
/// - [`MetricError::Parameter`] if `n_resamples` is 0, or `level` is not between 0 and 1
/// - [`MetricError::TooFew`] if there is only one group
///
/// # Examples
///
/// ```
/// use attention_probes::metrics::{Bootstrap, bootstrap_balanced_accuracy};
///
/// let labels = [0, 0, 0, 0, 1];
/// let found = bootstrap_balanced_accuracy(&labels, &[0; 5], 2, &Bootstrap::default())?;
/// assert_eq!((found.interval.lower, found.interval.upper), (0.5, 0.5));
/// # Ok::<(), attention_probes::metrics::MetricError>(())
/// ```
pub fn bootstrap_balanced_accuracy(
    labels: &[usize],
    predictions: &[usize],
    n_classes: usize,
    config: &Bootstrap<'_>,
) -> Result<Resampled, MetricError> {
    check::not_empty("labels", labels)?;
    check::length("predictions", predictions.len(), labels.len())?;
    check::classes("labels", labels, n_classes)?;
    check::classes("predictions", predictions, n_classes)?;

    let recalls = Recalls::new(labels, [predictions], n_classes);
    let mut sampler = Sampler::new(labels, config)?;
    let mut weights = vec![0; labels.len()];
    let mut resample = || {
        sampler.draw(&mut weights);
        recalls.balanced_accuracies(&weights)[0]
    };
    let values = (0..config.n_resamples).map(|_| resample()).collect();
    let interval = percentile_interval(values, config.level)?;
    Ok(Resampled { interval, n_redrawn: sampler.n_redrawn })
}

/// Middle `level` of the values, with linear interpolation between neighbours, as `numpy.quantile`.
pub(crate) fn percentile_interval(
    mut values: Vec<f64>,
    level: f64,
) -> Result<Interval, MetricError> {
    let n_resamples = values.len();
    values.retain(|value| value.is_finite());
    if values.is_empty() {
        return Err(MetricError::UndefinedStatistic { n_resamples });
    }
    values.sort_unstable_by(f64::total_cmp);
    let quantile = |share: f64| {
        let position = share * (values.len() - 1) as f64;
        let (below, above) = (values[position.floor() as usize], values[position.ceil() as usize]);
        below + (above - below) * position.fract()
    };
    Ok(Interval {
        lower: quantile(f64::midpoint(0.0, 1.0 - level)),
        upper: quantile(f64::midpoint(1.0, level)),
        level,
    })
}

/// Refuses a share of nothing, or of more than everything.
fn check_counts(successes: usize, n: usize, level: f64) -> Result<(), MetricError> {
    check::rate("level", level)?;
    if n == 0 {
        return Err(MetricError::Empty { name: "n" });
    }
    if successes > n {
        let expected = "at most the number of examples";
        return Err(ValueError::new("successes", successes, expected).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::ConfusionMatrix;

    #[test]
    fn wilson_stays_within_zero_and_one() {
        let none = wilson(0, 10, 0.95).unwrap();
        let all = wilson(10, 10, 0.95).unwrap();
        assert_eq!((none.lower, all.upper), (0.0, 1.0));
        assert_relative_eq!(none.upper, 1.0 - all.lower, epsilon = 1e-12);
        // z² / (n + z²), the closed form at 0 successes.
        assert_relative_eq!(none.upper, 0.277_532_799_862_889_2, epsilon = 1e-12);
    }

    #[test]
    fn clopper_pearson_has_its_closed_form_at_the_ends() {
        for n in [1, 7, 1000, 1_000_000] {
            let none = clopper_pearson(0, n, 0.9).unwrap();
            let all = clopper_pearson(n, n, 0.9).unwrap();
            let closed = -(0.05_f64.ln() / n as f64).exp_m1();
            assert_relative_eq!(none.upper, closed, max_relative = 1e-12);
            assert_relative_eq!(all.lower, 1.0 - closed, max_relative = 1e-12);
            assert_eq!((none.lower, all.upper), (0.0, 1.0));
        }
    }

    #[test]
    fn the_bootstrap_interval_of_a_constant_has_no_width() {
        let config = Bootstrap { n_resamples: 50, level: 0.9, ..Bootstrap::default() };
        let interval = bootstrap(5, &config, |_| 0.3).unwrap();
        assert_eq!(interval, Interval { lower: 0.3, upper: 0.3, level: 0.9 });
    }

    #[test]
    fn undefined_resamples_are_left_out() {
        let statistic = |indices: &[usize]| {
            if indices.contains(&0) { f64::NAN } else { indices[0] as f64 }
        };
        let config = Bootstrap { n_resamples: 200, seed: 3, ..Bootstrap::default() };
        let interval = bootstrap(4, &config, statistic).unwrap();
        assert!(interval.lower >= 1.0 && interval.upper <= 3.0);
        assert_eq!(
            bootstrap(4, &Bootstrap { n_resamples: 20, ..config }, |_| f64::NAN),
            Err(MetricError::UndefinedStatistic { n_resamples: 20 })
        );
    }

    #[test]
    fn the_bootstrap_width_of_a_mean_is_that_of_the_normal_approximation() {
        let values: Vec<f64> = (0..400).map(|i| f64::from(i % 20)).collect();
        let mean = |indices: &[usize]| {
            indices.iter().map(|&i| values[i]).sum::<f64>() / values.len() as f64
        };
        let config = Bootstrap { n_resamples: 4000, seed: 7, ..Bootstrap::default() };
        let width = |config| {
            let interval = bootstrap(values.len(), &config, mean).unwrap();
            interval.upper - interval.lower
        };
        let expected = 2.0 * 1.96 * (33.25_f64 / 400.0).sqrt();
        assert_relative_eq!(width(config), expected, max_relative = 0.06);
        // Four copies of 100 values, each a group, are as wide as 100 values.
        let groups: Vec<usize> = (0..400).map(|i| i % 100).collect();
        let of_groups = width(config.of_groups(Some(&groups)));
        assert_relative_eq!(of_groups, 2.0 * expected, max_relative = 0.06);
    }

    #[test]
    fn bad_input_is_refused() {
        assert_eq!(wilson(0, 0, 0.95), Err(MetricError::Empty { name: "n" }));
        assert!(matches!(
            wilson(3, 2, 0.95),
            Err(MetricError::Parameter(ValueError { name: "successes", .. }))
        ));
        assert!(matches!(
            wilson(1, 2, 1.0),
            Err(MetricError::Parameter(ValueError { name: "level", .. }))
        ));
        assert!(matches!(
            bootstrap(3, &Bootstrap { n_resamples: 0, ..Bootstrap::default() }, |_| 0.0),
            Err(MetricError::Parameter(ValueError { name: "n_resamples", .. }))
        ));
        for groups in [&[0, 1][..], &[0, 0, 0]] {
            let config = Bootstrap { groups: Some(groups), ..Bootstrap::default() };
            assert!(bootstrap(3, &config, |_| 0.0).is_err());
        }
        let config = Bootstrap::default();
        assert!(bootstrap_balanced_accuracy(&[0, 3], &[0, 1], 2, &config).is_err());
        let none = Bootstrap { n_resamples: 0, ..config };
        assert!(bootstrap_balanced_accuracy(&[0, 1], &[0, 1], 2, &none).is_err());
    }

    #[test]
    fn a_classifier_that_always_answers_one_class_has_no_width() {
        // Also where a class has a single example, and where groups hold it.
        let labels: Vec<usize> = (0..60).map(|i| usize::from(i == 59)).collect();
        let groups: Vec<usize> = (0..60).map(|i| i / 2).collect();
        for groups in [None, Some(groups.as_slice())] {
            let config = Bootstrap { groups, ..Bootstrap::default() };
            let found = bootstrap_balanced_accuracy(&labels, &[0; 60], 2, &config).unwrap();
            assert_eq!(found.interval, Interval { lower: 0.5, upper: 0.5, level: 0.95 });
            assert_eq!(found.n_redrawn > 0, groups.is_some());
        }
    }

    proptest! {
        #[test]
        fn the_interval_of_balanced_accuracy_is_that_of_drawing_within_classes(
            pairs in prop::collection::vec((0_usize..3, 0_usize..3), 1..40),
            seed in any::<u64>(),
        ) {
            let (labels, predictions): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
            let config = Bootstrap { n_resamples: 60, level: 0.9, seed, groups: None };
            let found = bootstrap_balanced_accuracy(&labels, &predictions, 3, &config).unwrap();
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let values = (0..60).map(|_| {
                let (mut drawn_labels, mut drawn) = (Vec::new(), Vec::new());
                for class in 0..3 {
                    let own: Vec<usize> =
                        (0..labels.len()).filter(|&i| labels[i] == class).collect();
                    for _ in &own {
                        let i = own[rng.random_range(0..own.len() as u64) as usize];
                        drawn_labels.push(labels[i]);
                        drawn.push(predictions[i]);
                    }
                }
                ConfusionMatrix::new(&drawn_labels, &drawn, 3).unwrap().balanced_accuracy()
            });
            let plain = percentile_interval(values.collect(), 0.9).unwrap();
            prop_assert!((found.interval.lower - plain.lower).abs() < 1e-12);
            prop_assert!((found.interval.upper - plain.upper).abs() < 1e-12);
            prop_assert_eq!(found.n_redrawn, 0);
        }

        #[test]
        fn clopper_pearson_leaves_half_of_alpha_on_each_side(
            n in 1_usize..60,
            share in 0.0..=1.0_f64,
            level in 0.5..0.999_f64,
        ) {
            let successes = (share * n as f64) as usize;
            let interval = clopper_pearson(successes, n, level).unwrap();
            // P(Binomial(n, p) = k), summed term by term.
            let mass = |p: f64, counts: std::ops::RangeInclusive<usize>| -> f64 {
                counts.map(|k| {
                    let choose: f64 = (0..k).map(|i| (n - i) as f64 / (k - i) as f64).product();
                    choose * p.powi(k as i32) * (1.0 - p).powi((n - k) as i32)
                }).sum()
            };
            let tail = (1.0 - level) / 2.0;
            if successes > 0 {
                prop_assert!((mass(interval.lower, successes..=n) - tail).abs() < 1e-10);
            }
            if successes < n {
                prop_assert!((mass(interval.upper, 0..=successes) - tail).abs() < 1e-10);
            }
        }

        #[test]
        fn wilson_holds_the_share_and_narrows_with_more_examples(
            n in 1_usize..500,
            share in 0.0..=1.0_f64,
        ) {
            let successes = (share * n as f64) as usize;
            let few = wilson(successes, n, 0.95).unwrap();
            let many = wilson(successes * 4, n * 4, 0.95).unwrap();
            let share = successes as f64 / n as f64;
            prop_assert!(few.lower <= share && share <= few.upper);
            prop_assert!(many.upper - many.lower < few.upper - few.lower);
        }
    }
}
