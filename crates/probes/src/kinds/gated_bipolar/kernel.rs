//! The gated bipolar probe on the projections and gates of a block.

use attention_probes_kernels::fast::{sigmoid, softplus};

use crate::engine::{Block, HostKernel, KernelLayout, Targets, TrialOfBlock};
use crate::kinds::vector::{highest, lowest};

/// [`GatedBipolar`](super::GatedBipolar): rows are projections, then gates; the other
/// parameters are their biases, then output weights and biases.
#[derive(Debug)]
pub(super) struct GatedBipolarKernel {
    d_gate: usize,
    n_out: usize,
}

impl GatedBipolarKernel {
    pub(super) fn new(d_gate: usize, n_out: usize) -> Self {
        Self { d_gate, n_out }
    }

    /// Adds the biases, and turns projections into gated features.
    #[inline(always)]
    fn gate(&self, block: &Block<'_>, small: &[f32], products: &mut [f32]) {
        let (projections, gates) = products.split_at_mut(self.d_gate * block.n_tokens);
        let rows = projections.chunks_mut(block.n_tokens).zip(gates.chunks_mut(block.n_tokens));
        for (feature, (projections, gates)) in rows.enumerate() {
            let (bias, gate_bias) = (small[feature], small[self.d_gate + feature]);
            for (p, g) in projections.iter_mut().zip(gates) {
                *g += gate_bias;
                *p = (*p + bias) * softplus(*g);
            }
        }
    }

    /// Writes the highest and negated lowest features, `[n_examples, 2 d_gate]`, with their tokens.
    #[inline(always)]
    fn pool(&self, block: &Block<'_>, products: &[f32], pooled: &mut [f32], tokens: &mut [usize]) {
        let width = 2 * self.d_gate;
        for ((from, length), (pooled, tokens)) in
            block.examples().zip(pooled.chunks_mut(width).zip(tokens.chunks_mut(width)))
        {
            for feature in 0..self.d_gate {
                let values = &products[feature * block.n_tokens + from..][..length];
                let (high, low) = (highest(values), lowest(values));
                (tokens[feature], pooled[feature]) = high;
                (tokens[self.d_gate + feature], pooled[self.d_gate + feature]) = (low.0, -low.1);
            }
        }
    }

    #[inline(always)]
    fn read_out(&self, small: &[f32], pooled: &[f32], logits: &mut [f32]) {
        let width = 2 * self.d_gate;
        let (weights, biases) = small[width..].split_at(self.n_out * width);
        for (pooled, logits) in pooled.chunks(width).zip(logits.chunks_mut(self.n_out)) {
            for ((logit, weights), bias) in logits.iter_mut().zip(weights.chunks(width)).zip(biases)
            {
                *logit = *bias + pooled.iter().zip(weights).map(|(a, b)| a * b).sum::<f32>();
            }
        }
    }
}

impl HostKernel for GatedBipolarKernel {
    fn layout(&self) -> KernelLayout {
        let Self { d_gate, n_out, .. } = *self;
        KernelLayout {
            rows: vec![("proj.weight", d_gate), ("gate.weight", d_gate)],
            small: vec![
                ("proj.bias", vec![d_gate]),
                ("gate.bias", vec![d_gate]),
                ("out.weight", vec![n_out, 2 * d_gate]),
                ("out.bias", vec![n_out]),
            ],
            first: None,
        }
    }

    #[inline(always)]
    fn forward(&self, block: &Block<'_>, small: &[f32], products: &mut [f32], logits: &mut [f32]) {
        let n_pooled = block.lengths.len() * 2 * self.d_gate;
        let (mut pooled, mut tokens) = (vec![0.0; n_pooled], vec![0; n_pooled]);
        self.gate(block, small, products);
        self.pool(block, products, &mut pooled, &mut tokens);
        self.read_out(small, &pooled, logits);
    }

    #[inline(always)]
    fn backward(&self, block: &Block<'_>, targets: &Targets<'_>, trial: TrialOfBlock<'_>) -> f64 {
        let TrialOfBlock { small, products, gradient } = trial;
        let (d_gate, width) = (self.d_gate, 2 * self.d_gate);
        let n_pooled = block.lengths.len() * width;
        let (mut pooled, mut tokens) = (vec![0.0; n_pooled], vec![0; n_pooled]);
        self.gate(block, small, products);
        self.pool(block, products, &mut pooled, &mut tokens);
        let mut residuals = vec![0.0; block.lengths.len() * self.n_out];
        self.read_out(small, &pooled, &mut residuals);
        let loss = targets.loss_and_gradient(&mut residuals);

        let weights = &small[width..width * (1 + self.n_out)];
        let (bias_gradient, out_gradient) = gradient.split_at_mut(width);
        let (weight_gradient, out_bias_gradient) = out_gradient.split_at_mut(self.n_out * width);
        // Products become gradients; only the chosen tokens have any.
        let mut chosen = Vec::with_capacity(n_pooled);
        let examples = block.examples().zip(residuals.chunks(self.n_out));
        for (((from, _), residuals), (pooled, tokens)) in
            examples.zip(pooled.chunks(width).zip(tokens.chunks(width)))
        {
            for (class, residual) in residuals.iter().enumerate() {
                let row = class * width..(class + 1) * width;
                for (g, pooled) in weight_gradient[row].iter_mut().zip(pooled) {
                    *g += residual * pooled;
                }
                out_bias_gradient[class] += residual;
            }
            for (end, &token) in tokens.iter().enumerate() {
                let (feature, sign) = if end < d_gate { (end, 1.0) } else { (end - d_gate, -1.0) };
                let weights = weights[end..].iter().step_by(width);
                let through: f32 = residuals.iter().zip(weights).map(|(r, w)| r * w).sum();
                let at = feature * block.n_tokens + from + token;
                let (value, gate) = (products[at], products[d_gate * block.n_tokens + at]);
                let open = softplus(gate);
                let projection = if open > 0.0 { value / open } else { 0.0 };
                let d_projection = sign * through * open;
                let d_gate_input = sign * through * projection * sigmoid(gate);
                bias_gradient[feature] += d_projection;
                bias_gradient[d_gate + feature] += d_gate_input;
                chosen.push((at, d_projection, d_gate_input));
            }
        }
        products.fill(0.0);
        for (at, d_projection, d_gate_input) in chosen {
            products[at] += d_projection;
            products[d_gate * block.n_tokens + at] += d_gate_input;
        }
        loss
    }
}
