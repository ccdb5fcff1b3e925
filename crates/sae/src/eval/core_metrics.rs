//! The core evaluation: sparsity, reconstruction, shrinkage, and how often features are active.

use serde::Serialize;

use super::texts::check_width;
use crate::{Sae, SaeError};

/// Norms below this are not divided by.
const SMALLEST_NORM: f64 = 1e-4;

/// A batch of activations for [`CoreEvaluator::add`].
#[derive(Clone, Copy, Debug)]
pub struct CoreBatch<'a> {
    /// `[n, d_in]`, the positions of all texts one behind the other.
    pub activations: &'a [f32],
    /// Positions of each text; together `n`.
    pub lengths: &'a [usize],
    /// Whether each position counts, `[n]`; special tokens do not in `SAEBench`. All do if there is
    /// none.
    pub counted: Option<&'a [bool]>,
}

/// Means over tokens, under `SAEBench`'s names where it has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct CoreMetrics {
    /// Number of tokens that counted.
    pub n_tokens: usize,
    /// `Σ_f [f ≠ 0]`
    pub l0: f64,
    /// `Σ_f f`, with its sign.
    pub l1: f64,
    /// `‖x‖`
    pub l2_norm_in: f64,
    /// `‖x̂‖`
    pub l2_norm_out: f64,
    /// `‖x̂‖ / ‖x‖`, or `‖x̂‖` where `‖x‖ < 1e-4`.
    pub l2_ratio: f64,
    /// `mean ‖x̂‖² / mean x·x̂` of each batch, mean over batches: 1 if nothing shrinks.
    ///
    /// Rajamanoharan et al., arXiv 2404.16014, equation 10.
    pub relative_reconstruction_bias: f64,
    /// `‖x - x̂‖²` by the number of tokens of the batch, mean over tokens.
    ///
    /// *Quirk* of `SAEBench`: so the number of tokens of a batch divides it twice.
    pub mse: f64,
    /// `‖x - x̂‖²`, mean over tokens.
    pub squared_error: f64,
    /// `x·x̂ / (‖x‖ ‖x̂‖)`; tokens where either is 0 are left out, which `SAEBench` makes NaN.
    pub cossim: f64,
    /// `1 - mean ‖x - x̂‖² / (mean ‖x‖² - (mean x_d²)²)`, the last over all tokens and places;
    /// means of means of batches.
    ///
    /// *Quirk* of `SAEBench` 0.6.0: it squares activations before it takes their mean, so this is
    /// no share of a variance and can exceed 1. [`CoreMetrics::explained_variance_r2`] is right.
    pub explained_variance: f64,
    /// `1 - ‖x - x̂‖² / ‖x - mean of the batch‖²` of each token, mean over tokens.
    pub explained_variance_legacy: f64,
    /// `1 - Σ ‖x - x̂‖² / Σ ‖x - mean x‖²` over all tokens, the textbook's R².
    pub explained_variance_r2: f64,
    /// Share of features that were active at all.
    pub frac_alive: f64,
    /// Share of features that were active on more than 1 % of the tokens.
    pub freq_over_1_percent: f64,
    /// Share of features that were active on more than 10 % of the tokens.
    pub freq_over_10_percent: f64,
    /// Share of all activity that is of features active on more than 1 % of the tokens.
    pub normalized_freq_over_1_percent: f64,
    /// Share of all activity that is of features active on more than 10 % of the tokens.
    pub normalized_freq_over_10_percent: f64,
}

/// How often each feature was active.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FeatureFrequency {
    /// Share of the tokens on which it was above 0, `[d_sae]`.
    pub feature_density: Vec<f64>,
    /// Tokens on which it was above 0, by the texts in which it was; NaN if in none, `[d_sae]`.
    pub consistent_activation_heuristic: Vec<f64>,
}

impl FeatureFrequency {
    /// Features that were never active.
    pub fn dead(&self) -> impl Iterator<Item = u32> + '_ {
        let densities = self.feature_density.iter().enumerate();
        densities.filter(|(_, density)| **density <= 0.0).map(|(feature, _)| feature as u32)
    }

    /// Features that were active on more than a share of the tokens.
    pub fn dense(&self, above: f64) -> impl Iterator<Item = u32> + '_ {
        let densities = self.feature_density.iter().enumerate();
        densities.filter(move |(_, density)| **density > above).map(|(feature, _)| feature as u32)
    }
}

