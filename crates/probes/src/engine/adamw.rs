//! `AdamW` over parameters with a leading `n_trials` axis, each trial with its own step.

use attention_probes_kernels::{AdamArrays, AdamStep};
use rayon::prelude::*;

/// Decays of the mean of gradients and of the mean of squared gradients, as in torch.
const BETAS: [f64; 2] = [0.9, 0.999];

/// Step size and decay of one trial.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Step size.
    pub learning_rate: f64,
    /// Share of each parameter that a step of size 1 takes away.
    pub weight_decay: f64,
}

/// Moments of one stacked parameter array.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// Running mean of gradients.
    pub first: Vec<f32>,
    /// Running mean of squared gradients.
    pub second: Vec<f32>,
}

impl Moments {
    /// Zero moments for `n` parameters.
    pub fn zeros(n: usize) -> Self {
        Self { first: vec![0.0; n], second: vec![0.0; n] }
    }

    /// One step of every trial, as [`AdamArrays`] has it.
    ///
    /// # Shapes
    ///
    /// - `params`, `gradients`: `[n_trials, …]`, with `rates.len()` trials
    /// - `step` counts from 1
    pub fn step(&mut self, params: &mut [f32], gradients: &[f32], rates: &[Rate], step: usize) {
        if params.is_empty() {
            return;
        }
        let per_trial = params.len() / rates.len();
        params
            .par_chunks_mut(per_trial)
            .zip(gradients.par_chunks(per_trial))
            .zip(self.first.par_chunks_mut(per_trial))
            .zip(self.second.par_chunks_mut(per_trial))
            .zip(rates)
            .for_each(|((((params, gradient), first), second), rate)| {
                let &Rate { learning_rate, weight_decay } = rate;
                let step = step as u64;
                let by = AdamStep {
                    learning_rate,
                    weight_decay,
                    betas: BETAS,
                    step,
                    gradient_scale: 1.0,
                };
                AdamArrays { params, gradient, first, second }.step(&by);
            });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_moves_by_the_learning_rate_against_the_gradient() {
        let mut params = vec![1.0, 1.0, -2.0, 3.0];
        let rates = [
            Rate { learning_rate: 0.1, weight_decay: 0.0 },
            Rate { learning_rate: 0.01, weight_decay: 0.5 },
        ];
        let mut moments = Moments::zeros(4);
        moments.step(&mut params, &[2.0, -5.0, 1.0, -1.0], &rates, 1);
        let expected = [0.9, 1.1, -2.0 * 0.995 - 0.01, 3.0 * 0.995 + 0.01];
        for (found, expected) in params.iter().zip(expected) {
            approx::assert_abs_diff_eq!(*found, expected, epsilon = 1e-6);
        }
    }

    #[test]
    fn the_second_step_follows_the_formula() {
        let rates = [Rate { learning_rate: 0.1, weight_decay: 0.0 }];
        let (mut params, mut moments) = (vec![0.0], Moments::zeros(1));
        moments.step(&mut params, &[1.0], &rates, 1);
        moments.step(&mut params, &[0.5], &rates, 2);
        let (m, v): (f64, f64) = (0.9 * 0.1 + 0.1 * 0.5, 0.999 * 0.001 + 0.001 * 0.25);
        let second = 0.1 * (m / 0.19) / (v / (1.0 - 0.999_f64.powi(2))).sqrt();
        approx::assert_abs_diff_eq!(f64::from(params[0]), -0.1 - second, epsilon = 1e-6);
    }
}
