//! Metrics of predicted numbers: errors, explained variance, and correlations.

use serde::{Deserialize, Serialize};

use crate::{Bootstrap, Interval, MetricError, bootstrap, check};

/// Mean squared error.
///
/// # Errors
///
/// - [`MetricError::NotFinite`], [`MetricError::Empty`] or [`MetricError::LengthMismatch`] if the
///   slices do not fit
/// - [`MetricError::Overflow`] if the squares are too large to add
pub fn mean_squared_error(targets: &[f64], predictions: &[f64]) -> Result<f64, MetricError> {
    check_pairs(["targets", "predictions"], targets, predictions)?;
    let sum: f64 = targets.iter().zip(predictions).map(|(t, p)| (t - p).powi(2)).sum();
    check_overflow("mean_squared_error", sum / targets.len() as f64)
}

/// Mean absolute error.
///
/// # Errors
///
/// - [`MetricError::NotFinite`], [`MetricError::Empty`] or [`MetricError::LengthMismatch`] if the
///   slices do not fit
/// - [`MetricError::Overflow`] if the errors are too large to add
pub fn mean_absolute_error(targets: &[f64], predictions: &[f64]) -> Result<f64, MetricError> {
    check_pairs(["targets", "predictions"], targets, predictions)?;
    let sum: f64 = targets.iter().zip(predictions).map(|(t, p)| (t - p).abs()).sum();
    check_overflow("mean_absolute_error", sum / targets.len() as f64)
}

/// Coefficient of determination: the share of the targets' variance that the predictions explain.
///
/// ```text
/// R² = 1 - Σ_i (t_i - p_i)² / Σ_i (t_i - mean t)²
/// ```
///
/// At most 1, 0 for always predicting the mean, and below 0 for anything worse.
///
/// # Errors
///
/// - [`MetricError::Constant`] if the targets are all alike, one target among them
/// - [`MetricError::NotFinite`], [`MetricError::Empty`] or [`MetricError::LengthMismatch`] if the
///   slices do not fit
/// - [`MetricError::Overflow`] if the squares are too large to add
///
/// # Examples
///
/// ```
/// use attention_probes::metrics::r_squared;
///
/// assert_eq!(r_squared(&[1.0, 2.0, 3.0], &[1.0, 2.0, 4.0])?, 0.5);
/// # Ok::<(), attention_probes::metrics::MetricError>(())
/// ```
pub fn r_squared(targets: &[f64], predictions: &[f64]) -> Result<f64, MetricError> {
    check_pairs(["targets", "predictions"], targets, predictions)?;
    if is_constant(targets.iter().copied()) {
        return Err(MetricError::Constant { name: "targets" });
    }
    let pairs: Vec<(f64, f64)> = targets.iter().copied().zip(predictions.iter().copied()).collect();
    check_overflow("r_squared", explained_share(&pairs))
}

/// Percentile bootstrap interval of [`r_squared`].
///
/// Resamples whose targets are all alike are left out.
///
/// # Errors
///
/// Those of [`r_squared`] and of [`bootstrap`](crate::bootstrap).
pub fn bootstrap_r_squared(
    targets: &[f64],
    predictions: &[f64],
    config: &Bootstrap<'_>,
) -> Result<Interval, MetricError> {
    r_squared(targets, predictions)?;
    let mut pairs = Vec::with_capacity(targets.len());
    bootstrap(targets.len(), config, |indices| {
        pairs.clear();
        pairs.extend(indices.iter().map(|&i| (targets[i], predictions[i])));
        if is_constant(pairs.iter().map(|pair| pair.0)) {
            return f64::NAN;
        }
        explained_share(&pairs)
    })
}

/// Pearson's correlation: how well a straight line fits, from -1 to 1.
///
/// ```text
/// r = Σ_i (x_i - mean x)(y_i - mean y) / sqrt(Σ_i (x_i - mean x)² Σ_i (y_i - mean y)²)
/// ```
///
/// # Errors
///
/// - [`MetricError::Constant`] if one of the two is all alike
/// - [`MetricError::NotFinite`], [`MetricError::Empty`] or [`MetricError::LengthMismatch`] if the
///   slices do not fit
pub fn pearson(x: &[f64], y: &[f64]) -> Result<f64, MetricError> {
    check_pairs(["x", "y"], x, y)?;
    let (x, y) = (deviations("x", x)?, deviations("y", y)?);
    let sum = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let correlation = sum(&x, &y) / (sum(&x, &x) * sum(&y, &y)).sqrt();
    Ok(correlation.clamp(-1.0, 1.0))
}

/// Spearman's correlation: [`pearson`] of the ranks, tied values sharing their mean rank.
///
/// # Errors
///
/// - [`MetricError::Constant`] if one of the two is all alike
/// - [`MetricError::NotFinite`], [`MetricError::Empty`] or [`MetricError::LengthMismatch`] if the
///   slices do not fit
///
/// # Examples
///
/// ```
/// use attention_probes::metrics::spearman;
///
/// assert_eq!(spearman(&[1.0, 2.0, 3.0, 4.0], &[0.1, 0.2, 90.0, 1e9])?, 1.0);
/// # Ok::<(), attention_probes::metrics::MetricError>(())
/// ```
pub fn spearman(x: &[f64], y: &[f64]) -> Result<f64, MetricError> {
    check_pairs(["x", "y"], x, y)?;
    pearson(&mean_ranks(x), &mean_ranks(y))
}

