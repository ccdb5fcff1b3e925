//! Weights with their gradient and moments, and the step of Adam.

use attention_probes_kernels::{AdamArrays, AdamStep, dot, vectorize};
use rayon::prelude::*;

/// Values that a task takes; tasks are divided the same whatever the number of threads.
const CHUNK: usize = 1 << 14;

/// One array of weights while it trains.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Trained {
    pub(super) values: Vec<f32>,
    pub(super) gradient: Vec<f32>,
    /// Running mean of gradients.
    pub(super) first: Vec<f32>,
    /// Running mean of squared gradients.
    pub(super) second: Vec<f32>,
}

impl Trained {
    pub(super) fn new(values: Vec<f32>) -> Self {
        let zeros = vec![0.0; values.len()];
        Self { values, gradient: zeros.clone(), first: zeros.clone(), second: zeros }
    }

    /// Squared norm of the gradient.
    pub(super) fn gradient_squares(&self) -> f64 {
        let of_chunk = |chunk: &[f32]| {
            vectorize(
                #[inline(always)]
                || squares(chunk),
            )
        };
        let sums: Vec<f64> = self.gradient.par_chunks(CHUNK).map(of_chunk).collect();
        sums.iter().sum()
    }

    /// One step of Adam, as in `torch.optim.Adam`.
    pub(super) fn update(&mut self, by: &AdamStep) {
        self.values
            .par_chunks_mut(CHUNK)
            .zip(self.gradient.par_chunks(CHUNK))
            .zip(self.first.par_chunks_mut(CHUNK))
            .zip(self.second.par_chunks_mut(CHUNK))
            .for_each(|(((params, gradient), first), second)| {
                AdamArrays { params, gradient, first, second }.step(by);
            });
    }

    /// Euclidean norm of every row.
    pub(super) fn row_norms(&self, width: usize, norms: &mut Vec<f32>) {
        let norm = |row: &[f32]| {
            vectorize(
                #[inline(always)]
                || dot(row, row).sqrt(),
            )
        };
        self.values.par_chunks_exact(width).map(norm).collect_into_vec(norms);
    }
}

/// `Σ a²`, in `f64` from row to row.
#[inline(always)]
#[expect(clippy::inline_always, reason = "vectorises only inside the dispatched closure")]
pub(super) fn squares(a: &[f32]) -> f64 {
    f64::from(dot(a, a))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_steps_follow_the_formula() {
        let mut trained = Trained::new(vec![1.0, -2.0]);
        trained.gradient = vec![3.0, -0.5];
        let step = |step| AdamStep {
            learning_rate: 0.1,
            betas: [0.9, 0.99],
            step,
            gradient_scale: 0.5,
            ..AdamStep::default()
        };
        trained.update(&step(1));
        // The first step has the size of the rate, whatever the gradient.
        approx::assert_abs_diff_eq!(trained.values[..], [0.9, -1.9][..], epsilon = 1e-6);
        trained.gradient = vec![1.0, 0.0];
        trained.update(&step(2));
        let (m, v) = (0.9 * 0.15 + 0.1 * 0.5, 0.99 * 0.0225 + 0.01 * 0.25_f64);
        let moved = 0.1 * (m / (1.0 - 0.81)) / (v / (1.0 - 0.9801)).sqrt();
        approx::assert_abs_diff_eq!(f64::from(trained.values[0]), 0.9 - moved, epsilon = 1e-6);
        approx::assert_abs_diff_eq!(trained.gradient_squares(), 1.0);
        let mut norms = Vec::new();
        Trained::new(vec![3.0, 4.0, 0.0, 1.0]).row_norms(2, &mut norms);
        assert_eq!(norms, [5.0, 1.0]);
    }
}
