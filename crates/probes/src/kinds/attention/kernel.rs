//! The attention probe on the scores and values of a block.

use attention_probes_kernels::{dot, sum};

use super::{Attention, AttentionActivation};
use crate::engine::{Block, HostKernel, KernelLayout, Targets, TrialOfBlock};
use crate::kinds::vector::{position_dot, softmax_pattern, tanh_pattern};

/// Score of a dropped token, as in the reference.
const SCORE_DROPPED: f32 = -1e9;

/// [`Attention`] of `n_heads` heads.
///
/// The rows of a trial are its queries, then its values head by head. With `r = dL/dz` for the
/// pooled values `z`, which are the logits where there is no hidden layer:
///
/// ```text
/// s[h,t] = Σ_k r[k] v[h,k,t]              dk[h,t] = p[h,t] (s[h,t] - Σ_u p[h,u] s[h,u])
/// dW_q[h] = Σ_t dk[h,t] x[t]              dW_v[h,k] = Σ_t p[h,t] r[k] x[t]
/// dw_pos[h] = Σ_t dk[h,t] t               db_v[h,k] = r[k]
/// ```
#[derive(Debug)]
pub(super) struct AttentionKernel {
    n_heads: usize,
    n_out: usize,
    /// Width of a value.
    d_value: usize,
    has_hidden: bool,
    tanh: bool,
}

/// The parameters of a trial that are not multiplied with activations.
struct Small<'a> {
    slopes: &'a [f32],
    biases: &'a [f32],
    o_weight: &'a [f32],
    o_bias: &'a [f32],
}

impl AttentionKernel {
    pub(super) fn new(kind: &Attention, n_out: usize) -> Self {
        Self {
            n_heads: kind.n_heads,
            n_out,
            d_value: kind.d_value(n_out),
            has_hidden: kind.hidden_dim.is_some(),
            tanh: kind.activation == AttentionActivation::Tanh,
        }
    }

    /// Lengths of slopes, value biases, output weights, and output biases.
    fn sizes(&self) -> [usize; 4] {
        let out = if self.has_hidden { self.n_out } else { 0 };
        [self.n_heads, self.n_heads * self.d_value, out * self.d_value, out]
    }

    #[inline(always)]
    fn small<'a>(&self, small: &'a [f32]) -> Small<'a> {
        let [n_slopes, n_biases, n_weights, _] = self.sizes();
        let (slopes, rest) = small.split_at(n_slopes);
        let (biases, rest) = rest.split_at(n_biases);
        let (o_weight, o_bias) = rest.split_at(n_weights);
        Small { slopes, biases, o_weight, o_bias }
    }

    /// Turns scores into patterns and writes the pooled values, `[n_examples, d_value]`.
    #[inline(always)]
    fn pool(&self, block: &Block<'_>, small: &Small<'_>, products: &mut [f32], z: &mut [f32]) {
        let Self { n_heads, d_value, tanh, .. } = *self;
        let n_tokens = block.n_tokens;
        let (queries, values) = products.split_at_mut(n_heads * n_tokens);
        z.fill(0.0);
        for (head, queries) in queries.chunks_mut(n_tokens).enumerate() {
            let values = &values[head * d_value * n_tokens..];
            let slope = small.slopes[head];
            for ((from, length), z) in block.examples().zip(z.chunks_mut(d_value)) {
                let pattern = &mut queries[from..from + length];
                let dropped = block.dropped.map(|all| &all[head * n_tokens + from..][..length]);
                if let Some(dropped) = dropped {
                    for (position, (score, _)) in
                        pattern.iter_mut().zip(dropped).enumerate().filter(|(_, (_, d))| **d)
                    {
                        *score = SCORE_DROPPED - slope * position as f32;
                    }
                }
                if tanh {
                    tanh_pattern(pattern, slope);
                    for (weight, _) in
                        pattern.iter_mut().zip(dropped.unwrap_or(&[])).filter(|(_, d)| **d)
                    {
                        *weight = 0.0;
                    }
                } else {
                    softmax_pattern(pattern, slope);
                }
                // tanh weights do not sum to 1, so the bias is weighed like the values.
                let weight = if tanh { sum(pattern) } else { 1.0 };
                for (column, z) in z.iter_mut().enumerate() {
                    let value = &values[column * n_tokens + from..][..length];
                    *z += dot(pattern, value) + weight * small.biases[head * d_value + column];
                }
            }
        }
    }

    /// Logits from pooled values.
    #[inline(always)]
    fn read_out(&self, small: &Small<'_>, z: &[f32], logits: &mut [f32]) {
        for (z, logits) in z.chunks(self.d_value).zip(logits.chunks_mut(self.n_out)) {
            for ((logit, weights), bias) in
                logits.iter_mut().zip(small.o_weight.chunks(self.d_value)).zip(small.o_bias)
            {
                *logit = *bias + z.iter().zip(weights).map(|(z, w)| z.max(0.0) * w).sum::<f32>();
            }
        }
    }

    /// Gradient of pooled values from that of the logits; adds that of the output layer.
    #[inline(always)]
    fn read_out_backward(
        &self,
        small: &Small<'_>,
        z: &mut [f32],
        residuals: &[f32],
        gradient: &mut [f32],
    ) {
        let [n_slopes, n_biases, n_weights, _] = self.sizes();
        let (weights_gradient, bias_gradient) =
            gradient[n_slopes + n_biases..].split_at_mut(n_weights);
        for (z, residuals) in z.chunks_mut(self.d_value).zip(residuals.chunks(self.n_out)) {
            for (class, residual) in residuals.iter().enumerate() {
                let row = class * self.d_value..(class + 1) * self.d_value;
                for (g, z) in weights_gradient[row].iter_mut().zip(z.iter()) {
                    *g += residual * z.max(0.0);
                }
                bias_gradient[class] += residual;
            }
            for (column, z) in z.iter_mut().enumerate() {
                let weights = small.o_weight[column..].iter().step_by(self.d_value);
                let through: f32 = residuals.iter().zip(weights).map(|(r, w)| r * w).sum();
                *z = if *z > 0.0 { through } else { 0.0 };
            }
        }
    }
}

