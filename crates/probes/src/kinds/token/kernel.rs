//! Token probes on the scores of a block: one way back for every aggregation.

use attention_probes_kernels::dot;
use attention_probes_kernels::fast::{exp, sigmoid};

use super::Aggregation;
use crate::Loss;
use crate::engine::{Block, HostKernel, KernelLayout, Targets, TrialOfBlock};
use crate::kinds::vector::{highest, softmax_pattern};

/// [`TokenScores`](super::TokenScores): a row per logit, and its bias.
#[derive(Debug)]
pub(super) struct TokenKernel {
    aggregation: Aggregation,
    n_out: usize,
}

impl TokenKernel {
    pub(super) fn new(aggregation: Aggregation, n_out: usize) -> Self {
        Self { aggregation, n_out }
    }

    /// Aggregates the scores of one example, which have no bias yet: every aggregation moves along
    /// with a number that is added to all scores, so the bias is added to the result.
    #[inline(always)]
    fn aggregate(&self, scores: &[f32], scratch: &mut Vec<f32>) -> f32 {
        match self.aggregation {
            Aggregation::Softmax { temperature } => {
                softmax_weights(scores, temperature, scratch);
                dot(scratch, scores)
            }
            Aggregation::TopMean { k } => {
                let k = k.min(scores.len());
                scratch.clear();
                scratch.extend_from_slice(scores);
                scratch.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
                scratch[..k].iter().sum::<f32>() / k as f32
            }
            Aggregation::RollingMax { window } => {
                rolling_means(scores, window, scratch);
                highest(scratch).1
            }
            Aggregation::Ema { alpha } => {
                moving_averages(scores, alpha as f32, scratch);
                highest(scratch).1
            }
        }
    }

    /// Replaces the scores of one example by the derivatives of what [`Self::aggregate`] returns,
    /// times `residual`.
    #[inline(always)]
    fn aggregate_backward(&self, scores: &mut [f32], residual: f32, scratch: &mut Vec<f32>) {
        match self.aggregation {
            Aggregation::Softmax { temperature } => {
                softmax_weights(scores, temperature, scratch);
                let mean = dot(scratch, scores);
                let scale = 1.0 / temperature as f32;
                for (s, weight) in scores.iter_mut().zip(scratch.iter()) {
                    *s = residual * weight * (1.0 + (*s - mean) * scale);
                }
            }
            Aggregation::TopMean { k } => {
                let k = k.min(scores.len());
                scratch.clear();
                scratch.extend_from_slice(scores);
                let (_, lowest, _) = scratch.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
                let lowest = *lowest;
                // Of equal scores the first are taken, as many as are wanted.
                let mut n_equal = k - scores.iter().filter(|s| **s > lowest).count();
                for s in scores {
                    let is_above = *s > lowest;
                    let is_next = !is_above && *s >= lowest && n_equal > 0;
                    n_equal -= usize::from(is_next);
                    *s = if is_above || is_next { residual / k as f32 } else { 0.0 };
                }
            }
            Aggregation::RollingMax { window } => {
                rolling_means(scores, window, scratch);
                let window = window.min(scores.len());
                let (first, _) = highest(scratch);
                scores.fill(0.0);
                scores[first..first + window].fill(residual / window as f32);
            }
            Aggregation::Ema { alpha } => {
                let alpha = alpha as f32;
                moving_averages(scores, alpha, scratch);
                let (last, _) = highest(scratch);
                scores.fill(0.0);
                let mut share = residual;
                for s in scores[1..=last].iter_mut().rev() {
                    *s = share * alpha;
                    share *= 1.0 - alpha;
                }
                scores[0] = share;
            }
        }
    }

    /// Loss of the scores of one example under [`Loss::SoftmaxWeighted`], which become gradients
    /// times `weight`; returns the loss and the gradient of the bias.
    #[inline(always)]
    fn weighted(
        scores: &mut [f32],
        bias: f32,
        (window, temperature): (usize, f64),
        (is_positive, weight): (bool, f32),
        [means, weights]: &mut [Vec<f32>; 2],
    ) -> (f64, f32) {
        rolling_means(scores, window, means);
        softmax_weights(means, temperature, weights);
        let target = if is_positive { 1.0 } else { 0.0 };
        let (mut loss, scale) = (0.0, 1.0 / temperature as f32);
        for (mean, share) in means.iter_mut().zip(weights.iter()) {
            let z = *mean + bias;
            // The library's logarithm: weights of such probes are kept to the last bit.
            let of_token = z.max(0.0) - z * target + exp(-z.abs()).ln_1p();
            loss += share * of_token;
            *mean = of_token;
        }
        // Now `means` holds the losses; the logits are computed anew for their derivatives.
        let window = window.min(scores.len());
        let mut losses = std::mem::take(means);
        rolling_means(scores, window, means);
        let mut bias_gradient = 0.0;
        for ((of_token, share), mean) in losses.iter_mut().zip(weights.iter()).zip(means.iter()) {
            let z = mean + bias;
            let slope = share * (sigmoid(z) - target);
            bias_gradient += slope;
            *of_token = weight * (slope + share * (*of_token - loss) * scale) / window as f32;
        }
        scores.fill(0.0);
        for (first, gradient) in losses.iter().enumerate() {
            for s in &mut scores[first..first + window] {
                *s += gradient;
            }
        }
        *means = losses;
        (f64::from(loss) * f64::from(weight), bias_gradient * weight)
    }
}

