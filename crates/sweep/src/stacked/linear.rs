//! Stacked linear probes: one product per step for the logits of all trials, one for the gradients.

use attention_probes_kernels::{Matrix, Write, matmul};
use attention_probes_probes::{LinearProbeConfig, Loss, Pool, ProbeState, n_out};

use super::pooled::pool;
use super::{RaggedBatch, Stack, StackedProbes, Targets};
use crate::adamw::Rate;

/// Part of the stack with the weights, `[n_trials, n_out, d_model]`.
const WEIGHTS: usize = 0;
/// Part of the stack with the biases, `[n_trials, n_out]`.
const BIASES: usize = 1;

/// Trials of [`attention_probes_probes::LinearProbe`].
pub(crate) struct StackedLinear {
    pool: Pool,
    loss: Loss,
    n_out: usize,
    d_model: usize,
    rates: Vec<Rate>,
    stack: Stack,
    gradients: Vec<Vec<f32>>,
}

impl StackedLinear {
    /// Stacks trials from their initial weights.
    pub(crate) fn new(
        config: &LinearProbeConfig,
        states: &[ProbeState],
        rates: Vec<Rate>,
        loss: Loss,
    ) -> Self {
        let of = |name: &str| states.iter().flat_map(|state| state[name].values.clone()).collect();
        Self {
            pool: config.pool,
            loss,
            n_out: n_out(config.n_classes),
            d_model: config.d_model,
            rates,
            stack: Stack::new(vec![of("weight"), of("bias")]),
            gradients: Vec::new(),
        }
    }

    /// Logits, `[n_trials, n_out, n_examples]`: the product as it comes.
    fn columns(&self, pooled: &[f32]) -> Vec<f32> {
        let n_examples = pooled.len() / self.d_model;
        let biases = self.stack.params(BIASES);
        let mut logits: Vec<f32> =
            biases.iter().flat_map(|bias| std::iter::repeat_n(*bias, n_examples)).collect();
        matmul(
            &mut logits,
            Matrix::new(self.stack.params(WEIGHTS), biases.len(), self.d_model),
            Matrix::new(pooled, n_examples, self.d_model).transpose(),
            Write::Add,
        );
        logits
    }
}

/// `[n_rows, n_columns]` to `[n_columns, n_rows]`, for every trial.
pub(super) fn transpose_each(values: &[f32], n_rows: usize, n_columns: usize) -> Vec<f32> {
    if n_rows == 1 || n_columns == 1 {
        return values.to_vec();
    }
    let turn = |trial: &[f32]| -> Vec<f32> {
        (0..n_rows * n_columns).map(|i| trial[i % n_rows * n_columns + i / n_rows]).collect()
    };
    values.chunks(n_rows * n_columns).flat_map(turn).collect()
}

/// Turns logits `[n_trials, n_out, n_examples]` into gradients of the mean loss of each trial,
/// and adds those losses to `losses`.
pub(super) fn residuals(
    logits: &[f32],
    n_out: usize,
    (targets, loss): (&Targets<'_>, Loss),
    losses: &mut [f64],
) -> Vec<f32> {
    let n_examples = targets.labels.len();
    let mut residuals = transpose_each(logits, n_out, n_examples);
    for (trial, sum) in residuals.chunks_mut(n_out * n_examples).zip(losses) {
        *sum += targets.loss_and_gradient(loss, trial, n_out);
    }
    transpose_each(&residuals, n_examples, n_out)
}

impl StackedProbes for StackedLinear {
    fn differentiate(
        &mut self,
        batch: &RaggedBatch<'_>,
        targets: &Targets<'_>,
        losses: &mut [f64],
    ) {
        let n_examples = batch.rows.len();
        let pooled = pool(self.pool, batch);
        let residuals = residuals(&self.columns(&pooled), self.n_out, (targets, self.loss), losses);
        self.stack.clear_gradients(&mut self.gradients);
        let n_rows = residuals.len() / n_examples;
        matmul(
            &mut self.gradients[WEIGHTS],
            Matrix::new(&residuals, n_rows, n_examples),
            Matrix::new(&pooled, n_examples, self.d_model),
            Write::Replace,
        );
        for (gradient, row) in self.gradients[BIASES].iter_mut().zip(residuals.chunks(n_examples)) {
            *gradient = row.iter().sum();
        }
    }

    fn gradients(&self) -> &[Vec<f32>] {
        &self.gradients
    }

    fn update(&mut self) {
        self.stack.update(&self.gradients, &self.rates);
    }

    fn logits(&mut self, batch: &RaggedBatch<'_>) -> Vec<f32> {
        let columns = self.columns(&pool(self.pool, batch));
        transpose_each(&columns, self.n_out, batch.rows.len())
    }

    fn state(&self, trial: usize) -> ProbeState {
        let array = |part, shape: &[usize]| self.stack.array(part, trial, shape);
        ProbeState::from([
            ("weight".to_owned(), array(WEIGHTS, &[self.n_out, self.d_model])),
            ("bias".to_owned(), array(BIASES, &[self.n_out])),
        ])
    }

    fn stack(&self) -> &Stack {
        &self.stack
    }

    fn stack_mut(&mut self) -> &mut Stack {
        &mut self.stack
    }
}
