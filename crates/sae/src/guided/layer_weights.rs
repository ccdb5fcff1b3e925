//! Weights of layers under a softmax whose temperature falls.

use attention_probes_kernels::{AdamArrays, AdamStep, softmax};
use serde::{Deserialize, Serialize};

use super::config::LayerWeighting;

/// Steps from one update of the weights to the next.
pub(super) const LAYER_STEPS: u64 = 10;

/// Step size of Adam.
const LEARNING_RATE: f64 = 0.02;
/// Decay rates of Adam.
const BETAS: [f64; 2] = [0.9, 0.99];

/// `T(step) = exp(-step/1000) + 0.5`: 1.5 at the beginning, 0.868 after 1000 steps, 0.507 after
/// 5000.
pub fn temperature(step: u64) -> f64 {
    (-(step as f64) / 1000.0).exp() + 0.5
}

/// Weights of layers over the steps of a training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LayerWeightHistory {
    /// Steps at which they were written down.
    pub steps: Vec<u64>,
    /// Weights at each of them, `[n_steps, n_layers]`.
    pub weights: Vec<Vec<f64>>,
}

/// `w_l = exp(theta_l / T) / Σ_l' exp(theta_l' / T)` over the layers that guide; others are left out
/// before the softmax.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LayerWeights {
    weighting: LayerWeighting,
    entropy_floor: f64,
    pub(super) theta: Vec<f64>,
    pub(super) first: Vec<f64>,
    pub(super) second: Vec<f64>,
    pub(super) n_updates: u64,
    pub(super) history: LayerWeightHistory,
}

impl LayerWeights {
    pub(super) fn new(n_layers: usize, weighting: LayerWeighting, entropy_floor: f64) -> Self {
        let zeros = vec![0.0; n_layers];
        Self {
            weighting,
            entropy_floor,
            theta: zeros.clone(),
            first: zeros.clone(),
            second: zeros,
            n_updates: 0,
            history: LayerWeightHistory::default(),
        }
    }

    /// Whether there is something to learn.
    pub(super) fn is_learned(&self) -> bool {
        self.weighting == LayerWeighting::Learned && self.theta.len() > 1
    }

    /// The weights at a step; they sum to 1.
    pub(super) fn at(&self, step: u64) -> Vec<f64> {
        softmax_at(&self.theta, temperature(step))
    }

    /// A step of Adam, given the derivatives of a loss by the weights; writes them down.
    pub(super) fn learn(&mut self, step: u64, by_weights: &[f64]) {
        let weights = self.at(step);
        let mean: f64 = weights.iter().zip(by_weights).map(|(w, g)| w * g).sum();
        self.n_updates += 1;
        let gradient: Vec<f64> = weights
            .iter()
            .zip(by_weights)
            .map(|(w, g)| w * (g - mean) / temperature(step))
            .collect();
        let by = AdamStep {
            learning_rate: LEARNING_RATE,
            betas: BETAS,
            step: self.n_updates,
            ..AdamStep::default()
        };
        let (first, second) = (&mut self.first[..], &mut self.second[..]);
        AdamArrays { params: &mut self.theta, gradient: &gradient, first, second }.step(&by);
        // The temperature falls until the next update.
        self.keep_entropy(temperature(step + LAYER_STEPS));
        self.write_down(step);
    }

    /// Adds the weights at a step to the history.
    pub(super) fn write_down(&mut self, step: u64) {
        self.history.steps.push(step);
        self.history.weights.push(self.at(step));
    }

    /// Brings `theta` closer together until the weights have the least entropy.
    fn keep_entropy(&mut self, temperature: f64) {
        let least = self.entropy_floor * (self.theta.len() as f64).ln();
        let scaled = |scale: f64| self.theta.iter().map(|t| t * scale).collect::<Vec<_>>();
        let entropy = |scale: f64| entropy(&softmax_at(&scaled(scale), temperature));
        if entropy(1.0) >= least {
            return;
        }
        // Entropy falls as theta is stretched, so the share to keep is found by halving.
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..50 {
            let middle = f64::midpoint(low, high);
            if entropy(middle) >= least { low = middle } else { high = middle }
        }
        self.theta = scaled(low);
    }
}

/// The softmax of `theta / temperature`.
fn softmax_at(theta: &[f64], temperature: f64) -> Vec<f64> {
    let mut weights: Vec<f64> = theta.iter().map(|t| t / temperature).collect();
    softmax(&mut weights);
    weights
}

fn entropy(weights: &[f64]) -> f64 {
    weights.iter().filter(|w| **w > 0.0).map(|w| -w * w.ln()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_temperature_falls_as_published() {
        approx::assert_abs_diff_eq!(temperature(0), 1.5);
        approx::assert_abs_diff_eq!(temperature(1000), 0.868, epsilon = 5e-4);
        approx::assert_abs_diff_eq!(temperature(5000), 0.507, epsilon = 5e-4);
    }

    #[test]
    fn weights_go_to_the_layer_that_lowers_the_loss_and_keep_their_entropy() {
        let mut weights = LayerWeights::new(3, LayerWeighting::Learned, 0.25);
        assert_eq!(weights.at(0), [1.0 / 3.0; 3]);
        for step in 0..3000 {
            weights.learn(step, &[0.3, -1.0, 0.2]);
        }
        let last = weights.at(3000);
        approx::assert_abs_diff_eq!(last.iter().sum::<f64>(), 1.0, epsilon = 1e-12);
        assert!(last[1] > 0.8, "{last:?}");
        approx::assert_abs_diff_eq!(entropy(&last), 0.25 * 3.0_f64.ln(), epsilon = 1e-3);
        assert_eq!(weights.history.steps.len(), 3000);
    }

    #[test]
    fn the_gradient_is_that_of_the_softmax() {
        let theta = [0.4, -0.2, 0.1];
        let by_weights = [0.7, 0.1, -0.5];
        let loss = |theta: &[f64]| -> f64 {
            softmax_at(theta, temperature(7)).iter().zip(by_weights).map(|(w, g)| w * g).sum()
        };
        let weights = softmax_at(&theta, temperature(7));
        let mean: f64 = weights.iter().zip(by_weights).map(|(w, g)| w * g).sum();
        for l in 0..3 {
            let at = |change: f64| {
                let mut moved = theta;
                moved[l] += change;
                loss(&moved)
            };
            let found = weights[l] * (by_weights[l] - mean) / temperature(7);
            approx::assert_abs_diff_eq!(found, (at(1e-5) - at(-1e-5)) / 2e-5, epsilon = 1e-9);
        }
    }
}
