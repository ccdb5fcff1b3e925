//! How many logits a probe has, and the probabilities that they stand for.

use attention_probes_metrics::class_probabilities;
use attention_probes_models::host_values;
use burn::tensor::Tensor;

use crate::ProbeError;

/// Number of logits of a probe: 1 for up to two classes, else one per class.
pub fn n_out(n_classes: usize) -> usize {
    if n_classes <= 2 { 1 } else { n_classes }
}

/// Turns logits into probabilities, row-major `[n, n_classes]`.
///
/// One column of logits becomes two of probabilities by the sigmoid, more go through the softmax.
/// The arithmetic is in `f64` on the host.
///
/// # Shapes
///
/// - `logits`: `[n, n_out]`
///
/// # Errors
///
/// [`ProbeError::Device`] if the device does not hand the logits over.
///
/// # Panics
///
/// If `logits` does not have the width that [`n_out`] gives for `n_classes`.
pub fn probabilities(logits: Tensor<2>, n_classes: usize) -> Result<Vec<f64>, ProbeError> {
    let [_, n_columns] = logits.dims();
    assert_eq!(n_columns, n_out(n_classes), "logits do not belong to {n_classes} classes");
    Ok(probabilities_from_logits(&host_values(logits)?, n_classes))
}

/// As [`probabilities`], of logits that are on the host: `[n, n_out]`, row-major.
pub fn probabilities_from_logits(logits: &[f32], n_classes: usize) -> Vec<f64> {
    class_probabilities(logits, n_classes)
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn probabilities_sum_to_one_and_never_overflow() {
        let device = Device::flex();
        let binary = Tensor::<2>::from_data([[0.0], [800.0], [-800.0_f32]], &device);
        assert_eq!(probabilities(binary, 2).unwrap(), [0.5, 0.5, 0.0, 1.0, 1.0, 0.0]);

        let ln2 = 2.0_f32.ln();
        let classes = Tensor::<2>::from_data([[700.0, 700.0 + ln2, 700.0_f32]], &device);
        let probabilities = probabilities(classes, 3).unwrap();
        for (p, expected) in probabilities.iter().zip([0.25, 0.5, 0.25]) {
            assert_abs_diff_eq!(*p, expected, epsilon = 1e-4);
        }
        assert_abs_diff_eq!(probabilities.iter().sum::<f64>(), 1.0, epsilon = 1e-12);
    }
}
