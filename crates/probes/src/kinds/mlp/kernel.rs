//! MLP probes on the host: the products are the hidden layer.

use super::Mlp;
use crate::engine::{Block, HostKernel, KernelLayout, Targets, TrialOfBlock};
use crate::kinds::ProbeSize;
use crate::kinds::vector::{by_example, by_output};

/// [`Mlp`] on one vector for each text.
#[derive(Debug)]
pub(super) struct MlpKernel {
    hidden_dim: usize,
    n_out: usize,
}

impl MlpKernel {
    pub(super) fn new(kind: &Mlp, size: ProbeSize) -> Self {
        Self { hidden_dim: kind.hidden_dim, n_out: size.n_out }
    }

    /// Weights and biases of the output layer.
    #[inline(always)]
    fn out<'a>(&self, small: &'a [f32]) -> (&'a [f32], &'a [f32]) {
        small[self.hidden_dim..].split_at(self.n_out * self.hidden_dim)
    }

    /// Rectifies the hidden layer and reads the logits off it, `[n_out, n_examples]`.
    #[inline(always)]
    fn read_out(&self, small: &[f32], hidden: &mut [f32], n_examples: usize) -> Vec<f32> {
        for x in hidden.iter_mut() {
            *x = x.max(0.0);
        }
        let (weights, biases) = self.out(small);
        let mut logits = vec![0.0; self.n_out * n_examples];
        let rows = logits.chunks_mut(n_examples).zip(weights.chunks(self.hidden_dim));
        for ((logits, weights), bias) in rows.zip(biases) {
            logits.fill(*bias);
            for (weight, hidden) in weights.iter().zip(hidden.chunks(n_examples)) {
                for (logit, x) in logits.iter_mut().zip(hidden) {
                    *logit += weight * x;
                }
            }
        }
        logits
    }
}

impl HostKernel for MlpKernel {
    fn layout(&self) -> KernelLayout {
        let Self { hidden_dim, n_out } = *self;
        KernelLayout {
            rows: vec![("hidden.weight", hidden_dim)],
            small: vec![
                ("hidden.bias", vec![hidden_dim]),
                ("out.weight", vec![n_out, hidden_dim]),
                ("out.bias", vec![n_out]),
            ],
            first: Some("hidden.bias"),
        }
    }

    #[inline(always)]
    fn forward(&self, block: &Block<'_>, small: &[f32], products: &mut [f32], logits: &mut [f32]) {
        by_example(&self.read_out(small, products, block.n_tokens), block.n_tokens, logits);
    }

    #[inline(always)]
    fn backward(&self, block: &Block<'_>, targets: &Targets<'_>, trial: TrialOfBlock<'_>) -> f64 {
        let TrialOfBlock { small, products, gradient } = trial;
        let (n_examples, hidden_dim) = (block.n_tokens, self.hidden_dim);
        let mut residuals = self.read_out(small, products, n_examples);
        let mut logits = vec![0.0; residuals.len()];
        by_example(&residuals, n_examples, &mut logits);
        let loss = targets.loss_and_gradient(&mut logits);
        by_output(&logits, n_examples, &mut residuals);

        let (weights, _) = self.out(small);
        let (biases, out) = gradient.split_at_mut(hidden_dim);
        let (out_weights, out_biases) = out.split_at_mut(self.n_out * hidden_dim);
        for (gradient, row) in out_biases.iter_mut().zip(residuals.chunks(n_examples)) {
            *gradient += row.iter().sum::<f32>();
        }
        // The output layer, then the hidden layer in place.
        for (unit, hidden) in products.chunks_mut(n_examples).enumerate() {
            for (class, residuals) in residuals.chunks(n_examples).enumerate() {
                let products = hidden.iter().zip(residuals).map(|(x, r)| x * r);
                out_weights[class * hidden_dim + unit] += products.sum::<f32>();
            }
            for (example, x) in hidden.iter_mut().enumerate() {
                let seen = |class: usize| {
                    weights[class * hidden_dim + unit] * residuals[class * n_examples + example]
                };
                let slope: f32 = (0..self.n_out).map(seen).sum();
                *x = if *x > 0.0 { slope } else { 0.0 };
            }
            biases[unit] += hidden.iter().sum::<f32>();
        }
        loss
    }
}
