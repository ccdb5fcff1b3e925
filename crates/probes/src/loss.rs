//! Losses: how far logits are from labels.

use attention_probes_errors::ValueError;
use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Bool, Device, Tensor, TensorData, assert_shape};
use serde::{Deserialize, Serialize};

use crate::aggregation::{left_aligned, over, rolling_mean, window_mask};
use crate::{ProbeConfig, ProbeError, n_out};

/// How far a probe is from the labels, as training sees it; metrics always use the cross-entropy.
///
/// With `ce` the cross-entropy of an example and `p` the probability of its class:
///
/// ```text
/// cross_entropy     ce
/// focal             (1 - p)^gamma ce
/// softmax_weighted  Σ_t w[t] ce(m[t]),   m[t] the mean score of `window` tokens up to t,
///                   w = softmax over t of m / temperature
/// ```
///
/// Focal: Lin et al., "Focal loss for dense object detection" (2017). Softmax-weighted, over means
/// of a sliding window: Anthropic, "Constitutional classifiers++" (2026); the gradient goes through
/// the weights too. Windows are those of [`Aggregation::RollingMax`](crate::Aggregation).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum Loss {
    /// Negative log-likelihood.
    #[default]
    CrossEntropy,
    /// Cross-entropy that cares less for what is right already.
    Focal {
        /// At least 0; 0 is the cross-entropy.
        gamma: f64,
    },
    /// Cross-entropy of every window, the highest scores first; for a
    /// [`TokenProbe`](crate::TokenProbe) of two classes.
    SoftmaxWeighted {
        /// Tokens whose scores are averaged, at least 1.
        window: usize,
        /// Above 0; the higher, the more alike all windows weigh.
        temperature: f64,
    },
}

impl Loss {
    /// Checks the parameters.
    ///
    /// # Errors
    ///
    /// [`ProbeError::Hyperparameter`] if one is out of range.
    pub fn check(&self) -> Result<(), ProbeError> {
        let (name, value, expected, is_right) = match *self {
            Self::CrossEntropy => return Ok(()),
            Self::Focal { gamma } => {
                ("gamma", gamma, "0 or a number above it", gamma >= 0.0 && gamma.is_finite())
            }
            Self::SoftmaxWeighted { window: 0, .. } => ("window", 0.0, "at least 1", false),
            Self::SoftmaxWeighted { temperature, .. } => {
                let is_right = temperature > 0.0 && temperature.is_finite();
                ("temperature", temperature, "a number above 0", is_right)
            }
        };
        if is_right { Ok(()) } else { Err(ValueError::new(name, value, expected).into()) }
    }

    /// Checks the parameters, and that a probe can be trained by this loss.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::Hyperparameter`] if a parameter is out of range
    /// - [`ProbeError::LossOfTokens`] if a loss of tokens meets a probe that does not score tokens,
    ///   or tells more than two classes apart
    pub fn check_probe(&self, probe: &ProbeConfig) -> Result<(), ProbeError> {
        self.check()?;
        let scores_tokens = matches!(probe, ProbeConfig::Token(config) if config.n_classes == 2);
        if matches!(self, Self::SoftmaxWeighted { .. }) && !scores_tokens {
            let (kind, n_classes) = (probe.kind(), probe.n_classes());
            return Err(ProbeError::LossOfTokens { kind, n_classes });
        }
        Ok(())
    }
}

/// Loss of each example from the scores of its tokens, as [`Loss::SoftmaxWeighted`] says.
///
/// # Shapes
///
/// - `scores`: `[batch, pos, 1]`
/// - `mask_pad`: `[batch, pos]`, `true` where the token is padding
/// - `targets`: `[batch, 1]`
/// - returns `[batch]`
///
/// # Panics
///
/// If the shapes do not fit each other.
pub fn softmax_weighted_loss(
    scores: Tensor<3>,
    mask_pad: Tensor<2, Bool>,
    targets: Tensor<2>,
    window: usize,
    temperature: f64,
) -> Tensor<1> {
    let [batch, pos, _] = scores.dims();
    assert_shape!(scores, [batch, pos, 1]);
    assert_shape!(targets, [batch, 1]);
    let (scores, behind) = left_aligned(scores, mask_pad);
    let mask = over(window_mask(behind, window), 1);
    let means = rolling_mean(&scores, window).mask_fill(mask.clone(), 0.0);
    let seen = means.clone().div_scalar(temperature).mask_fill(mask, -1e30);
    let weights = softmax(seen, 1).reshape([batch, pos]);
    let targets = targets.expand([batch, pos]).reshape([batch * pos, 1]);
    let losses = loss_per_example(means.reshape([batch * pos, 1]), targets);
    (weights * losses.reshape([batch, pos])).sum_dim(1).squeeze_dim::<1>(1)
}

/// [`loss_per_example`], less for what is right already, as [`Loss::Focal`] says.
pub(crate) fn focal_loss(logits: Tensor<2>, targets: Tensor<2>, gamma: f64) -> Tensor<1> {
    let loss = loss_per_example(logits, targets);
    let wrong = -(-loss.clone()).exp() + 1.0;
    // A power of exactly 0 has no derivative.
    wrong.clamp_min(1e-12).powf_scalar(gamma) * loss
}

