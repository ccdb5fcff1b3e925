//! Losses of a block of rows, and their derivatives, written so that they vectorise.
#![expect(
    clippy::inline_always,
    reason = "a loop gets the instructions of the place that it is inlined into"
)]

use attention_probes_kernels::fast::exp;

use super::problem::{Columns, Examples, LANES, Problem};

/// Targets and weights of a block of rows, laid out as their logits.
pub(super) struct Block {
    n_problems: usize,
    n_logits: usize,
    width: usize,
    labels: Vec<usize>,
    /// Fold that does not count, one that does not exist if all do.
    held_out: Vec<u32>,
    /// `[n, width]`
    targets: Vec<f32>,
    /// `[n, n_problems]` for the softmax, `[n, width]` for one logit.
    weights: Vec<f32>,
}

impl Block {
    pub(super) fn new(problems: &[&Problem], columns: &Columns) -> Self {
        Self {
            n_problems: columns.n_problems,
            n_logits: columns.n_logits,
            width: columns.width,
            labels: problems.iter().map(|problem| problem.label).collect(),
            held_out: problems.iter().map(|problem| problem.held_out.unwrap_or(u32::MAX)).collect(),
            targets: Vec::new(),
            weights: Vec::new(),
        }
    }

    #[inline(always)]
    pub(super) fn fill(&mut self, examples: &Examples<'_>, first: usize, n: usize) {
        let stride = if self.n_logits == 1 { self.width } else { self.n_problems };
        self.targets.resize(n * self.width, 0.0);
        self.weights.resize(n * stride, 0.0);
        let rows = self.targets.chunks_exact_mut(self.width);
        for (i, (targets, weights)) in rows.zip(self.weights.chunks_exact_mut(stride)).enumerate() {
            let example = first + i;
            let row = examples.targets.row(example);
            if self.n_logits > 1 {
                let classes = targets.chunks_exact_mut(self.n_problems);
                for (targets, target) in classes.zip(row) {
                    targets.fill(*target);
                }
            } else if let [target] = row {
                targets.fill(*target);
            } else {
                for (target, label) in targets.iter_mut().zip(&self.labels) {
                    *target = row[*label];
                }
            }
            let weight = examples.weights.map_or(1.0, |weights| weights[example]);
            let fold = examples.folds.get(example).copied().unwrap_or(u32::MAX - 1);
            for (value, held_out) in weights.iter_mut().zip(&self.held_out) {
                *value = if *held_out == fold { 0.0 } else { weight };
            }
        }
    }

    /// Turns logits of a block of rows into derivatives of their losses, which it adds.
    #[inline(always)]
    pub(super) fn differentiate(
        &mut self,
        examples: &Examples<'_>,
        (first, n): (usize, usize),
        (z, loss): (&mut [f32], &mut [f64]),
    ) {
        self.fill(examples, first, n);
        if self.n_logits == 1 {
            self.binary(z, loss);
        } else {
            self.softmax(z, loss);
        }
    }

    /// Adds losses of one logit, and turns logits into their derivatives.
    ///
    /// ```text
    /// loss = w (max(z, 0) - z t + ln(1 + e^-|z|)),   residual = w (sigmoid(z) - t)
    /// ```
    #[inline(always)]
    pub(super) fn binary(&self, z: &mut [f32], loss: &mut [f64]) {
        let rows = z.chunks_exact_mut(self.width).zip(self.targets.chunks_exact(self.width));
        for ((z, targets), weights) in rows.zip(self.weights.chunks_exact(self.width)) {
            // Padding has no weight; whole lanes have no remainder to do one by one.
            let lanes = z.chunks_exact_mut(LANES).zip(loss.chunks_exact_mut(LANES));
            let given = targets.chunks_exact(LANES).zip(weights.chunks_exact(LANES));
            for ((z, loss), (targets, weights)) in lanes.zip(given) {
                for lane in 0..LANES {
                    let (logit, target, weight) = (z[lane], targets[lane], weights[lane]);
                    let tail = exp(-logit.abs());
                    let inverse = 1.0 / (1.0 + tail);
                    let sigmoid = if logit >= 0.0 { inverse } else { tail * inverse };
                    let value = logit.max(0.0) - logit * target + ln_1p(tail);
                    loss[lane] += f64::from(weight * value);
                    z[lane] = weight * (sigmoid - target);
                }
            }
        }
    }

    /// Adds losses of a softmax, and turns logits into their derivatives.
    ///
    /// ```text
    /// loss = w (ln Σ_k e^z_k - Σ_k t_k z_k),   residual_k = w (softmax(z)_k - t_k)
    /// ```
    #[inline(always)]
    pub(super) fn softmax(&self, z: &mut [f32], loss: &mut [f64]) {
        let n = self.n_problems;
        let (mut highest, mut sums, mut right) = (vec![0.0_f32; n], vec![0.0_f32; n], vec![0.0; n]);
        let rows = z.chunks_exact_mut(self.width).zip(self.targets.chunks_exact(self.width));
        for ((z, targets), weights) in rows.zip(self.weights.chunks_exact(n)) {
            let (z, _) = z.split_at_mut(n * self.n_logits);
            highest.copy_from_slice(&z[..n]);
            for z in z.chunks_exact(n) {
                for (highest, z) in highest.iter_mut().zip(z) {
                    *highest = highest.max(*z);
                }
            }
            sums.fill(0.0);
            right.fill(0.0);
            for (z, targets) in z.chunks_exact_mut(n).zip(targets.chunks_exact(n)) {
                for problem in 0..n {
                    let distance = z[problem] - highest[problem];
                    right[problem] += f64::from(targets[problem] * distance);
                    z[problem] = exp(distance);
                    sums[problem] += z[problem];
                }
            }
            for problem in 0..n {
                let value = f64::from(sums[problem]).ln() - right[problem];
                loss[problem] += f64::from(weights[problem]) * value;
            }
            for (z, targets) in z.chunks_exact_mut(n).zip(targets.chunks_exact(n)) {
                for problem in 0..n {
                    let p = z[problem] / sums[problem];
                    z[problem] = weights[problem] * (p - targets[problem]);
                }
            }
        }
    }
}

/// `ln(1 + x)` for `x` from 0 to 1, to 2e-7 of its value: twice the series of the area hyperbolic
/// tangent of `x / (2 + x)`.
///
/// A term fewer than [`attention_probes_kernels::fast::ln_1p`]: in the solver's innermost loop, whose
/// results are kept to the last bit.
#[inline(always)]
fn ln_1p(x: f32) -> f32 {
    let s = x / (2.0 + x);
    let t = s * s;
    let p = 1.0 / 13.0_f32;
    let p = p * t + 1.0 / 11.0;
    let p = p * t + 1.0 / 9.0;
    let p = p * t + 1.0 / 7.0;
    let p = p * t + 1.0 / 5.0;
    let p = p * t + 1.0 / 3.0;
    2.0 * (s + s * t * p)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_within_three_parts_in_ten_million() {
        let small = [1e-30, 1e-12, 1e-5];
        for x in small.into_iter().chain((0..=1000_i16).map(|i| f32::from(i) / 1000.0)) {
            let truth = f64::from(x).ln_1p();
            assert!((f64::from(ln_1p(x)) - truth).abs() <= 3e-7 * truth, "ln_1p({x})");
        }
    }
}
