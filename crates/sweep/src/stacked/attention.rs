//! Stacked attention probes without a hidden layer, all trials in two products per block.

use attention_probes_models::exp;
use attention_probes_probes::{
    AttentionActivation, AttentionProbeConfig, ProbeKind, ProbeState, n_out,
};
use rayon::prelude::*;

use super::{RaggedBatch, Stack, StackedProbes, Targets, array};
use crate::SweepError;
use crate::adamw::Rate;
use crate::linalg::{Matrix, Write, matmul};

/// Tokens per block: activations of a block stay in the cache between the two products.
const BLOCK_TOKENS: usize = 1024;

/// Part of the stack with queries and values, `[n_trials, rows, d_model]`.
const ROWS: usize = 0;
/// Part of the stack with position weights and value biases.
const SMALL: usize = 1;

/// Trials of [`attention_probes_probes::AttentionProbe`] with `n_heads` heads each.
///
/// A trial has `n_heads (1 + n_out)` rows of width `d_model`: its queries, then its values head by
/// head. One product of the rows of all trials with the tokens of a block gives every score and
/// every value; after the softmax and its gradient, one product with the same tokens gives every
/// gradient. In the notation of the probe, with `r = dL/dlogits`:
///
/// ```text
/// s[h,t] = Σ_c r[c] v[h,c,t]              dk[h,t] = p[h,t] (s[h,t] - Σ_u p[h,u] s[h,u])
/// dW_q[h] = Σ_t dk[h,t] x[t]              dW_v[h,c] = Σ_t p[h,t] r[c] x[t]
/// dw_pos[h] = Σ_t dk[h,t] t               db_v[h,c] = r[c]
/// ```
pub(crate) struct StackedAttention {
    shape: Shape,
    rates: Vec<Rate>,
    stack: Stack,
    x: Vec<f32>,
    scores: Vec<f32>,
    gradients: Vec<Vec<f32>>,
}

#[derive(Clone, Copy, Debug)]
struct Shape {
    n_trials: usize,
    n_heads: usize,
    n_out: usize,
    d_model: usize,
    tanh: bool,
}

impl Shape {
    /// Rows of width `d_model` per trial.
    fn rows(&self) -> usize {
        self.n_heads * (1 + self.n_out)
    }

    /// Position weights and value biases per trial.
    fn n_small(&self) -> usize {
        self.n_heads * (1 + self.n_out)
    }
}

impl StackedAttention {
    /// Stacks trials from their initial weights.
    ///
    /// # Errors
    ///
    /// [`SweepError::UnsupportedProbe`] if the probe has a hidden layer or drops attention.
    pub(crate) fn new(
        config: &AttentionProbeConfig,
        states: &[ProbeState],
        rates: Vec<Rate>,
    ) -> Result<Self, SweepError> {
        if config.hidden_dim.is_some() || config.attention_dropout > 0.0 {
            return Err(SweepError::UnsupportedProbe { kind: ProbeKind::Attention });
        }
        let shape = Shape {
            n_trials: states.len(),
            n_heads: config.n_heads,
            n_out: n_out(config.n_classes),
            d_model: config.d_model,
            tanh: config.activation == AttentionActivation::Tanh,
        };
        let joined = |first: &str, second: &str| {
            let of =
                |state: &ProbeState| [&state[first].values[..], &state[second].values].concat();
            states.iter().flat_map(of).collect()
        };
        let rows = joined("q.weight", "v.weight");
        let small = joined("position_weight", "v.bias");
        Ok(Self {
            shape,
            rates,
            stack: Stack::new(vec![rows, small]),
            x: Vec::new(),
            scores: Vec::new(),
            gradients: Vec::new(),
        })
    }

    /// Gathers the tokens of a block and computes its scores and values,
    /// `[n_trials, rows, n_tokens]`.
    fn scores(&mut self, block: &[&[f32]]) {
        self.x.clear();
        for rows in block {
            self.x.extend_from_slice(rows);
        }
        let Shape { n_trials, d_model, .. } = self.shape;
        let n_tokens = self.x.len() / d_model;
        let rows = n_trials * self.shape.rows();
        self.scores.resize(rows * n_tokens, 0.0);
        matmul(
            &mut self.scores,
            Matrix::new(self.stack.params(ROWS), rows, d_model),
            Matrix::new(&self.x, n_tokens, d_model).transpose(),
            Write::Replace,
        );
    }
}