impl HostKernel for AttentionKernel {
    fn layout(&self) -> KernelLayout {
        let Self { n_heads, n_out, d_value, .. } = *self;
        let mut small =
            vec![("position_weight", vec![n_heads]), ("v.bias", vec![n_heads * d_value])];
        if self.has_hidden {
            small.extend([("o.weight", vec![n_out, d_value]), ("o.bias", vec![n_out])]);
        }
        let rows = vec![("q.weight", n_heads), ("v.weight", n_heads * d_value)];
        KernelLayout { rows, small, first: None }
    }

    #[inline(always)]
    fn forward(&self, block: &Block<'_>, small: &[f32], products: &mut [f32], logits: &mut [f32]) {
        let small = self.small(small);
        if !self.has_hidden {
            return self.pool(block, &small, products, logits);
        }
        let mut z = vec![0.0; block.lengths.len() * self.d_value];
        self.pool(block, &small, products, &mut z);
        self.read_out(&small, &z, logits);
    }

    #[inline(always)]
    fn backward(&self, block: &Block<'_>, targets: &Targets<'_>, trial: TrialOfBlock<'_>) -> f64 {
        let TrialOfBlock { small, products, gradient } = trial;
        let Self { n_heads, d_value, tanh, .. } = *self;
        let (n_tokens, small) = (block.n_tokens, self.small(small));
        let mut residuals = vec![0.0; block.lengths.len() * d_value]; // dL/dz
        self.pool(block, &small, products, &mut residuals);
        let loss = if self.has_hidden {
            let mut logits = vec![0.0; block.lengths.len() * self.n_out];
            self.read_out(&small, &residuals, &mut logits);
            let loss = targets.loss_and_gradient(&mut logits);
            self.read_out_backward(&small, &mut residuals, &logits, gradient);
            loss
        } else {
            targets.loss_and_gradient(&mut residuals)
        };

        let (patterns, values) = products.split_at_mut(n_heads * n_tokens);
        let (slopes_gradient, biases_gradient) = gradient.split_at_mut(n_heads);
        let longest = block.lengths.iter().copied().max().unwrap_or(0);
        let mut seen = vec![0.0; longest]; // s[t]
        for (head, patterns) in patterns.chunks_mut(n_tokens).enumerate() {
            let values = &mut values[head * d_value * n_tokens..];
            let biases = &small.biases[head * d_value..][..d_value];
            for ((from, length), residuals) in block.examples().zip(residuals.chunks(d_value)) {
                let pattern = &mut patterns[from..from + length];
                let seen = &mut seen[..length];
                seen.fill(0.0);
                let weight = if tanh { sum(pattern) } else { 1.0 };
                for (column, residual) in residuals.iter().enumerate() {
                    let value = &mut values[column * n_tokens + from..][..length];
                    let bias = if tanh { biases[column] } else { 0.0 };
                    for ((s, v), p) in seen.iter_mut().zip(value).zip(pattern.iter()) {
                        *s += residual * (*v + bias);
                        *v = residual * p;
                    }
                    biases_gradient[head * d_value + column] += residual * weight;
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
                let dropped = block.dropped.map_or(&[][..], |all| &all[head * n_tokens + from..]);
                for (p, _) in pattern.iter_mut().zip(dropped).filter(|(_, d)| **d) {
                    *p = 0.0;
                }
                slopes_gradient[head] += position_dot(pattern);
            }
        }
        loss
    }
}
