//! The step of Adam and `AdamW`.

use crate::vectorize;

/// Keeps the division finite, as in torch.
const EPSILON: f64 = 1e-8;

/// What a step of Adam takes besides the arrays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// Step size.
    pub learning_rate: f64,
    /// Share of each parameter that a step of size 1 takes away; 0 for plain Adam.
    pub weight_decay: f64,
    /// Decay of the mean of gradients, and of the mean of squared gradients.
    pub betas: [f64; 2],
    /// Number of this step, counted from 1.
    pub step: u64,
    /// What every gradient is multiplied by first, such as to keep to a largest norm; else 1.
    pub gradient_scale: f64,
}

impl Default for AdamStep {
    /// torch's `Adam` at its first step.
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            weight_decay: 0.0,
            betas: [0.9, 0.999],
            step: 1,
            gradient_scale: 1.0,
        }
    }
}

/// One array of parameters with its gradient and moments, or a part of it, all `[n]`.
#[derive(Debug)]
pub struct AdamArrays<'a, T> {
    /// What is trained.
    pub params: &'a mut [T],
    /// Derivative of the loss by each parameter.
    pub gradient: &'a [T],
    /// Running mean of gradients, zeros before the first step.
    pub first: &'a mut [T],
    /// Running mean of squared gradients, zeros before the first step.
    pub second: &'a mut [T],
}

macro_rules! step {
    ($real:ty, $cast:expr) => {
        impl AdamArrays<'_, $real> {
            /// Takes one step, on the thread that calls.
            ///
            /// ```text
            /// g ← scale g;  m ← β₁ m + (1-β₁) g;  v ← β₂ v + (1-β₂) g²
            /// p ← p (1 - lr wd) - lr (m / (1-β₁ᵏ)) / (√(v / (1-β₂ᵏ)) + ε),   ε = 1e-8
            /// ```
            ///
            /// Decay is decoupled and applies to every parameter, as in `torch.optim.AdamW`
            /// (Loshchilov and Hutter, 2019); without decay it is `torch.optim.Adam` (Kingma and
            /// Ba, 2015).
            ///
            /// # Panics
            ///
            /// If the arrays are not of one length.
            pub fn step(self, by: &AdamStep) {
                let Self { params, gradient, first, second } = self;
                let lengths = [gradient.len(), first.len(), second.len()];
                assert_eq!(lengths, [params.len(); 3], "lengths of gradient and moments");
                let cast: fn(f64) -> $real = $cast;
                let [beta_1, beta_2] = by.betas;
                let exponent = i32::try_from(by.step).unwrap_or(i32::MAX);
                let correction_1 = cast(1.0 - beta_1.powi(exponent));
                let correction_2 = cast(1.0 - beta_2.powi(exponent));
                let (keep_1, new_1) = (cast(beta_1), cast(1.0 - beta_1));
                let (keep_2, new_2) = (cast(beta_2), cast(1.0 - beta_2));
                let decay = cast(1.0 - by.learning_rate * by.weight_decay);
                let rate = cast(by.learning_rate);
                let (scale, epsilon) = (cast(by.gradient_scale), cast(EPSILON));
                vectorize(
                    #[inline(always)]
                    || {
                        for (((p, g), m), v) in params
                            .iter_mut()
                            .zip(gradient)
                            .zip(first.iter_mut())
                            .zip(second.iter_mut())
                        {
                            let g = scale * g;
                            *m = keep_1 * *m + new_1 * g;
                            *v = keep_2 * *v + new_2 * g * g;
                            let deviation = (*v / correction_2).sqrt() + epsilon;
                            *p = *p * decay - rate * (*m / correction_1) / deviation;
                        }
                    },
                );
            }
        }
    };
}

step!(f32, |x| x as f32);
step!(f64, |x| x);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_moves_by_the_learning_rate_against_the_gradient() {
        let mut params = [1.0_f32, 1.0, -2.0];
        let (mut first, mut second) = ([0.0; 3], [0.0; 3]);
        let by = AdamStep { learning_rate: 0.01, weight_decay: 0.5, ..AdamStep::default() };
        let gradient = &[2.0, -5.0, 1.0];
        AdamArrays { params: &mut params, gradient, first: &mut first, second: &mut second }
            .step(&by);
        let expected = [0.995 - 0.01, 0.995 + 0.01, -2.0 * 0.995 - 0.01];
        approx::assert_abs_diff_eq!(params[..], expected[..], epsilon = 1e-6);
    }

    #[test]
    fn further_steps_follow_the_formula_in_both_formats() {
        let by = |step| AdamStep {
            learning_rate: 0.1,
            betas: [0.9, 0.99],
            step,
            gradient_scale: 0.5,
            ..AdamStep::default()
        };
        let (mut params, mut first, mut second) = ([1.0_f64], [0.0], [0.0]);
        let (mut params_f32, mut first_f32, mut second_f32) = ([1.0_f32], [0.0], [0.0]);
        for (step, gradient) in [(1, 3.0), (2, 1.0)] {
            let (params, first, second) = (&mut params[..], &mut first[..], &mut second[..]);
            AdamArrays { params, gradient: &[gradient], first, second }.step(&by(step));
            let (first, second) = (&mut first_f32[..], &mut second_f32[..]);
            let (params, gradient) = (&mut params_f32[..], &[gradient as f32]);
            AdamArrays { params, gradient, first, second }.step(&by(step));
        }
        let (m, v) = (0.9 * 0.15 + 0.1 * 0.5, 0.99 * 0.0225 + 0.01 * 0.25_f64);
        // The first step has the size of the rate, whatever the gradient.
        let expected = 0.9 - 0.1 * (m / (1.0 - 0.81)) / (v / (1.0 - 0.9801)).sqrt();
        approx::assert_abs_diff_eq!(params[0], expected, epsilon = 1e-7);
        approx::assert_abs_diff_eq!(f64::from(params_f32[0]), expected, epsilon = 1e-6);
    }
}