impl StackedProbes for StackedAttention {
    fn train_step(&mut self, batch: &RaggedBatch<'_>, targets: &Targets<'_>, losses: &mut [f64]) {
        let shape = self.shape;
        let n_examples = batch.rows.len();
        self.stack.clear_gradients(&mut self.gradients);
        let arch = pulp::Arch::new();
        for block in blocks(batch) {
            self.scores(&batch.rows[block.clone()]);
            let lengths: Vec<usize> = block.clone().map(|i| batch.n_tokens(i)).collect();
            let n_tokens = self.x.len() / shape.d_model;
            let targets = Targets { labels: &targets.labels[block], ..*targets };
            let weight = targets.labels.len() as f64 / n_examples as f64;
            self.scores
                .par_chunks_mut(shape.rows() * n_tokens)
                .zip(self.stack.params(SMALL).par_chunks(shape.n_small()))
                .zip(self.gradients[SMALL].par_chunks_mut(shape.n_small()))
                .zip(losses.par_iter_mut())
                .for_each(|(((scores, small), gradient), loss)| {
                    let trial = Trial { shape, lengths: &lengths, n_tokens, small };
                    *loss += weight
                        * arch
                            .dispatch(|| trial.backward(scores, &targets, weight as f32, gradient));
                });
            let rows = shape.n_trials * shape.rows();
            matmul(
                &mut self.gradients[ROWS],
                Matrix::new(&self.scores, rows, n_tokens),
                Matrix::new(&self.x, n_tokens, shape.d_model),
                Write::Add,
            );
        }
        self.stack.update(&self.gradients, &self.rates);
    }

    fn logits(&mut self, batch: &RaggedBatch<'_>) -> Vec<f32> {
        let shape = self.shape;
        let per_trial = batch.rows.len() * shape.n_out;
        let mut logits = vec![0.0; shape.n_trials * per_trial];
        let arch = pulp::Arch::new();
        for block in blocks(batch) {
            self.scores(&batch.rows[block.clone()]);
            let lengths: Vec<usize> = block.clone().map(|i| batch.n_tokens(i)).collect();
            let n_tokens = self.x.len() / shape.d_model;
            self.scores
                .par_chunks_mut(shape.rows() * n_tokens)
                .zip(self.stack.params(SMALL).par_chunks(shape.n_small()))
                .zip(logits.par_chunks_mut(per_trial))
                .for_each(|((scores, small), logits)| {
                    let trial = Trial { shape, lengths: &lengths, n_tokens, small };
                    let logits = &mut logits[block.start * shape.n_out..block.end * shape.n_out];
                    arch.dispatch(|| trial.forward(scores, logits));
                });
        }
        logits
    }

    fn state(&self, trial: usize) -> ProbeState {
        let Shape { n_heads, n_out, d_model, .. } = self.shape;
        let n_values = n_heads * n_out;
        let rows = &self.stack.params(ROWS)[trial * self.shape.rows() * d_model..];
        let small = &self.stack.params(SMALL)[trial * self.shape.n_small()..];
        [
            ("q.weight", array(&[n_heads, d_model], rows)),
            ("v.weight", array(&[n_values, d_model], &rows[n_heads * d_model..])),
            ("position_weight", array(&[n_heads], small)),
            ("v.bias", array(&[n_values], &small[n_heads..])),
        ]
        .into_iter()
        .map(|(name, array)| (name.to_owned(), array))
        .collect()
    }

    fn stack(&self) -> &Stack {
        &self.stack
    }

    fn stack_mut(&mut self) -> &mut Stack {
        &mut self.stack
    }
}

/// Divides a batch into runs of examples of about [`BLOCK_TOKENS`] tokens.
fn blocks(batch: &RaggedBatch<'_>) -> Vec<std::ops::Range<usize>> {
    let mut blocks = Vec::new();
    let (mut from, mut n_tokens) = (0, 0);
    for example in 0..batch.rows.len() {
        n_tokens += batch.n_tokens(example);
        if n_tokens >= BLOCK_TOKENS {
            blocks.push(from..example + 1);
            (from, n_tokens) = (example + 1, 0);
        }
    }
    if from < batch.rows.len() {
        blocks.push(from..batch.rows.len());
    }
    blocks
}

/// One trial and one block.
struct Trial<'a> {
    shape: Shape,
    lengths: &'a [usize],
    n_tokens: usize,
    /// Position weights `[n_heads]`, then value biases `[n_heads, n_out]`.
    small: &'a [f32],
}