/// Softmax of scores divided by a temperature, into `weights`.
#[inline(always)]
fn softmax_weights(scores: &[f32], temperature: f64, weights: &mut Vec<f32>) {
    let scale = 1.0 / temperature as f32;
    weights.clear();
    weights.extend(scores.iter().map(|s| s * scale));
    softmax_pattern(weights, 0.0);
}

/// Mean of every window of neighbours, into `means`; of all, where there are fewer.
#[inline(always)]
fn rolling_means(scores: &[f32], window: usize, means: &mut Vec<f32>) {
    let window = window.min(scores.len());
    means.clear();
    means.resize(scores.len() + 1 - window, 0.0);
    for by in 0..window {
        for (mean, s) in means.iter_mut().zip(&scores[by..]) {
            *mean += s;
        }
    }
    let scale = 1.0 / window as f32;
    for mean in means {
        *mean *= scale;
    }
}

/// Exponential moving averages, into `means`.
#[inline(always)]
fn moving_averages(scores: &[f32], alpha: f32, means: &mut Vec<f32>) {
    means.clear();
    means.extend(scores.iter().scan(scores[0], |mean, s| {
        *mean += alpha * (s - *mean);
        Some(*mean)
    }));
}

impl HostKernel for TokenKernel {
    fn layout(&self) -> KernelLayout {
        KernelLayout {
            rows: vec![("weight", self.n_out)],
            small: vec![("bias", vec![self.n_out])],
            first: None,
        }
    }

    #[inline(always)]
    fn forward(&self, block: &Block<'_>, small: &[f32], products: &mut [f32], logits: &mut [f32]) {
        let mut scratch = Vec::new();
        for (class, scores) in products.chunks(block.n_tokens).enumerate() {
            let of_class = logits[class..].iter_mut().step_by(self.n_out);
            for ((from, length), logit) in block.examples().zip(of_class) {
                let scores = &scores[from..from + length];
                *logit = self.aggregate(scores, &mut scratch) + small[class];
            }
        }
    }

    #[inline(always)]
    fn backward(&self, block: &Block<'_>, targets: &Targets<'_>, trial: TrialOfBlock<'_>) -> f64 {
        let TrialOfBlock { small, products, gradient } = trial;
        if let Loss::SoftmaxWeighted { window, temperature } = targets.loss() {
            let (mut loss, mut scratch) = (0.0, [Vec::new(), Vec::new()]);
            for (example, (from, length)) in block.examples().enumerate() {
                let (of_example, of_bias) = Self::weighted(
                    &mut products[from..from + length],
                    small[0],
                    (window, temperature),
                    (targets.labels()[example] == 1, targets.share(example)),
                    &mut scratch,
                );
                loss += of_example;
                gradient[0] += of_bias;
            }
            return loss;
        }
        let mut residuals = vec![0.0; block.lengths.len() * self.n_out];
        self.forward(block, small, products, &mut residuals);
        let loss = targets.loss_and_gradient(&mut residuals);
        let mut scratch = Vec::new();
        for (class, scores) in products.chunks_mut(block.n_tokens).enumerate() {
            let of_class = residuals[class..].iter().step_by(self.n_out);
            for ((from, length), residual) in block.examples().zip(of_class) {
                let scores = &mut scores[from..from + length];
                self.aggregate_backward(scores, *residual, &mut scratch);
                gradient[class] += residual;
            }
        }
        loss
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use attention_probes_kernels::sum;

    #[test]
    fn of_equal_scores_only_as_many_as_wanted_are_taken() {
        let kernel = TokenKernel::new(Aggregation::TopMean { k: 2 }, 1);
        let mut scores = [1.0, 3.0, 1.0, 1.0];
        approx::assert_abs_diff_eq!(kernel.aggregate(&scores, &mut Vec::new()), 2.0);
        kernel.aggregate_backward(&mut scores, 1.0, &mut Vec::new());
        approx::assert_abs_diff_eq!(scores[..], [0.5, 0.5, 0.0, 0.0][..]);
    }

    #[test]
    fn the_gradients_of_an_aggregation_sum_to_the_residual() {
        let scores = [0.3, -1.0, 2.0, 0.7, 0.1, -0.4];
        for aggregation in [
            Aggregation::Softmax { temperature: 0.7 },
            Aggregation::TopMean { k: 3 },
            Aggregation::RollingMax { window: 4 },
            Aggregation::Ema { alpha: 0.3 },
        ] {
            let kernel = TokenKernel::new(aggregation, 1);
            let mut gradients = scores;
            kernel.aggregate_backward(&mut gradients, 2.0, &mut Vec::new());
            approx::assert_abs_diff_eq!(sum(&gradients), 2.0, epsilon = 1e-5);
        }
    }
}
