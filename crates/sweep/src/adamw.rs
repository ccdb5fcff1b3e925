//! `AdamW` over parameters with a leading `n_trials` axis, each trial with its own step.

use attention_probes_probes::linalg::vectorize;
use rayon::prelude::*;

/// Decay of the mean of gradients.
const BETA_1: f64 = 0.9;
/// Decay of the mean of squared gradients.
const BETA_2: f64 = 0.999;
/// Keeps the division finite.
const EPSILON: f32 = 1e-8;

/// Step size and decay of one trial.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    /// Step size.
    pub(crate) learning_rate: f64,
    /// Share of each parameter that a step of size 1 takes away.
    pub(crate) weight_decay: f64,
}

/// Moments of one stacked parameter array.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Moments {
    /// Running mean of gradients.
    pub(crate) first: Vec<f32>,
    /// Running mean of squared gradients.
    pub(crate) second: Vec<f32>,
}

impl Moments {
    /// Zero moments for `n` parameters.
    pub(crate) fn zeros(n: usize) -> Self {
        Self { first: vec![0.0; n], second: vec![0.0; n] }
    }

    /// One step of every trial.
    ///
    /// ```text
    /// p ← p (1 - lr wd);  m ← β₁ m + (1-β₁) g;  v ← β₂ v + (1-β₂) g²
    /// p ← p - lr (m / (1-β₁ᵏ)) / (√(v / (1-β₂ᵏ)) + ε)
    /// ```
    ///
    /// Decay is decoupled and applies to every parameter, as in `torch.optim.AdamW` (Loshchilov
    /// and Hutter, 2019).
    ///
    /// # Shapes
    ///
    /// - `params`, `gradients`: `[n_trials, …]`, with `rates.len()` trials
    /// - `step` counts from 1
    pub(crate) fn step(
        &mut self,
        params: &mut [f32],
        gradients: &[f32],
        rates: &[Rate],
        step: usize,
    ) {
        if params.is_empty() {
            return;
        }
        let per_trial = params.len() / rates.len();
        let exponent = i32::try_from(step).unwrap_or(i32::MAX);
        let correction_1 = (1.0 - BETA_1.powi(exponent)) as f32;
        let correction_2 = (1.0 - BETA_2.powi(exponent)) as f32;
        let (keep_1, new_1) = (BETA_1 as f32, (1.0 - BETA_1) as f32);
        let (keep_2, new_2) = (BETA_2 as f32, (1.0 - BETA_2) as f32);
        params
            .par_chunks_mut(per_trial)
            .zip(gradients.par_chunks(per_trial))
            .zip(self.first.par_chunks_mut(per_trial))
            .zip(self.second.par_chunks_mut(per_trial))
            .zip(rates)
            .for_each(|((((params, gradients), first), second), rate)| {
                let decay = (1.0 - rate.learning_rate * rate.weight_decay) as f32;
                let rate = rate.learning_rate as f32;
                vectorize(
                    #[inline(always)]
                    || {
                        for (((p, g), m), v) in params
                            .iter_mut()
                            .zip(gradients)
                            .zip(first.iter_mut())
                            .zip(second.iter_mut())
                        {
                            *m = keep_1 * *m + new_1 * g;
                            *v = keep_2 * *v + new_2 * g * g;
                            let scale = (*v / correction_2).sqrt() + EPSILON;
                            *p = *p * decay - rate * (*m / correction_1) / scale;
                        }
                    },
                );
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
