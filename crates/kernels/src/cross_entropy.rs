//! Cross-entropies of one example, in nats, from logits or probabilities.
//!
//! Losses of whole batches stay where their batches are: stacked trials in the sweep, tensors in the
//! probes, blocks of rows in the convex solvers.

use crate::softplus;

/// `ln(1 + e^z) - t z`: the cross-entropy of a logit with a target from 0 to 1, without overflow.
///
/// # Examples
///
/// ```
/// use attention_probes::kernels::binary_cross_entropy;
///
/// assert!((binary_cross_entropy(0.0, 1.0) - 2.0_f64.ln()).abs() < 1e-15);
/// assert_eq!(binary_cross_entropy(1e4, 0.0), 1e4);
/// ```
pub fn binary_cross_entropy(logit: f64, target: f64) -> f64 {
    softplus(logit) - target * logit
}

/// `-Σ_k t_k ln p_k`, where a probability of 0 is one that has been rounded to it.
///
/// # Shapes
///
/// - `target`, `probabilities`: `[n_classes]`
pub fn cross_entropy(target: &[f64], probabilities: &[f64]) -> f64 {
    target.iter().zip(probabilities).map(|(t, p)| -t * p.max(f64::EPSILON).ln()).sum()
}

/// How far a logit is on the right side: itself of a positive example, its negative of a negative one.
///
/// Loss and derivative share the exponential.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Margin {
    /// `ln(1 + e^-margin)`, the cross-entropy.
    pub cross_entropy: f64,
    /// `1 / (1 + e^margin)`, the probability of the wrong class: minus the derivative by the margin.
    pub wrong: f64,
}

impl Margin {
    /// Loss and probability of the wrong class at a margin.
    pub fn new(margin: f64) -> Self {
        let decayed = (-margin.abs()).exp();
        let cross_entropy = (-margin).max(0.0) + decayed.ln_1p();
        let wrong = if margin >= 0.0 { decayed / (1.0 + decayed) } else { 1.0 / (1.0 + decayed) };
        Self { cross_entropy, wrong }
    }
}

/// `Σ_k e^(z_k)` of a row of logits, divided by the highest of them so that nothing overflows.
///
/// # Examples
///
/// ```
/// use attention_probes::kernels::SoftmaxSum;
///
/// let row = [0.0, 3.0_f32.ln()];
/// let sum = SoftmaxSum::new(&row);
/// assert!((sum.cross_entropy(row[1]) - (4.0_f64 / 3.0).ln()).abs() < 1e-7);
/// assert!((sum.probability(row[0]) - 0.25).abs() < 1e-7);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SoftmaxSum {
    highest: f32,
    sum: f64,
}

impl SoftmaxSum {
    /// Sums a row, `[n_classes]`, in `f64`.
    pub fn new(logits: &[f32]) -> Self {
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum = logits.iter().map(|z| f64::from(z - highest).exp()).sum();
        Self { highest, sum }
    }

    /// `ln Σ_k e^(z_k)`.
    pub fn ln(&self) -> f64 {
        f64::from(self.highest) + self.sum.ln()
    }

    /// `-ln p` of the class with a logit of the row.
    pub fn cross_entropy(&self, logit: f32) -> f64 {
        self.sum.ln() - f64::from(logit - self.highest)
    }

    /// Probability of the class with a logit of the row.
    pub fn probability(&self, logit: f32) -> f64 {
        f64::from(logit - self.highest).exp() / self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{sigmoid, softmax};

    #[test]
    fn a_margin_has_the_loss_of_its_logit_and_its_slope() {
        for logit in [-700.0, -3.0, 0.0, 0.5, 700.0] {
            for (target, margin) in [(1.0, logit), (0.0, -logit)] {
                let Margin { cross_entropy, wrong } = Margin::new(margin);
                approx::assert_abs_diff_eq!(
                    cross_entropy,
                    binary_cross_entropy(logit, target),
                    epsilon = 1e-9
                );
                approx::assert_abs_diff_eq!(wrong, sigmoid(-margin), epsilon = 1e-12);
            }
        }
    }

    #[test]
    fn the_loss_of_a_label_is_its_cross_entropy() {
        let p = 1.0 / (1.0 + (-0.3_f64).exp());
        let expected = -(0.2 * p.ln() + 0.8 * (1.0 - p).ln());
        approx::assert_abs_diff_eq!(binary_cross_entropy(0.3, 0.2), expected, epsilon = 1e-12);
        approx::assert_abs_diff_eq!(binary_cross_entropy(-900.0, 1.0), 900.0, epsilon = 1e-9);
    }

    #[test]
    fn a_soft_target_costs_its_share_of_both_answers() {
        let p = sigmoid(-0.3);
        let expected = cross_entropy(&[0.8, 0.2], &[1.0 - p, p]);
        approx::assert_abs_diff_eq!(binary_cross_entropy(-0.3, 0.2), expected, epsilon = 1e-12);
        assert!(cross_entropy(&[1.0, 0.0], &[0.0, 1.0]) < 40.0);
    }

    #[test]
    fn a_sum_knows_the_softmax_of_its_row() {
        let row = [300.0_f32, -2.0, 299.0, 298.5];
        let sum = SoftmaxSum::new(&row);
        let mut expected = row.map(f64::from);
        softmax(&mut expected);
        for (z, p) in row.iter().zip(expected) {
            approx::assert_abs_diff_eq!(sum.probability(*z), p, epsilon = 1e-12);
            let loss = sum.ln() - f64::from(*z);
            approx::assert_relative_eq!(sum.cross_entropy(*z), loss, max_relative = 1e-12);
        }
    }
}
