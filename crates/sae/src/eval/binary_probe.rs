//! The linear probe of SCR, TPP, and the full-width accuracies of sparse probing.

use attention_probes_errors::{Stop, ValueError};
use attention_probes_kernels::{AdamArrays, AdamStep, sigmoid};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::examples::{Example, Rows};
use crate::SaeError;

/// torch's default weight decay of `AdamW`.
const WEIGHT_DECAY: f64 = 0.01;

/// One output from a row of numbers: positive if `Σ_j weight_j x_j + bias > 0`.
#[derive(Clone, Debug, PartialEq)]
pub struct BinaryProbe {
    /// `[width]`
    pub weight: Vec<f32>,
    /// Added to the sum.
    pub bias: f32,
}

impl BinaryProbe {
    /// Share of the rows that are told right.
    pub(super) fn accuracy(&self, sources: &[Rows], examples: &[Example]) -> f64 {
        let weight: Vec<f64> = self.weight.iter().map(|w| f64::from(*w)).collect();
        accuracy(&weight, f64::from(self.bias), sources, examples)
    }
}

/// How a [`BinaryProbe`] is trained: `AdamW` on the mean binary cross-entropy of batches.
///
/// `SAEBench`'s `train_probe_gpu`. *Quirk*: the epoch that is kept is the one that is best on the
/// test data, so the accuracy that is reported is a little too good.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BinaryProbeConfig {
    /// Step size.
    pub learning_rate: f64,
    /// Rows of a step.
    pub batch_size: usize,
    /// Most passes over the rows.
    pub epochs: usize,
    /// Passes without a better test accuracy after which training ends.
    pub patience: usize,
    /// Weight of the sum of absolute weights in the loss.
    pub l1: f64,
    /// Seed of the initial weights and of the order of the rows.
    pub seed: u64,
}

impl BinaryProbeConfig {
    /// As `SAEBench` trains for SCR and TPP.
    pub fn scr_and_tpp() -> Self {
        Self { learning_rate: 1e-3, batch_size: 16, epochs: 20, patience: 20, l1: 1e-3, seed: 42 }
    }

    /// As `SAEBench` trains on all features, and on all of the model's activations.
    pub fn full_width() -> Self {
        Self { learning_rate: 1e-2, batch_size: 250, epochs: 100, patience: 10, l1: 0.0, seed: 42 }
    }

    /// Checks every field.
    fn check(&self) -> Result<(), SaeError> {
        let above_0 = |value: f64| value > 0.0 && value.is_finite();
        let checks = [
            (
                "learning_rate",
                self.learning_rate,
                above_0(self.learning_rate),
                "a finite number above 0",
            ),
            ("batch_size", self.batch_size as f64, self.batch_size > 0, "at least 1"),
            ("epochs", self.epochs as f64, self.epochs > 0, "at least 1"),
            ("l1", self.l1, self.l1 >= 0.0 && self.l1.is_finite(), "a finite number from 0 on"),
        ];
        match checks.into_iter().find(|(_, _, is_right, _)| !is_right) {
            Some((name, value, _, expected)) => Err(ValueError::new(name, value, expected).into()),
            None => Ok(()),
        }
    }
}

/// Rows, and which of them belong to a set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Split<'a> {
    pub(super) sources: &'a [Rows],
    pub(super) examples: &'a [Example],
}