/// Measures an autoencoder batch by batch.
///
/// `SAEBench` 0.6.0, `core/main.py`, with sums in `f64`. Some of its means are means of batches, so
/// only the same batches give the same figures.
///
/// # Memory
///
/// Some numbers for each feature and each place of the activation.
///
/// # Examples
///
/// ```
/// use attention_probes::sae::{Sae, SaeActivation, SaeConfig, eval::{CoreBatch, CoreEvaluator}};
///
/// let sae = Sae {
///     config: SaeConfig::new(2, 2),
///     activation: SaeActivation::Standard { b_enc: vec![0.0; 2] },
///     encoder: vec![1.0, 0.0, 0.0, 1.0],
///     decoder: vec![1.0, 0.0, 0.0, 1.0],
///     b_dec: vec![0.0; 2],
/// };
/// let mut evaluator = CoreEvaluator::new(&sae);
/// let activations = [3.0, 4.0, 0.0, 1.0];
/// evaluator.add(CoreBatch { activations: &activations, lengths: &[2], counted: None })?;
/// let (metrics, _) = evaluator.finish()?;
/// assert_eq!((metrics.l0, metrics.explained_variance_r2), (1.5, 1.0));
/// # Ok::<(), attention_probes::sae::SaeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct CoreEvaluator<'a> {
    sae: &'a Sae,
    n_tokens: usize,
    n_batches: usize,
    /// Sums over tokens, or over batches where the name of the metric says so.
    sums: CoreMetrics,
    n_directed: usize,
    /// Over batches: means of `‖x‖²`, of `x_d²` over all places, and of `‖x - x̂‖²`.
    batch_means: [f64; 3],
    /// A token from which deviations are taken, so that a far mean costs no digits.
    origin: Vec<f32>,
    /// Sums of deviations, `[d_in]`.
    deviations: Vec<f64>,
    /// Sum of squared deviations.
    squares: f64,
    n_active: Vec<u64>,
    n_texts: Vec<u64>,
}

impl<'a> CoreEvaluator<'a> {
    /// Begins without tokens.
    pub fn new(sae: &'a Sae) -> Self {
        Self {
            sae,
            n_tokens: 0,
            n_batches: 0,
            sums: CoreMetrics::default(),
            n_directed: 0,
            batch_means: [0.0; 3],
            origin: Vec::new(),
            deviations: vec![0.0; sae.config.d_in],
            squares: 0.0,
            n_active: vec![0; sae.config.d_sae],
            n_texts: vec![0; sae.config.d_sae],
        }
    }

