//! Agreement over seeds: whether probes that differ in nothing else say the same.

use serde::{Deserialize, Serialize};

use crate::distribution::t_half_width;
use crate::{Interval, MetricError, check};

/// How far the predictions of several seeds are the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Number of seeds.
    pub n_seeds: usize,
    /// Number of examples.
    pub n_examples: usize,
    /// Share of equal predictions of each pair, `[n_seeds, n_seeds]`, 1 on the diagonal.
    pub pairwise: Vec<Vec<f64>>,
    /// Mean share over the pairs.
    pub mean: f64,
    /// Share of the pair that agrees least.
    pub min: f64,
    /// Fleiss' kappa, the agreement beyond chance, at most 1. `None` if every prediction is of one
    /// class, where chance would agree as well.
    ///
    /// ```text
    /// κ = (P - P_e) / (1 - P_e)
    /// P = mean over examples of Σ_k n_k (n_k - 1) / (n (n - 1))      P_e = Σ_k p_k²
    /// ```
    ///
    /// With `n` seeds, of which `n_k` predict class `k` for an example, and the share `p_k` of all
    /// predictions: Fleiss, "Measuring nominal scale agreement among many raters" (1971).
    pub fleiss_kappa: Option<f64>,
}

impl Agreement {
    /// Compares the predictions of several seeds on the same examples.
    ///
    /// # Shapes
    ///
    /// - `predictions`: `[n]` of each seed
    ///
    /// # Errors
    ///
    /// - [`MetricError::TooFew`] if there are fewer than two seeds
    /// - [`MetricError::LabelOutOfRange`], [`MetricError::Empty`] or
    ///   [`MetricError::LengthMismatch`] if the slices do not fit
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::metrics::Agreement;
    ///
    /// let agreement = Agreement::new(&[&[0, 1, 1, 0], &[0, 1, 1, 1], &[0, 1, 1, 0]], 2)?;
    /// assert_eq!((agreement.min, agreement.pairwise[0][2]), (0.75, 1.0));
    /// # Ok::<(), attention_probes::metrics::MetricError>(())
    /// ```
    pub fn new(predictions: &[&[usize]], n_classes: usize) -> Result<Self, MetricError> {
        let n_seeds = predictions.len();
        if n_seeds < 2 {
            return Err(MetricError::TooFew { name: "seeds", n: n_seeds, needed: 2 });
        }
        let n_examples = predictions[0].len();
        for of_seed in predictions {
            check::not_empty("predictions", of_seed)?;
            check::length("predictions", of_seed.len(), n_examples)?;
            check::classes("predictions", of_seed, n_classes)?;
        }

        let mut pairwise = vec![vec![1.0; n_seeds]; n_seeds];
        let (mut sum, mut min) = (0.0, 1.0_f64);
        for i in 0..n_seeds {
            for j in 0..i {
                let pairs = predictions[i].iter().zip(predictions[j]);
                let share = pairs.filter(|(a, b)| a == b).count() as f64 / n_examples as f64;
                pairwise[i][j] = share;
                pairwise[j][i] = share;
                sum += share;
                min = min.min(share);
            }
        }
        // The mean over examples of the share of agreeing pairs is the mean over pairs of the
        // share of agreeing examples.
        let mean = sum / (n_seeds * (n_seeds - 1) / 2) as f64;
        Ok(Self {
            n_seeds,
            n_examples,
            pairwise,
            mean,
            min,
            fleiss_kappa: fleiss_kappa(predictions, n_classes, mean),
        })
    }
}

/// One setting over several seeds of initial weights, on the test examples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeedReport {
    /// How far the seeds predict the same.
    pub agreement: Agreement,
    /// Balanced accuracy over the seeds.
    pub balanced_accuracy: SeedSummary,
}

/// What a metric is over several seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeedSummary {
    /// Number of seeds.
    pub n_seeds: usize,
    /// Mean of the metric.
    pub mean: f64,
    /// Standard deviation of one seed, with `n_seeds - 1` in the denominator.
    pub std: f64,
    /// Student's interval of the mean. It says how the metric varies with the seed, not with the
    /// examples, and may reach past the range of the metric.
    ///
    /// ```text
    /// mean ± t std / sqrt(n_seeds)      t: quantile of n_seeds - 1 degrees of freedom
    /// ```
    pub interval: Interval,
}

impl SeedSummary {
    /// Summarises one value of each seed.
    ///
    /// # Errors
    ///
    /// - [`MetricError::TooFew`] if there are fewer than two seeds
    /// - [`MetricError::NotFinite`] if a value is NaN or infinite
    /// - [`MetricError::Parameter`] if `level` is not between 0 and 1
    /// - [`MetricError::Overflow`] if the squares of the values are too large to add
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::metrics::SeedSummary;
    ///
    /// let summary = SeedSummary::new(&[0.8, 0.9, 1.0], 0.95)?;
    /// assert!((summary.std - 0.1).abs() < 1e-12);
    /// assert!((summary.interval.lower - 0.6516).abs() < 1e-4); // 0.9 - 4.303 · 0.1 / √3
    /// # Ok::<(), attention_probes::metrics::MetricError>(())
    /// ```
    pub fn new(values: &[f64], level: f64) -> Result<Self, MetricError> {
        check::rate("level", level)?;
        check::finite("values", values)?;
        let n_seeds = values.len();
        if n_seeds < 2 {
            return Err(MetricError::TooFew { name: "seeds", n: n_seeds, needed: 2 });
        }
        let n = n_seeds as f64;
        let mean = values.iter().map(|value| value / n).sum::<f64>();
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let std = (squares / (n - 1.0)).sqrt();
        let half_width = t_half_width(level, n - 1.0) * std / n.sqrt();
        let interval = Interval { lower: mean - half_width, upper: mean + half_width, level };
        if !(interval.lower.is_finite() && interval.upper.is_finite()) {
            return Err(MetricError::Overflow { name: "interval" });
        }
        Ok(Self { n_seeds, mean, std, interval })
    }
}

