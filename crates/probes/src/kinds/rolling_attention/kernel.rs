//! The rolling attention probe on the scores and values of a block.

use attention_probes_kernels::fast::exp;

use super::RollingAttention;
use crate::engine::{Block, HostKernel, KernelLayout, Targets, TrialOfBlock};
use crate::kinds::vector::highest;

/// A sum of weights below which a window is weighed again by its own highest score.
const LOWEST_SUM: f32 = 1e-20;

/// [`RollingAttention`]: rows are queries, then values head by head;
/// the other parameters are the biases.
#[derive(Debug)]
pub(super) struct RollingAttentionKernel {
    n_heads: usize,
    window: usize,
    n_out: usize,
}

/// What the pass forward leaves for the way back.
#[derive(Default)]
struct Scratch {
    weights: Vec<f32>,
    means: Vec<f32>,
}

impl RollingAttentionKernel {
    pub(super) fn new(kind: &RollingAttention, n_out: usize) -> Self {
        Self { n_heads: kind.n_heads, window: kind.window, n_out }
    }

    /// Row of products of one example.
    fn row(block: &Block<'_>, row: usize, from: usize, length: usize) -> std::ops::Range<usize> {
        row * block.n_tokens + from..row * block.n_tokens + from + length
    }

    /// Logit of one example and class without the bias, and the first token of its window.
    #[inline(always)]
    fn best_window(
        &self,
        block: &Block<'_>,
        products: &[f32],
        (from, length, class): (usize, usize, usize),
        scratch: &mut Scratch,
    ) -> (usize, f32) {
        let window = self.window.min(length);
        let Scratch { weights, means } = scratch;
        means.clear();
        means.resize(length + 1 - window, 0.0);
        for head in 0..self.n_heads {
            let scores = &products[Self::row(block, head, from, length)];
            let row = self.n_heads + head * self.n_out + class;
            let values = &products[Self::row(block, row, from, length)];
            let (_, top) = highest(scores);
            weights.clear();
            weights.extend(scores.iter().map(|s| exp(s - top)));
            for (first, mean) in means.iter_mut().enumerate() {
                let range = first..first + window;
                let (weights, values) = (&weights[range.clone()], &values[range.clone()]);
                let (mut total, mut sum) = (0.0, 0.0);
                for (w, v) in weights.iter().zip(values) {
                    total += w;
                    sum += w * v;
                }
                if total < LOWEST_SUM {
                    (total, sum) = (0.0, 0.0);
                    let (_, top) = highest(&scores[range.clone()]);
                    for (s, v) in scores[range].iter().zip(values) {
                        let w = exp(s - top);
                        total += w;
                        sum += w * v;
                    }
                }
                *mean += sum / total;
            }
        }
        highest(means)
    }
}

impl HostKernel for RollingAttentionKernel {
    fn layout(&self) -> KernelLayout {
        let Self { n_heads, n_out, .. } = *self;
        KernelLayout {
            rows: vec![("q.weight", n_heads), ("v.weight", n_heads * n_out)],
            small: vec![("bias", vec![n_out])],
            first: None,
        }
    }

    #[inline(always)]
    fn forward(&self, block: &Block<'_>, small: &[f32], products: &mut [f32], logits: &mut [f32]) {
        let mut scratch = Scratch::default();
        for ((from, length), logits) in block.examples().zip(logits.chunks_mut(self.n_out)) {
            for (class, logit) in logits.iter_mut().enumerate() {
                let at = (from, length, class);
                *logit = self.best_window(block, products, at, &mut scratch).1 + small[class];
            }
        }
    }

    #[inline(always)]
    fn backward(&self, block: &Block<'_>, targets: &Targets<'_>, trial: TrialOfBlock<'_>) -> f64 {
        let TrialOfBlock { small, products, gradient } = trial;
        let n_logits = block.lengths.len() * self.n_out;
        let (mut residuals, mut firsts) = (vec![0.0; n_logits], vec![0; n_logits]);
        let mut scratch = Scratch::default();
        let logits = residuals.chunks_mut(self.n_out).zip(firsts.chunks_mut(self.n_out));
        for ((from, length), (logits, firsts)) in block.examples().zip(logits) {
            for class in 0..self.n_out {
                let at = (from, length, class);
                let (first, mean) = self.best_window(block, products, at, &mut scratch);
                (firsts[class], logits[class]) = (first, mean + small[class]);
            }
        }
        let loss = targets.loss_and_gradient(&mut residuals);

        let mut weights = vec![0.0; self.window];
        let mut scores_gradient = Vec::new();
        let examples = block.examples().zip(residuals.chunks(self.n_out));
        for (((from, length), residuals), firsts) in examples.zip(firsts.chunks(self.n_out)) {
            let window = self.window.min(length);
            let weights = &mut weights[..window];
            for (g, residual) in gradient.iter_mut().zip(residuals) {
                *g += residual;
            }
            for head in 0..self.n_heads {
                scores_gradient.clear();
                scores_gradient.resize(length, 0.0);
                for (class, (&residual, &first)) in residuals.iter().zip(firsts).enumerate() {
                    let scores = &products[Self::row(block, head, from + first, window)];
                    let (_, top) = highest(scores);
                    for (w, s) in weights.iter_mut().zip(scores) {
                        *w = exp(s - top);
                    }
                    let scale = 1.0 / weights.iter().sum::<f32>();
                    let row = self.n_heads + head * self.n_out + class;
                    let values = &mut products[Self::row(block, row, from, length)];
                    let seen = &values[first..first + window];
                    let mean: f32 = weights.iter().zip(seen).map(|(w, v)| w * scale * v).sum();
                    for ((g, w), v) in
                        scores_gradient[first..].iter_mut().zip(weights.iter_mut()).zip(seen)
                    {
                        *w *= scale;
                        *g += residual * *w * (v - mean);
                    }
                    values.fill(0.0);
                    for (v, w) in values[first..].iter_mut().zip(weights.iter()) {
                        *v = residual * w;
                    }
                }
                products[Self::row(block, head, from, length)].copy_from_slice(&scores_gradient);
            }
        }
        loss
    }
}