    /// Measures a batch; one without a token that counts changes nothing.
    ///
    /// # Errors
    ///
    /// [`SaeError::SizeMismatch`] if lengths or marks do not fit the activations, or those do not
    /// fit the autoencoder.
    ///
    /// # Memory
    ///
    /// Codes and reconstructions of the batch.
    pub fn add(&mut self, batch: CoreBatch<'_>) -> Result<(), SaeError> {
        let d_in = self.sae.config.d_in;
        let n: usize = batch.lengths.iter().sum();
        if batch.activations.len() != n * d_in {
            let what = "the number of activations of the texts";
            let (found, expected) = (batch.activations.len(), n * d_in);
            return Err(SaeError::SizeMismatch { what, found, expected });
        }
        if let Some(found) = batch.counted.map(<[bool]>::len).filter(|found| *found != n) {
            let what = "the number of marks of tokens that count";
            return Err(SaeError::SizeMismatch { what, found, expected: n });
        }
        let counts = |row: usize| batch.counted.is_none_or(|counted| counted[row]);
        let rows: Vec<usize> = (0..n).filter(|row| counts(*row)).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let encoded = self.sae.encode(batch.activations)?;
        let decoded = self.sae.decode(&encoded);
        let row_of = |values: &'_ [f32], row: usize| -> Vec<f64> {
            values[row * d_in..][..d_in].iter().map(|x| f64::from(*x)).collect()
        };
        self.add_reconstructions(
            rows.iter().map(|row| (row_of(batch.activations, *row), row_of(&decoded, *row))),
        );
        let mut last_text = vec![usize::MAX; self.n_active.len()];
        let mut row = 0;
        for (text, length) in batch.lengths.iter().enumerate() {
            for row in (row..row + length).filter(|row| counts(*row)) {
                let (features, values) = encoded.codes.row(row);
                self.sums.l0 += features.len() as f64;
                self.sums.l1 += values.iter().map(|value| f64::from(*value)).sum::<f64>();
                for feature in features.iter().zip(values).filter(|(_, f)| **f > 0.0) {
                    let feature = *feature.0 as usize;
                    self.n_active[feature] += 1;
                    self.n_texts[feature] += u64::from(last_text[feature] != text);
                    last_text[feature] = text;
                }
            }
            row += length;
        }
        Ok(())
    }

    /// Adds the tokens of a batch, each with its reconstruction.
    fn add_reconstructions(&mut self, pairs: impl Iterator<Item = (Vec<f64>, Vec<f64>)>) {
        let d_in = self.sae.config.d_in;
        let pairs: Vec<(Vec<f64>, Vec<f64>)> = pairs.collect();
        let n = pairs.len() as f64;
        let mut mean = vec![0.0; d_in];
        for (x, _) in &pairs {
            mean.iter_mut().zip(x).for_each(|(mean, x)| *mean += x / n);
        }
        if self.origin.is_empty() {
            self.origin = mean.iter().map(|mean| *mean as f32).collect();
        }
        let (mut squares_in, mut squares_out, mut products, mut errors) = (0.0, 0.0, 0.0, 0.0);
        for (x, x_hat) in &pairs {
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let squared_distance = |a: &[f64], b: &[f64]| -> f64 {
                a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
            };
            let (of_x, of_x_hat, product) = (dot(x, x), dot(x_hat, x_hat), dot(x, x_hat));
            let (norm_in, norm_out) = (of_x.sqrt(), of_x_hat.sqrt());
            let error = squared_distance(x, x_hat);
            squares_in += of_x;
            squares_out += of_x_hat;
            products += product;
            errors += error;
            let sums = &mut self.sums;
            sums.l2_norm_in += norm_in;
            sums.l2_norm_out += norm_out;
            sums.l2_ratio += norm_out / if norm_in < SMALLEST_NORM { 1.0 } else { norm_in };
            sums.mse += error / n;
            sums.squared_error += error;
            sums.explained_variance_legacy += 1.0 - error / squared_distance(x, &mean);
            if norm_in > 0.0 && norm_out > 0.0 {
                sums.cossim += product / (norm_in * norm_out);
                self.n_directed += 1;
            }
            for ((sum, x), origin) in self.deviations.iter_mut().zip(x).zip(&self.origin) {
                let deviation = x - f64::from(*origin);
                *sum += deviation;
                self.squares += deviation * deviation;
            }
        }
        self.sums.relative_reconstruction_bias += squares_out / products;
        let means = [squares_in / n, squares_in / (n * d_in as f64), errors / n];
        self.batch_means.iter_mut().zip(means).for_each(|(sum, mean)| *sum += mean);
        self.n_tokens += pairs.len();
        self.n_batches += 1;
    }

    /// The metrics of all batches, and how often each feature was active.
    ///
    /// # Errors
    ///
    /// [`SaeError::NoTokens`] if no token counted.
    pub fn finish(self) -> Result<(CoreMetrics, FeatureFrequency), SaeError> {
        if self.n_tokens == 0 {
            return Err(SaeError::NoTokens);
        }
        let (n, n_batches) = (self.n_tokens as f64, self.n_batches as f64);
        let [square, square_of_place, error] = self.batch_means.map(|sum| sum / n_batches);
        let variance = self.squares - self.deviations.iter().map(|sum| sum * sum / n).sum::<f64>();
        let sums = self.sums;
        let feature_density: Vec<f64> = self.n_active.iter().map(|k| *k as f64 / n).collect();
        let consistent = self.n_active.iter().zip(&self.n_texts);
        let consistent_activation_heuristic =
            consistent.map(|(active, texts)| *active as f64 / *texts as f64).collect();
        let total: f64 = feature_density.iter().sum();
        let over = |bound: f64| feature_density.iter().filter(move |density| **density > bound);
        let share = |bound| over(bound).count() as f64 / feature_density.len() as f64;
        let weighed = |bound| if total > 0.0 { over(bound).sum::<f64>() / total } else { 0.0 };
        let metrics = CoreMetrics {
            n_tokens: self.n_tokens,
            l0: sums.l0 / n,
            l1: sums.l1 / n,
            l2_norm_in: sums.l2_norm_in / n,
            l2_norm_out: sums.l2_norm_out / n,
            l2_ratio: sums.l2_ratio / n,
            relative_reconstruction_bias: sums.relative_reconstruction_bias / n_batches,
            mse: sums.mse / n,
            squared_error: sums.squared_error / n,
            cossim: sums.cossim / self.n_directed as f64,
            explained_variance: 1.0 - error / (square - square_of_place * square_of_place),
            explained_variance_legacy: sums.explained_variance_legacy / n,
            explained_variance_r2: 1.0 - sums.squared_error / variance,
            frac_alive: share(0.0),
            freq_over_1_percent: share(0.01),
            freq_over_10_percent: share(0.1),
            normalized_freq_over_1_percent: weighed(0.01),
            normalized_freq_over_10_percent: weighed(0.1),
        };
        Ok((metrics, FeatureFrequency { feature_density, consistent_activation_heuristic }))
    }
}

