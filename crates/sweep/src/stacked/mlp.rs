//! Stacked MLP probes: the hidden layers of all trials are one product.

use attention_probes_kernels::{Matrix, Write, matmul};
use attention_probes_probes::{Loss, MlpProbeConfig, Pool, ProbeState, n_out};
use rayon::prelude::*;

use super::linear::{residuals, transpose_each};
use super::pooled::pool;
use super::{RaggedBatch, Stack, StackedProbes, Targets};
use crate::adamw::Rate;

/// Part of the stack with the hidden weights, `[n_trials, hidden_dim, d_model]`.
const HIDDEN_WEIGHTS: usize = 0;
/// Part of the stack with the hidden biases, `[n_trials, hidden_dim]`.
const HIDDEN_BIASES: usize = 1;
/// Part of the stack with the output weights, `[n_trials, n_out, hidden_dim]`.
const OUT_WEIGHTS: usize = 2;
/// Part of the stack with the output biases, `[n_trials, n_out]`.
const OUT_BIASES: usize = 3;

/// Trials of [`attention_probes_probes::MlpProbe`].
pub(crate) struct StackedMlp {
    pool: Pool,
    loss: Loss,
    n_out: usize,
    d_model: usize,
    hidden_dim: usize,
    rates: Vec<Rate>,
    stack: Stack,
    gradients: Vec<Vec<f32>>,
}

impl StackedMlp {
    /// Stacks trials from their initial weights.
    pub(crate) fn new(
        config: &MlpProbeConfig,
        states: &[ProbeState],
        rates: Vec<Rate>,
        loss: Loss,
    ) -> Self {
        let of = |name: &str| states.iter().flat_map(|state| state[name].values.clone()).collect();
        let parts = ["hidden.weight", "hidden.bias", "out.weight", "out.bias"].map(of);
        Self {
            pool: config.pool,
            loss,
            n_out: n_out(config.n_classes),
            d_model: config.d_model,
            hidden_dim: config.hidden_dim,
            rates,
            stack: Stack::new(parts.into()),
            gradients: Vec::new(),
        }
    }

    /// Hidden layer after the rectifier, `[n_trials, hidden_dim, n_examples]`.
    fn hidden(&self, pooled: &[f32]) -> Vec<f32> {
        let n_examples = pooled.len() / self.d_model;
        let biases = self.stack.params(HIDDEN_BIASES);
        let mut hidden: Vec<f32> =
            biases.iter().flat_map(|bias| std::iter::repeat_n(*bias, n_examples)).collect();
        matmul(
            &mut hidden,
            Matrix::new(self.stack.params(HIDDEN_WEIGHTS), biases.len(), self.d_model),
            Matrix::new(pooled, n_examples, self.d_model).transpose(),
            Write::Add,
        );
        hidden.par_iter_mut().for_each(|x| *x = x.max(0.0));
        hidden
    }

    /// Logits, `[n_trials, n_out, n_examples]`.
    fn columns(&self, hidden: &[f32], n_examples: usize) -> Vec<f32> {
        let (n_out, hidden_dim) = (self.n_out, self.hidden_dim);
        let mut logits = vec![0.0; self.rates.len() * n_out * n_examples];
        logits
            .par_chunks_mut(n_examples)
            .zip(self.stack.params(OUT_WEIGHTS).par_chunks(hidden_dim))
            .zip(self.stack.params(OUT_BIASES))
            .enumerate()
            .for_each(|(row, ((logits, weights), bias))| {
                let hidden = &hidden[row / n_out * hidden_dim * n_examples..];
                logits.fill(*bias);
                for (weight, hidden) in weights.iter().zip(hidden.chunks(n_examples)) {
                    for (logit, x) in logits.iter_mut().zip(hidden) {
                        *logit += weight * x;
                    }
                }
            });
        logits
    }
}

impl StackedProbes for StackedMlp {
    fn differentiate(
        &mut self,
        batch: &RaggedBatch<'_>,
        targets: &Targets<'_>,
        losses: &mut [f64],
    ) {
        let n_examples = batch.rows.len();
        let (n_out, hidden_dim) = (self.n_out, self.hidden_dim);
        let pooled = pool(self.pool, batch);
        let mut hidden = self.hidden(&pooled);
        let residuals =
            residuals(&self.columns(&hidden, n_examples), n_out, (targets, self.loss), losses);
        self.stack.clear_gradients(&mut self.gradients);
        let [_, hidden_biases, out_weights, out_biases] = &mut self.gradients[..] else {
            unreachable!("a stack of MLPs has four parts");
        };
        for (gradient, row) in out_biases.iter_mut().zip(residuals.chunks(n_examples)) {
            *gradient = row.iter().sum();
        }
        // Per trial: gradients of the output layer, then of the hidden layer in place.
        hidden
            .par_chunks_mut(hidden_dim * n_examples)
            .zip(residuals.par_chunks(n_out * n_examples))
            .zip(self.stack.params(OUT_WEIGHTS).par_chunks(n_out * hidden_dim))
            .zip(out_weights.par_chunks_mut(n_out * hidden_dim))
            .zip(hidden_biases.par_chunks_mut(hidden_dim))
            .for_each(|((((hidden, residuals), weights), out_weights), biases)| {
                for (unit, hidden) in hidden.chunks_mut(n_examples).enumerate() {
                    for (class, residuals) in residuals.chunks(n_examples).enumerate() {
                        let products = hidden.iter().zip(residuals).map(|(x, r)| x * r);
                        out_weights[class * hidden_dim + unit] = products.sum();
                    }
                    for (example, x) in hidden.iter_mut().enumerate() {
                        let seen = |class: usize| {
                            weights[class * hidden_dim + unit]
                                * residuals[class * n_examples + example]
                        };
                        let slope: f32 = (0..n_out).map(seen).sum();
                        *x = if *x > 0.0 { slope } else { 0.0 };
                    }
                    biases[unit] = hidden.iter().sum();
                }
            });
        matmul(
            &mut self.gradients[HIDDEN_WEIGHTS],
            Matrix::new(&hidden, hidden.len() / n_examples, n_examples),
            Matrix::new(&pooled, n_examples, self.d_model),
            Write::Replace,
        );
    }

    fn gradients(&self) -> &[Vec<f32>] {
        &self.gradients
    }

    fn update(&mut self) {
        self.stack.update(&self.gradients, &self.rates);
    }

    fn logits(&mut self, batch: &RaggedBatch<'_>) -> Vec<f32> {
        let n_examples = batch.rows.len();
        let hidden = self.hidden(&pool(self.pool, batch));
        transpose_each(&self.columns(&hidden, n_examples), self.n_out, n_examples)
    }

    fn state(&self, trial: usize) -> ProbeState {
        let Self { n_out, hidden_dim, d_model, .. } = *self;
        let array = |part, shape: &[usize]| self.stack.array(part, trial, shape);
        ProbeState::from([
            ("hidden.weight".to_owned(), array(HIDDEN_WEIGHTS, &[hidden_dim, d_model])),
            ("hidden.bias".to_owned(), array(HIDDEN_BIASES, &[hidden_dim])),
            ("out.weight".to_owned(), array(OUT_WEIGHTS, &[n_out, hidden_dim])),
            ("out.bias".to_owned(), array(OUT_BIASES, &[n_out])),
        ])
    }

    fn stack(&self) -> &Stack {
        &self.stack
    }

    fn stack_mut(&mut self) -> &mut Stack {
        &mut self.stack
    }
}