impl Trial<'_> {
    /// Turns scores into patterns and writes the logits, `[n_examples, n_out]`.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "vectorises only inside the dispatched closure")]
    fn forward(&self, scores: &mut [f32], logits: &mut [f32]) {
        let Shape { n_heads, n_out, tanh, .. } = self.shape;
        let (queries, values) = scores.split_at_mut(n_heads * self.n_tokens);
        let (slopes, biases) = self.small.split_at(n_heads);
        logits.fill(0.0);
        for (head, queries) in queries.chunks_mut(self.n_tokens).enumerate() {
            let values = &values[head * n_out * self.n_tokens..];
            let mut from = 0;
            for (&length, logits) in self.lengths.iter().zip(logits.chunks_mut(n_out)) {
                let pattern = &mut queries[from..from + length];
                if tanh {
                    tanh_pattern(pattern, slopes[head]);
                } else {
                    softmax_pattern(pattern, slopes[head]);
                }
                for (class, logit) in logits.iter_mut().enumerate() {
                    let value = &values[class * self.n_tokens + from..][..length];
                    // tanh weights do not sum to 1, so the bias is weighed like the values.
                    let weight = if tanh { sum(pattern) } else { 1.0 };
                    *logit += dot(pattern, value) + weight * biases[head * n_out + class];
                }
                from += length;
            }
        }
    }

    /// Replaces scores and values by their gradients, adds those of the small parameters, and
    /// returns the mean loss of the block.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "vectorises only inside the dispatched closure")]
    fn backward(
        &self,
        scores: &mut [f32],
        targets: &Targets<'_>,
        share: f32,
        gradient: &mut [f32],
    ) -> f64 {
        let Shape { n_heads, n_out, tanh, .. } = self.shape;
        let mut residuals = vec![0.0; self.lengths.len() * n_out];
        self.forward(scores, &mut residuals);
        let loss = targets.loss_and_gradient(&mut residuals, n_out);

        let (patterns, values) = scores.split_at_mut(n_heads * self.n_tokens);
        let (slopes_gradient, biases_gradient) = gradient.split_at_mut(n_heads);
        let longest = self.lengths.iter().copied().max().unwrap_or(0);
        let mut seen = vec![0.0; longest]; // s[t]
        for (head, patterns) in patterns.chunks_mut(self.n_tokens).enumerate() {
            let values = &mut values[head * n_out * self.n_tokens..];
            let biases = &self.small[n_heads + head * n_out..][..n_out];
            let mut from = 0;
            for (&length, residuals) in self.lengths.iter().zip(residuals.chunks(n_out)) {
                let pattern = &mut patterns[from..from + length];
                let seen = &mut seen[..length];
                seen.fill(0.0);
                let weight = if tanh { sum(pattern) } else { 1.0 };
                for (class, residual) in residuals.iter().enumerate() {
                    let residual = residual * share;
                    let value = &mut values[class * self.n_tokens + from..][..length];
                    let bias = if tanh { biases[class] } else { 0.0 };
                    for ((s, v), p) in seen.iter_mut().zip(value).zip(pattern.iter()) {
                        *s += residual * (*v + bias);
                        *v = residual * p;
                    }
                    biases_gradient[head * n_out + class] += residual * weight;
                }
                if tanh {
                    for (p, s) in pattern.iter_mut().zip(seen.iter()) {
                        *p = (1.0 - *p * *p) * s;
                    }
                } else {
                    let mean = dot(pattern, seen);
                    for (p, s) in pattern.iter_mut().zip(seen.iter()) {
                        *p *= s - mean;
                    }
                }
                slopes_gradient[head] += position_dot(pattern);
                from += length;
            }
        }
        loss
    }
}

/// Softmax over the tokens of one example, in place; position `t` adds `slope t`.
#[inline(always)]
#[expect(clippy::inline_always, reason = "vectorises only inside the dispatched closure")]
fn softmax_pattern(scores: &mut [f32], slope: f32) {
    let mut highest = [f32::NEG_INFINITY; LANES];
    let mut position = 0.0;
    for chunk in scores.chunks_mut(LANES) {
        for (lane, score) in chunk.iter_mut().enumerate() {
            *score += slope * (position + lane as f32);
            highest[lane] = highest[lane].max(*score);
        }
        position += LANES as f32;
    }
    let highest = highest.into_iter().fold(f32::NEG_INFINITY, f32::max);
    let mut sums = [0.0; LANES];
    for chunk in scores.chunks_mut(LANES) {
        for (sum, score) in sums.iter_mut().zip(chunk) {
            *score = exp(*score - highest);
            *sum += *score;
        }
    }
    let scale = 1.0 / sums.iter().sum::<f32>();
    for score in scores {
        *score *= scale;
    }
}

/// `tanh` of each score, in place; position `t` adds `slope t`.
#[inline(always)]
#[expect(clippy::inline_always, reason = "vectorises only inside the dispatched closure")]
fn tanh_pattern(scores: &mut [f32], slope: f32) {
    for (position, score) in scores.iter_mut().enumerate() {
        let doubled = exp(2.0 * (*score + slope * position as f32).clamp(-20.0, 20.0));
        *score = (doubled - 1.0) / (doubled + 1.0);
    }
}

/// Independent partial sums, so that a sum vectorises without reordering.
const LANES: usize = 16;

#[inline(always)]
#[expect(clippy::inline_always, reason = "vectorises only inside the dispatched closure")]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "vectorises only inside the dispatched closure")]
fn sum(a: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    for a in a.chunks(LANES) {
        for (sum, a) in sums.iter_mut().zip(a) {
            *sum += a;
        }
    }
    sums.iter().sum()
}

/// `Σ_t t a[t]`.
#[inline(always)]
#[expect(clippy::inline_always, reason = "vectorises only inside the dispatched closure")]
fn position_dot(a: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    let mut position = 0.0;
    for chunk in a.chunks(LANES) {
        for (lane, (sum, a)) in sums.iter_mut().zip(chunk).enumerate() {
            *sum += (position + lane as f32) * a;
        }
        position += LANES as f32;
    }
    sums.iter().sum()
}