/// Trains a probe, unless the signal to stop is given before a pass; returns it with its best accuracy
/// on the test data.
pub(super) fn train_binary_probe(
    train: Split<'_>,
    test: Split<'_>,
    config: &BinaryProbeConfig,
    stop: &Stop,
) -> Result<(BinaryProbe, f64), SaeError> {
    config.check()?;
    let width = train.sources.first().map_or(0, Rows::width);
    let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
    // As torch's `nn.Linear` begins.
    let bound = 1.0 / (width.max(1) as f64).sqrt();
    let mut params: Vec<f64> = (0..=width).map(|_| rng.random_range(-bound..=bound)).collect();
    let (mut first, mut second) = (vec![0.0_f64; width + 1], vec![0.0_f64; width + 1]);
    let mut gradient = vec![0.0_f64; width + 1];
    let mut order: Vec<usize> = (0..train.examples.len()).collect();
    let (mut best, mut best_accuracy) = (params.clone(), 0.0);
    let mut n_without = 0;
    let mut by = AdamStep {
        learning_rate: config.learning_rate,
        weight_decay: WEIGHT_DECAY,
        step: 0,
        ..AdamStep::default()
    };
    for _ in 0..config.epochs {
        stop.check()?;
        order.shuffle(&mut rng);
        for batch in order.chunks(config.batch_size) {
            gradient.fill(0.0);
            let (weight, bias) = params.split_at(width);
            for &i in batch {
                let Example { source, text, is_positive } = train.examples[i];
                let rows = &train.sources[source];
                let logit = rows.dot(text, weight) + bias[0];
                let error = sigmoid(logit) - f64::from(u8::from(is_positive));
                let error = error / batch.len() as f64;
                rows.visit(text, |j, value| gradient[j] += error * f64::from(value));
                gradient[width] += error;
            }
            for (g, w) in gradient.iter_mut().zip(weight) {
                *g += config.l1 * if *w == 0.0 { 0.0 } else { w.signum() };
            }
            by.step += 1;
            let (first, second) = (&mut first[..], &mut second[..]);
            AdamArrays { params: &mut params, gradient: &gradient, first, second }.step(&by);
        }
        let (weight, bias) = params.split_at(width);
        let found = accuracy(weight, bias[0], test.sources, test.examples);
        if found > best_accuracy {
            (best_accuracy, n_without) = (found, 0);
            best.clone_from(&params);
        } else {
            n_without += 1;
        }
        if n_without >= config.patience {
            break;
        }
    }
    let (weight, bias) = best.split_at(width);
    let weight = weight.iter().map(|w| *w as f32).collect();
    Ok((BinaryProbe { weight, bias: bias[0] as f32 }, best_accuracy))
}

fn accuracy(weight: &[f64], bias: f64, sources: &[Rows], examples: &[Example]) -> f64 {
    let is_right = |example: &&Example| {
        (sources[example.source].dot(example.text, weight) + bias > 0.0) == example.is_positive
    };
    examples.iter().filter(is_right).count() as f64 / examples.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_between_two_clouds_is_found() {
        let values: Vec<f32> = (0..40).flat_map(|i| [i as f32 / 20.0 - 1.0, 0.3]).collect();
        let sources = [Rows::Dense { values, width: 2 }];
        let examples: Vec<Example> =
            (0..40).map(|text| Example { source: 0, text, is_positive: text >= 26 }).collect();
        let split = Split { sources: &sources, examples: &examples };
        let config = BinaryProbeConfig { patience: 100, ..BinaryProbeConfig::full_width() };
        let config = BinaryProbeConfig { batch_size: 8, ..config };
        let (probe, found) = train_binary_probe(split, split, &config, &Stop::never()).unwrap();
        assert!(found >= 0.95, "{found}");
        assert!((probe.accuracy(&sources, &examples) - found).abs() < 1e-9);
        assert!(probe.weight[0] > 0.0 && probe.bias < 0.0);
        let again = train_binary_probe(split, split, &config, &Stop::never()).unwrap();
        assert_eq!(again.0, probe);
        let stop = Stop::new();
        stop.stop();
        let stopped = train_binary_probe(split, split, &config, &stop);
        assert!(matches!(stopped, Err(SaeError::Stopped)));
    }

    #[test]
    fn a_config_out_of_range_is_refused() {
        let split = Split { sources: &[], examples: &[] };
        let config = BinaryProbeConfig { batch_size: 0, ..BinaryProbeConfig::full_width() };
        let error = train_binary_probe(split, split, &config, &Stop::never()).unwrap_err();
        assert_eq!(error.to_string(), "`batch_size` is 0, expected at least 1");
    }
}