/// Agreement beyond chance, given the agreement.
fn fleiss_kappa(predictions: &[&[usize]], n_classes: usize, agreement: f64) -> Option<f64> {
    let mut counts = vec![0_usize; n_classes];
    for &class in predictions.iter().copied().flatten() {
        counts[class] += 1;
    }
    let n_predictions: usize = counts.iter().sum();
    if counts.contains(&n_predictions) {
        return None;
    }
    let chance: f64 =
        counts.iter().map(|&count| (count as f64 / n_predictions as f64).powi(2)).sum();
    Some((agreement - chance) / (1.0 - chance))
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn kappa_equals_the_published_example() {
        // Ten subjects, fourteen raters, five categories: https://en.wikipedia.org/wiki/Fleiss'_kappa
        let table = [
            [0, 0, 0, 0, 14],
            [0, 2, 6, 4, 2],
            [0, 0, 3, 5, 6],
            [0, 3, 9, 2, 0],
            [2, 2, 8, 1, 1],
            [7, 7, 0, 0, 0],
            [3, 2, 6, 3, 0],
            [2, 5, 3, 2, 2],
            [6, 5, 2, 1, 0],
            [0, 2, 2, 3, 7],
        ];
        let by_subject: Vec<Vec<usize>> = table
            .iter()
            .map(|counts| {
                let ratings = counts.iter().enumerate();
                ratings.flat_map(|(class, &n)| std::iter::repeat_n(class, n)).collect()
            })
            .collect();
        let by_rater: Vec<Vec<usize>> = (0..14)
            .map(|rater| by_subject.iter().map(|ratings| ratings[rater]).collect())
            .collect();
        let by_rater: Vec<&[usize]> = by_rater.iter().map(Vec::as_slice).collect();
        let agreement = Agreement::new(&by_rater, 5).unwrap();
        assert_relative_eq!(agreement.mean, 0.378, epsilon = 5e-4);
        assert_relative_eq!(agreement.fleiss_kappa.unwrap(), 0.210, epsilon = 5e-4);
    }

    #[test]
    fn one_class_alone_has_no_kappa() {
        let agreement = Agreement::new(&[&[1, 1], &[1, 1]], 2).unwrap();
        assert_eq!((agreement.mean, agreement.fleiss_kappa), (1.0, None));
        let agreement = Agreement::new(&[&[0, 1], &[0, 1]], 2).unwrap();
        assert_eq!(agreement.fleiss_kappa, Some(1.0));
    }

    #[test]
    fn bad_input_is_refused() {
        assert_eq!(
            Agreement::new(&[&[0]], 2),
            Err(MetricError::TooFew { name: "seeds", n: 1, needed: 2 })
        );
        assert!(Agreement::new(&[&[0], &[0, 1]], 2).is_err());
        assert!(Agreement::new(&[&[0], &[2]], 2).is_err());
        assert!(Agreement::new(&[&[], &[]], 2).is_err());
        assert!(SeedSummary::new(&[0.5], 0.95).is_err());
        assert!(SeedSummary::new(&[0.5, f64::NAN], 0.95).is_err());
        assert_eq!(
            SeedSummary::new(&[-f64::MAX, f64::MAX], 0.95),
            Err(MetricError::Overflow { name: "interval" })
        );
    }

    proptest! {
        #[test]
        fn kappa_equals_its_definition(
            predictions in prop::collection::vec(prop::collection::vec(0_usize..3, 12), 2..6),
        ) {
            let seeds: Vec<&[usize]> = predictions.iter().map(Vec::as_slice).collect();
            let agreement = Agreement::new(&seeds, 3).unwrap();
            let n = seeds.len() as f64;
            let (mut within, mut totals) = (0.0, [0.0; 3]);
            for example in 0..12 {
                for (class, total) in totals.iter_mut().enumerate() {
                    let count = seeds.iter().filter(|seed| seed[example] == class).count() as f64;
                    within += count * (count - 1.0) / (n * (n - 1.0) * 12.0);
                    *total += count / (n * 12.0);
                }
            }
            prop_assert!((agreement.mean - within).abs() < 1e-12);
            prop_assert!(agreement.min <= agreement.mean + 1e-12);
            let chance: f64 = totals.iter().map(|total| total * total).sum();
            if let Some(kappa) = agreement.fleiss_kappa {
                prop_assert!((kappa - (within - chance) / (1.0 - chance)).abs() < 1e-9);
            }
        }
    }
}