/// Turns labels into what [`loss_per_example`] compares logits with.
///
/// Two classes give one column, 1 for class 1; more give one column per class, 1 in its own.
///
/// # Shapes
///
/// - returns `[labels.len(), n_out]`
///
/// # Panics
///
/// If a label is not below `n_classes`.
pub fn targets_from_labels(labels: &[usize], n_classes: usize, device: &Device) -> Tensor<2> {
    let n_out = n_out(n_classes);
    let mut values = vec![0.0_f32; labels.len() * n_out];
    for (row, &label) in values.chunks_exact_mut(n_out).zip(labels) {
        assert!(label < n_classes, "label {label} is not below {n_classes}");
        if n_out == 1 {
            row[0] = label as f32;
        } else {
            row[label] = 1.0;
        }
    }
    Tensor::from_data(TensorData::new(values, [labels.len(), n_out]), device)
}

/// Loss of each example, in nats.
///
/// One column of logits is binary cross-entropy, more are cross-entropy:
///
/// ```text
/// binary   z·(1/2 - y) + |z|/2 + ln(1 + exp(-|z|))
/// classes  -Σ_c y_c · (z_c - ln Σ_k exp(z_k))
/// ```
///
/// The binary form equals `max(z, 0) - z·y + ln(1 + exp(-|z|))` and never overflows; written this
/// way its derivative is also right at `z = 0`, where the derivative of `|z|` is taken as 0.
///
/// # Shapes
///
/// - `logits`, `targets`: `[batch, n_out]`
/// - returns `[batch]`
///
/// # Panics
///
/// If the shapes differ.
pub fn loss_per_example(logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    let [batch, n_out] = logits.dims();
    assert_shape!(targets, [batch, n_out]);
    let loss = if n_out == 1 {
        let magnitude = logits.clone().abs();
        let linear = logits * (-targets + 0.5) + magnitude.clone() * 0.5;
        linear + (-magnitude).exp().log1p()
    } else {
        -(log_softmax(logits, 1) * targets).sum_dim(1)
    };
    loss.squeeze_dim::<1>(1)
}

/// Mean loss of a batch, each example weighed: `Σ_i w_i loss_i / Σ_i w_i`.
///
/// Without weights it is the plain mean.
///
/// # Shapes
///
/// - `logits`, `targets`: `[batch, n_out]`
/// - `weights`: `[batch]`
/// - returns `[1]`
///
/// # Panics
///
/// If the shapes differ.
pub fn mean_loss(logits: Tensor<2>, targets: Tensor<2>, weights: Option<Tensor<1>>) -> Tensor<1> {
    weighted_mean(loss_per_example(logits, targets), weights)
}

/// `Σ_i w_i loss_i / Σ_i w_i`, the plain mean without weights.
pub(crate) fn weighted_mean(loss: Tensor<1>, weights: Option<Tensor<1>>) -> Tensor<1> {
    match weights {
        None => loss.mean(),
        Some(weights) => {
            let [batch] = loss.dims();
            assert_shape!(weights, [batch]);
            (loss * weights.clone()).sum() / weights.sum()
        }
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;

    use super::*;
    use crate::testing::host_values;

    #[test]
    fn binary_loss_and_its_gradient_are_right_and_finite_everywhere() {
        let device = Device::flex().autodiff();
        let z = [-200.0, -3.0, 0.0, 0.5, 200.0_f32];
        for label in [0_usize, 1] {
            let logits =
                Tensor::<2>::from_data(TensorData::new(z.to_vec(), [5, 1]), &device).require_grad();
            let targets = targets_from_labels(&[label; 5], 2, &device);
            let loss = loss_per_example(logits.clone(), targets);
            let grads = loss.clone().sum().backward();
            let grad = host_values(logits.grad(&grads).unwrap());
            let loss = host_values(loss);
            for i in 0..5 {
                let (z, y) = (f64::from(z[i]), label as f64);
                let expected = z.max(0.0) - z * y + (-z.abs()).exp().ln_1p();
                let expected_grad = 1.0 / (1.0 + (-z).exp()) - y;
                assert_abs_diff_eq!(f64::from(loss[i]), expected, epsilon = 1e-6);
                assert_abs_diff_eq!(f64::from(grad[i]), expected_grad, epsilon = 1e-7);
            }
        }
    }

    #[test]
    fn equal_logits_cost_the_logarithm_of_the_number_of_classes() {
        let device = Device::flex();
        let logits = Tensor::<2>::zeros([2, 4], &device);
        let loss = loss_per_example(logits, targets_from_labels(&[0, 3], 4, &device));
        for value in host_values(loss) {
            assert_abs_diff_eq!(value, 4.0_f32.ln(), epsilon = 1e-6);
        }
    }

    #[test]
    fn a_weight_of_two_equals_seeing_the_example_twice() {
        let device = Device::flex();
        let twice = Tensor::<2>::from_data([[0.3], [-1.0], [-1.0_f32]], &device);
        let once = Tensor::<2>::from_data([[0.3], [-1.0_f32]], &device);
        let weights = Tensor::<1>::from_data([1.0, 2.0_f32], &device);
        let a = mean_loss(twice, targets_from_labels(&[0, 1, 1], 2, &device), None);
        let b = mean_loss(once, targets_from_labels(&[0, 1], 2, &device), Some(weights));
        assert_abs_diff_eq!(host_values(a)[0], host_values(b)[0], epsilon = 1e-6);
    }
}
