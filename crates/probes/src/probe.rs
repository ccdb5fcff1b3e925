//! A probe of any kind, with its weights on a device.

use std::sync::Arc;

use attention_probes_metrics::class_probabilities;
use attention_probes_models::{ModelError, host_values};
use burn::tensor::{Bool, Device, Tensor, assert_shape};

use crate::engine::{DeviceState, batch_of, device_state};
use crate::kinds::{Batch, PaddedTokens};
use crate::{ParamArray, ProbeConfig, ProbeError, ProbeState};

/// A probe of any kind: a reader of activations with its weights, on a device.
///
/// # Examples
///
/// ```
/// use attention_probes_probes::{MultiMax, ProbeConfig};
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::default();
/// let probe = ProbeConfig::new(MultiMax { n_heads: 2 }, 4, 3).init(1, &device)?;
/// let x = Tensor::<3>::ones([2, 5, 4], &device);
/// let mask_pad = Tensor::<2>::zeros([2, 5], &device).bool();
/// assert_eq!(probe.forward(x, mask_pad).logits.dims(), [2, 3]);
/// # Ok::<(), attention_probes_probes::ProbeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Probe {
    config: ProbeConfig,
    /// Each `[1, size]`.
    arrays: Arc<DeviceState>,
    device: Device,
}

/// What [`Probe::forward`] returns.
#[derive(Clone, Debug)]
pub struct ProbeOutput {
    /// Class scores before the sigmoid or softmax, `[batch, n_out]`; `n_out` is 1 for two classes.
    pub logits: Tensor<2>,
    /// Weight of each token, `[batch, n_heads, pos]`, where the probe weighs tokens; real tokens
    /// first, wherever the padding was.
    pub pattern: Option<Tensor<3>>,
}

impl Probe {
    /// Makes a probe of given weights.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::Hyperparameter`] if a field of the config is out of range.
    /// - [`ProbeError::MissingArray`], [`ProbeError::UnknownArray`], [`ProbeError::ArrayShape`],
    ///   or [`ProbeError::NonFinite`] if the weights are not those of the config.
    pub fn from_state(
        state: &ProbeState,
        config: &ProbeConfig,
        device: &Device,
    ) -> Result<Self, ProbeError> {
        config.check_state(state)?;
        let arrays = device_state(config.kind(), config.size(), state, device);
        Ok(Self { config: config.clone(), arrays: Arc::new(arrays), device: device.clone() })
    }

    /// Reads a batch of texts that are padded anywhere.
    ///
    /// Positions, where a probe uses them, are counted over the real tokens, so that neither the
    /// amount of padding nor its side changes a result. Padding must hold finite numbers.
    ///
    /// # Shapes
    ///
    /// - `x`: `[batch, pos, d_model]`
    /// - `mask_pad`: `[batch, pos]`, `true` where the token is padding
    ///
    /// # Panics
    ///
    /// If `mask_pad` does not match `x` in `batch` and `pos`, or `x` is not `d_model` wide.
    pub fn forward(&self, x: Tensor<3>, mask_pad: Tensor<2, Bool>) -> ProbeOutput {
        self.forward_padded(PaddedTokens::from_mask(x, mask_pad))
    }

    /// As [`Probe::forward`], of texts that are padded on the right.
    ///
    /// # Panics
    ///
    /// If the activations are not `d_model` wide.
    pub fn forward_padded(&self, tokens: PaddedTokens) -> ProbeOutput {
        let batch = self.batch(tokens);
        let pattern = self.config.kind().pattern(&batch);
        let pattern = pattern.map(|pattern| pattern.squeeze_dim::<3>(0).swap_dims(0, 1));
        ProbeOutput { logits: self.read(&batch), pattern }
    }

    /// Logits of texts on the host, `[batch, n_out]`.
    pub(crate) fn logits(&self, tokens: PaddedTokens) -> Result<Vec<f32>, ModelError> {
        host_values(self.read(&self.batch(tokens)))
    }

    fn batch(&self, tokens: PaddedTokens) -> Batch {
        let [batch, pos, _] = tokens.x().dims();
        assert_shape!(tokens.x(), [batch, pos, self.d_model()]);
        batch_of(self.config.kind(), self.config.size(), &self.arrays, tokens)
    }

    fn read(&self, batch: &Batch) -> Tensor<2> {
        self.config.kind().forward(batch).squeeze_dim::<2>(0).swap_dims(0, 1)
    }

    /// The probe on another device.
    ///
    /// # Errors
    ///
    /// As [`Probe::state`].
    pub fn to_device(&self, device: &Device) -> Result<Self, ProbeError> {
        if *device == self.device {
            return Ok(self.clone());
        }
        Self::from_state(&self.state()?, &self.config, device)
    }

    /// The config that the probe was made from.
    pub fn config(&self) -> &ProbeConfig {
        &self.config
    }

    /// Width of the activations that the probe reads.
    pub fn d_model(&self) -> usize {
        self.config.d_model()
    }

    /// Number of classes that the probe tells apart, 0 if its outputs are no classes.
    pub fn n_classes(&self) -> usize {
        self.config.n_classes()
    }

    /// Where its weights are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Copies the weights to the host.
    ///
    /// # Errors
    ///
    /// [`ProbeError::Device`] if the device does not hand them over.
    pub fn state(&self) -> Result<ProbeState, ProbeError> {
        let shapes = self.config.kind().layout(self.config.size()).shapes(self.config.size());
        let array = |(name, shape): (&'static str, Vec<usize>)| {
            let values = host_values(self.arrays[name].clone())?;
            Ok((name.to_owned(), ParamArray { shape, values }))
        };
        shapes.into_iter().map(array).collect()
    }
}

/// Number of logits of a probe: 1 for up to two classes, else one per class.
pub fn n_out(n_classes: usize) -> usize {
    if n_classes <= 2 { 1 } else { n_classes }
}

/// Numbers the real tokens of each example from 0, wherever the padding is; padding gets 0.
///
/// # Shapes
///
/// - `mask_pad`: `[batch, pos]`, `true` where the token is padding
/// - returns `[batch, pos]`
pub fn positions_from_mask(mask_pad: Tensor<2, Bool>) -> Tensor<2> {
    let n_so_far = mask_pad.clone().bool_not().float().cumsum(1);
    (n_so_far - 1.0).mask_fill(mask_pad, 0.0)
}

/// Marks the last real token of each example.
///
/// # Shapes
///
/// - `mask_pad`: `[batch, pos]`, `true` where the token is padding
/// - returns `[batch, pos]`, `true` at the last real token
pub fn mask_last(mask_pad: Tensor<2, Bool>) -> Tensor<2, Bool> {
    let [batch, pos] = mask_pad.dims();
    let real = mask_pad.bool_not();
    let n_so_far = real.clone().float().cumsum(1);
    let n_real = n_so_far.clone().narrow(1, pos - 1, 1).expand([batch, pos]);
    n_so_far.equal(n_real).bool_and(real)
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

    use super::*;
    use crate::testing::host_values;

    #[test]
    fn positions_count_real_tokens_on_either_padding_side() {
        let device = Device::flex();
        let mask_pad = Tensor::<2, Bool>::from_data(
            [[true, true, false, false], [false, false, false, true], [false, true, false, true]],
            &device,
        );
        let positions = host_values(positions_from_mask(mask_pad.clone()));
        assert_eq!(positions, [0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        let last = host_values(mask_last(mask_pad).float());
        assert_eq!(last, [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    }

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