/// What a regression's predictions are worth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegressionReport {
    /// Number of examples.
    pub n_examples: usize,
    /// Mean squared error.
    pub mean_squared_error: f64,
    /// Mean absolute error.
    pub mean_absolute_error: f64,
    /// Share of the targets' variance that is explained, at most 1.
    pub r_squared: f64,
    /// Bootstrap interval of `r_squared`, 95 %, 1000 resamples.
    pub r_squared_interval: Interval,
    /// Pearson's correlation. `None` if every prediction is the same.
    pub pearson: Option<f64>,
    /// Spearman's correlation. `None` if every prediction is the same.
    pub spearman: Option<f64>,
}

impl RegressionReport {
    /// Computes every metric; `bootstrap` says how the resamples are drawn.
    ///
    /// # Errors
    ///
    /// Those of [`bootstrap_r_squared`].
    pub fn new(
        targets: &[f64],
        predictions: &[f64],
        bootstrap: &Bootstrap<'_>,
    ) -> Result<Self, MetricError> {
        let defined = |correlation: Result<f64, MetricError>| match correlation {
            Err(MetricError::Constant { name: "y" }) => Ok(None),
            other => other.map(Some),
        };
        Ok(Self {
            n_examples: targets.len(),
            mean_squared_error: mean_squared_error(targets, predictions)?,
            mean_absolute_error: mean_absolute_error(targets, predictions)?,
            r_squared: r_squared(targets, predictions)?,
            r_squared_interval: bootstrap_r_squared(targets, predictions, bootstrap)?,
            pearson: defined(pearson(targets, predictions))?,
            spearman: defined(spearman(targets, predictions))?,
        })
    }
}

