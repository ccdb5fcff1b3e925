//! One linear probe for each class, kept small by L1, of the absorption evaluation.

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::SparseCodes;

/// Decay of Adam's mean of gradients, of its mean of squares, and what keeps its division finite:
/// torch's defaults.
const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// How the probes are trained whose largest weights choose features.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MultiProbeConfig {
    /// Step size at the beginning.
    pub learning_rate: f64,
    /// Step size after the last pass, reached by equal factors from pass to pass.
    pub end_learning_rate: f64,
    /// Weight of the mean over the classes of the sums of absolute weights.
    pub l1: f64,
    /// Weight of half the squared weights and biases.
    pub l2: f64,
    /// Passes over the rows.
    pub epochs: usize,
    /// Rows of a step.
    pub batch_size: usize,
    /// Seed of the initial weights and of the order of the rows.
    pub seed: u64,
}

impl Default for MultiProbeConfig {
    /// `SAEBench`'s `train_sparse_multi_probe`.
    fn default() -> Self {
        Self {
            learning_rate: 0.01,
            end_learning_rate: 1e-5,
            l1: 0.01,
            l2: 1e-6,
            epochs: 50,
            batch_size: 4096,
            seed: 42,
        }
    }
}

/// Trains one probe against the rest for each class; returns weights without biases,
/// `[n_classes, d_sae]`.
///
/// ```text
/// loss = mean over rows and classes of (y r softplus(-z) + (1 - y) softplus(z)) + l1 mean over
///        classes of Σ|w|                                           r = negative / positive rows
/// ```
///
/// Adam with the same batches for every class. A class without rows stays at its initial weights.
pub(super) fn train_multi_probe(
    codes: &SparseCodes,
    labels: &[usize],
    n_classes: usize,
    config: &MultiProbeConfig,
) -> Vec<Vec<f64>> {
    let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
    let orders: Vec<Vec<usize>> = (0..config.epochs)
        .map(|_| {
            let mut order: Vec<usize> = (0..labels.len()).collect();
            order.shuffle(&mut rng);
            order
        })
        .collect();
    let of_class = |class: usize| train_one(codes, labels, class, n_classes, &orders, config);
    (0..n_classes).into_par_iter().map(of_class).collect()
}

fn train_one(
    codes: &SparseCodes,
    labels: &[usize],
    class: usize,
    n_classes: usize,
    orders: &[Vec<usize>],
    config: &MultiProbeConfig,
) -> Vec<f64> {
    let width = codes.d_sae();
    let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
    rng.set_stream(1 + class as u64);
    let bound = 1.0 / (width as f64).sqrt();
    let mut params: Vec<f64> = (0..=width).map(|_| rng.random_range(-bound..=bound)).collect();
    let n_positive = labels.iter().filter(|label| **label == class).count() as f64;
    if n_positive > 0.0 {
        let ratio = (labels.len() as f64 - n_positive) / n_positive;
        let mut moments = vec![(0.0_f64, 0.0_f64); width + 1];
        let mut gradient = vec![0.0_f64; width + 1];
        let mut learning_rate = config.learning_rate;
        let factor = (config.end_learning_rate / config.learning_rate)
            .powf(1.0 / config.epochs.max(1) as f64);
        let mut step = 0_i32;
        for order in orders {
            for batch in order.chunks(config.batch_size.max(1)) {
                gradient.fill(0.0);
                let scale = 1.0 / (batch.len() * n_classes) as f64;
                for &row in batch {
                    let (features, values) = codes.row(row);
                    let terms = features.iter().zip(values);
                    let logit = terms.clone().map(|(f, x)| params[*f as usize] * f64::from(*x));
                    let p = 1.0 / (1.0 + (-(logit.sum::<f64>() + params[width])).exp());
                    let error = scale * if labels[row] == class { -ratio * (1.0 - p) } else { p };
                    terms.for_each(|(f, x)| gradient[*f as usize] += error * f64::from(*x));
                    gradient[width] += error;
                }
                step = step.saturating_add(1);
                let scales = [1.0 - BETA_1.powi(step), 1.0 - BETA_2.powi(step)];
                let all = params.iter_mut().zip(&mut moments).zip(&gradient).enumerate();
                for (i, ((w, (m, v)), g)) in all {
                    let sign = if i == width || *w == 0.0 { 0.0 } else { w.signum() };
                    let g = g + config.l1 * sign / n_classes as f64 + config.l2 * *w;
                    *m = BETA_1 * *m + (1.0 - BETA_1) * g;
                    *v = BETA_2 * *v + (1.0 - BETA_2) * g * g;
                    let deviation = (*v / scales[1]).sqrt() + EPSILON;
                    *w -= learning_rate * *m / scales[0] / deviation;
                }
            }
            learning_rate *= factor;
        }
    }
    params.truncate(width);
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_weighs_its_own_feature_most() {
        let mut codes = SparseCodes::new(6);
        let labels: Vec<usize> = (0..90).map(|row| row % 3).collect();
        for (row, label) in labels.iter().enumerate() {
            let mut features = vec![(*label as u32, 2.0), (3 + (row % 2) as u32, 1.0)];
            features.sort_unstable_by_key(|(feature, _)| *feature);
            codes.push_row(features);
        }
        let config = MultiProbeConfig { batch_size: 10, ..MultiProbeConfig::default() };
        let weights = train_multi_probe(&codes, &labels, 4, &config);
        for (class, weights) in weights.iter().enumerate().take(3) {
            let largest = weights.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
            assert_eq!(largest.0, class);
            // What is never active shrinks to nothing.
            assert!(weights[5].abs() < 0.01, "{weights:?}");
        }
        assert!(weights[3].iter().all(|w| w.abs() <= 0.41));
    }
}