/// Measures activations as one batch, each position a text of its own.
///
/// # Errors
///
/// As [`CoreEvaluator::add`], and [`SaeError::NoTokens`] if there are none.
pub fn core_metrics(sae: &Sae, activations: &[f32]) -> Result<CoreMetrics, SaeError> {
    let d_in = sae.config.d_in;
    if !activations.len().is_multiple_of(d_in) {
        check_width(sae, activations.len() % d_in)?;
    }
    let lengths = vec![1; activations.len() / d_in];
    let mut evaluator = CoreEvaluator::new(sae);
    evaluator.add(CoreBatch { activations, lengths: &lengths, counted: None })?;
    Ok(evaluator.finish()?.0)
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;

    use super::*;
    use crate::eval::testing::identity_sae;

    #[test]
    fn figures_of_two_tokens_are_those_by_hand() {
        // x̂ = max(x, 0): [3, 0] and [0, 1].
        let metrics = core_metrics(&identity_sae(2, 0.0), &[3.0, -4.0, 0.0, 1.0]).unwrap();
        assert_relative_eq!(metrics.l0, 1.0);
        assert_relative_eq!(metrics.l1, 2.0);
        assert_relative_eq!(metrics.squared_error, 8.0); // (16 + 0) / 2
        assert_relative_eq!(metrics.mse, 4.0);
        assert_relative_eq!(metrics.cossim, 0.8);
        assert_relative_eq!(metrics.l2_ratio, 0.8);
        assert_relative_eq!(metrics.relative_reconstruction_bias, 1.0);
        assert_relative_eq!(metrics.explained_variance, 1.0 - 8.0 / (13.0 - 6.5 * 6.5));
        // Both tokens are (1.5² + 2.5²) = 8.5 away from the mean (1.5, -1.5).
        assert_relative_eq!(metrics.explained_variance_legacy, 1.0 - 8.0 / 8.5);
        assert_relative_eq!(metrics.explained_variance_r2, 1.0 - 16.0 / 17.0);
    }

    #[test]
    fn batches_add_up_where_a_mean_is_over_tokens() {
        let sae = identity_sae(3, 0.1);
        let x: Vec<f32> = (0..60).map(|i| 100.0 + ((i * 37) % 11) as f32 - 5.0).collect();
        let whole = core_metrics(&sae, &x).unwrap();
        let mut evaluator = CoreEvaluator::new(&sae);
        for part in x.chunks(21) {
            let lengths = vec![1; part.len() / 3];
            let batch = CoreBatch { activations: part, lengths: &lengths, counted: None };
            evaluator.add(batch).unwrap();
        }
        let (parts, _) = evaluator.finish().unwrap();
        for metric in [
            |m: &CoreMetrics| m.l0,
            |m: &CoreMetrics| m.squared_error,
            |m: &CoreMetrics| m.explained_variance_r2,
            |m: &CoreMetrics| m.cossim,
        ] {
            assert_relative_eq!(metric(&whole), metric(&parts), max_relative = 1e-9);
        }
    }

    #[test]
    fn features_are_counted_by_token_and_by_text() {
        let sae = identity_sae(3, 0.0);
        let activations = [1.0, 0.0, 0.0, 2.0, 0.0, 1.0, 3.0, 0.0, 0.0, 9.0, 9.0, 9.0];
        let counted = [true, true, true, false];
        let mut evaluator = CoreEvaluator::new(&sae);
        let batch =
            CoreBatch { activations: &activations, lengths: &[2, 2], counted: Some(&counted) };
        evaluator.add(batch).unwrap();
        let (metrics, activity) = evaluator.finish().unwrap();
        assert_eq!(activity.feature_density, [1.0, 0.0, 1.0 / 3.0]);
        assert_relative_eq!(activity.consistent_activation_heuristic[0], 1.5);
        assert!(activity.consistent_activation_heuristic[1].is_nan());
        assert_eq!(activity.dead().collect::<Vec<_>>(), [1]);
        assert_eq!(activity.dense(0.5).collect::<Vec<_>>(), [0]);
        assert_relative_eq!(metrics.frac_alive, 2.0 / 3.0);
        assert_relative_eq!(metrics.normalized_freq_over_10_percent, 1.0);
    }

    #[test]
    fn no_tokens_and_sizes_that_do_not_fit_are_refused() {
        let sae = identity_sae(2, 0.0);
        assert!(matches!(CoreEvaluator::new(&sae).finish(), Err(SaeError::NoTokens)));
        let batch = CoreBatch { activations: &[1.0; 4], lengths: &[1], counted: None };
        let error = CoreEvaluator::new(&sae).add(batch).unwrap_err();
        assert!(matches!(error, SaeError::SizeMismatch { found: 4, expected: 2, .. }), "{error}");
        assert!(core_metrics(&sae, &[1.0; 3]).is_err());
    }
}