fn check_pairs(names: [&'static str; 2], x: &[f64], y: &[f64]) -> Result<(), MetricError> {
    check::not_empty(names[0], x)?;
    check::length(names[1], y.len(), x.len())?;
    check::finite(names[0], x)?;
    check::finite(names[1], y)
}

fn check_overflow(name: &'static str, value: f64) -> Result<f64, MetricError> {
    if value.is_finite() { Ok(value) } else { Err(MetricError::Overflow { name }) }
}

fn is_constant(mut values: impl Iterator<Item = f64>) -> bool {
    let first = values.next();
    values.all(|value| Some(value) == first)
}

/// R² of pairs of target and prediction whose targets are not all alike.
fn explained_share(pairs: &[(f64, f64)]) -> f64 {
    let n = pairs.len() as f64;
    let mean = pairs.iter().map(|(target, _)| target / n).sum::<f64>();
    let (mut residual, mut total) = (0.0, 0.0);
    for (target, prediction) in pairs {
        residual += (target - prediction).powi(2);
        total += (target - mean).powi(2);
    }
    // An infinite sum would otherwise pass as a share of 0 or 1.
    if residual.is_finite() && total.is_finite() { 1.0 - residual / total } else { f64::NAN }
}

/// Differences from the mean, the largest of them 1, so that no square overflows or vanishes.
fn deviations(name: &'static str, values: &[f64]) -> Result<Vec<f64>, MetricError> {
    if is_constant(values.iter().copied()) {
        return Err(MetricError::Constant { name });
    }
    let n = values.len() as f64;
    let largest = values.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    let mean = values.iter().map(|value| value / largest / n).sum::<f64>();
    let deviations: Vec<f64> = values.iter().map(|value| value / largest - mean).collect();
    let largest = deviations.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    Ok(deviations.iter().map(|deviation| deviation / largest).collect())
}

/// Rank of each value from 1 on, tied ones sharing the mean of their ranks.
fn mean_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut n_before = 0;
    for tie in order.chunk_by(|&i, &j| values[i] >= values[j]) {
        let rank = n_before as f64 + f64::midpoint(1.0, tie.len() as f64);
        for &i in tie {
            ranks[i] = rank;
        }
        n_before += tie.len();
    }
    ranks
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn errors_equal_the_values_worked_out_by_hand() {
        let (targets, predictions) = ([1.0, 2.0, 3.0], [1.0, 4.0, 2.0]);
        assert_relative_eq!(mean_squared_error(&targets, &predictions).unwrap(), 5.0 / 3.0);
        assert_relative_eq!(mean_absolute_error(&targets, &predictions).unwrap(), 1.0);
        assert_relative_eq!(r_squared(&targets, &predictions).unwrap(), 1.0 - 5.0 / 2.0);
        assert_relative_eq!(r_squared(&targets, &[2.0; 3]).unwrap(), 0.0);
    }

    #[test]
    fn constant_values_are_refused() {
        // The mean of these is not 0.1, so their variance would come out above 0.
        let targets = [0.1; 10];
        let predictions: Vec<f64> = (0..10).map(f64::from).collect();
        assert_eq!(
            r_squared(&targets, &predictions),
            Err(MetricError::Constant { name: "targets" })
        );
        assert_eq!(pearson(&predictions, &targets), Err(MetricError::Constant { name: "y" }));
        assert_eq!(spearman(&targets, &predictions), Err(MetricError::Constant { name: "x" }));
        let report = RegressionReport::new(&predictions, &targets, &Bootstrap::default()).unwrap();
        assert_eq!((report.pearson, report.spearman), (None, None));
        assert!(report.r_squared < 0.0);
    }

    #[test]
    fn bad_input_is_refused() {
        assert_eq!(mean_squared_error(&[], &[]), Err(MetricError::Empty { name: "targets" }));
        assert!(mean_absolute_error(&[1.0], &[1.0, 2.0]).is_err());
        assert!(matches!(
            r_squared(&[1.0, 2.0], &[1.0, f64::INFINITY]),
            Err(MetricError::NotFinite { name: "predictions", index: 1, .. })
        ));
        let huge = [f64::MAX, -f64::MAX];
        assert_eq!(
            mean_squared_error(&huge, &[0.0; 2]),
            Err(MetricError::Overflow { name: "mean_squared_error" })
        );
        assert_eq!(r_squared(&huge, &[0.0; 2]), Err(MetricError::Overflow { name: "r_squared" }));
        assert_eq!(pearson(&huge, &[1e-300, 0.0]), Ok(1.0));
        let none = Bootstrap { n_resamples: 0, ..Bootstrap::default() };
        assert!(bootstrap_r_squared(&[1.0, 2.0], &[1.0, 2.0], &none).is_err());
    }

    #[test]
    fn tied_values_share_their_mean_rank() {
        assert_eq!(mean_ranks(&[3.0, 1.0, 3.0, -0.0, 0.0]), [4.5, 3.0, 4.5, 1.5, 1.5]);
    }

    #[test]
    fn the_interval_holds_the_share() {
        let targets: Vec<f64> = (0..200).map(|i| f64::from(i % 17)).collect();
        let predictions: Vec<f64> = (0..200).map(|i| f64::from(i % 17 + i % 5)).collect();
        let report = RegressionReport::new(&targets, &predictions, &Bootstrap::default()).unwrap();
        let interval = report.r_squared_interval;
        assert!(interval.lower < report.r_squared && report.r_squared < interval.upper);
        assert!(interval.upper - interval.lower < 0.1);
    }

    proptest! {
        #[test]
        fn correlations_equal_their_definitions(
            pairs in prop::collection::vec((-9_i32..9, -9_i32..9), 2..40),
        ) {
            let x: Vec<f64> = pairs.iter().map(|pair| f64::from(pair.0)).collect();
            let y: Vec<f64> = pairs.iter().map(|pair| f64::from(pair.1)).collect();
            prop_assume!(!is_constant(x.iter().copied()) && !is_constant(y.iter().copied()));
            // Covariance over pairs of examples, and ranks by counting.
            let plain = |x: &[f64], y: &[f64]| {
                let [mut xy, mut xx, mut yy] = [0.0; 3];
                for i in 0..x.len() {
                    for j in 0..x.len() {
                        xy += (x[i] - x[j]) * (y[i] - y[j]);
                        xx += (x[i] - x[j]).powi(2);
                        yy += (y[i] - y[j]).powi(2);
                    }
                }
                xy / (xx * yy).sqrt()
            };
            let ranks = |values: &[f64]| -> Vec<f64> {
                let rank = |value: &f64| {
                    let below = values.iter().filter(|other| *other < value).count() as f64;
                    let equal = values.iter().filter(|other| *other == value).count() as f64;
                    below + f64::midpoint(equal, 1.0)
                };
                values.iter().map(rank).collect()
            };
            prop_assert!((pearson(&x, &y).unwrap() - plain(&x, &y)).abs() < 1e-12);
            prop_assert_eq!(mean_ranks(&x), ranks(&x));
            let expected = plain(&ranks(&x), &ranks(&y));
            prop_assert!((spearman(&x, &y).unwrap() - expected).abs() < 1e-12);
        }

        #[test]
        fn the_scale_of_the_numbers_changes_no_share(
            pairs in prop::collection::vec((-1.0..1.0_f64, -1.0..1.0_f64), 3..40),
            scale in 1e-3..1e3_f64,
        ) {
            let (targets, predictions): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let scaled = |values: &[f64]| values.iter().map(|v| v * scale).collect::<Vec<f64>>();
            let (t, p) = (scaled(&targets), scaled(&predictions));
            let (before, after) = (r_squared(&targets, &predictions), r_squared(&t, &p));
            let (before, after) = (before.unwrap(), after.unwrap());
            prop_assert!((before - after).abs() <= 1e-9 * before.abs().max(1.0));
        }
    }
}
