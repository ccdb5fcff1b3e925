//! The functions of logistic regression in `f64`.

/// `1 / (1 + e^-z)`.
///
/// # Examples
///
/// ```
/// assert_eq!(attention_probes::kernels::sigmoid(0.0), 0.5);
/// ```
pub fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// `ln(1 + e^z)`, without overflow: what a logit `-z` costs where the answer is yes.
pub fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

/// Turns logits into the probabilities of their softmax, in place.
///
/// ```text
/// p_k = e^(z_k - max z) / Σ_j e^(z_j - max z)
/// ```
///
/// NaN makes all of them NaN.
///
/// # Shapes
///
/// - `logits`: `[n_classes]`
///
/// # Examples
///
/// ```
/// let mut row = [1000.0, 1000.0];
/// attention_probes::kernels::softmax(&mut row);
/// assert_eq!(row, [0.5, 0.5]);
/// ```
pub fn softmax(logits: &mut [f64]) {
    let highest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    for z in logits.iter_mut() {
        *z = (*z - highest).exp();
    }
    let sum: f64 = logits.iter().sum();
    for power in logits {
        *power /= sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softplus_is_finite_and_its_slope_is_the_sigmoid() {
        for z in [-1e4, -30.0, -1.0, 0.0, 0.5, 40.0, 1e4] {
            let slope = (softplus(z + 1e-5) - softplus(z - 1e-5)) / 2e-5;
            approx::assert_abs_diff_eq!(slope, sigmoid(z), epsilon = 1e-6);
        }
        approx::assert_abs_diff_eq!(softplus(0.0), 2.0_f64.ln());
    }

    #[test]
    fn a_softmax_keeps_ratios_and_nan() {
        let mut row = [2.0_f64.ln() - 800.0, 6.0_f64.ln() - 800.0, -800.0];
        softmax(&mut row);
        approx::assert_abs_diff_eq!(
            row[..],
            [2.0 / 9.0, 6.0 / 9.0, 1.0 / 9.0][..],
            epsilon = 1e-12
        );
        let mut row = [0.0, f64::NAN];
        softmax(&mut row);
        assert!(row.iter().all(|p| p.is_nan()));
    }
}
