//! A probe of any kind, with its weights on a device.

use std::sync::Arc;

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
/// use attention_probes::probes::{MultiMax, ProbeConfig};
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::default();
/// let probe = ProbeConfig::new(MultiMax { n_heads: 2 }, 4, 3).init(1, &device)?;
/// let x = Tensor::<3>::ones([2, 5, 4], &device);
/// let mask_pad = Tensor::<2>::zeros([2, 5], &device).bool();
/// assert_eq!(probe.forward(x, mask_pad).logits.dims(), [2, 3]);
/// # Ok::<(), attention_probes::probes::ProbeError>(())
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
    /// Class scores before the sigmoid or softmax, `[batch, n_out]`; `n_out` is 1 for two classes. Of a
    /// probe of a number, the number.
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
        let outputs = self.config.kind().forward(batch).squeeze_dim::<2>(0).swap_dims(0, 1);
        let scale = self.config.output_scale();
        if scale.is_identity() { outputs } else { outputs * scale.scale + scale.mean }
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

    /// Number of classes that the probe tells apart, 0 for regression and multi-label probes.
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
