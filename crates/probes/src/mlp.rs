//! MLP probe: pool a sequence, then one hidden layer.

use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::{Bool, Device, Tensor, assert_shape};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::dense::Dense;
use crate::probe_config::KindConfig;
use crate::state::{check_n_classes, check_sizes};
use crate::{
    ParamArray, Pool, Probe, ProbeConfig, ProbeError, ProbeKind, ProbeOutput, ProbeState, n_out,
};

/// Config of an [`MlpProbe`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MlpProbeConfig {
    /// Width of the activations.
    pub d_model: usize,
    /// Number of classes, at least 2.
    pub n_classes: usize,
    /// Width of the hidden layer, 64 by default.
    pub hidden_dim: usize,
    /// How a sequence becomes one vector, the mean by default.
    pub pool: Pool,
}

impl MlpProbeConfig {
    /// Makes a config with the defaults.
    pub fn new(d_model: usize, n_classes: usize) -> Self {
        Self { d_model, n_classes, hidden_dim: 64, pool: Pool::default() }
    }

    /// Draws initial weights, `U(±1/√fan_in)`; one seed gives the same bits on every device.
    pub fn init_state(&self, seed: u64) -> ProbeState {
        self.draw_state(seed)
    }

    /// Makes an untrained probe.
    ///
    /// # Errors
    ///
    /// [`ProbeError::Hyperparameter`] if a field is out of range.
    pub fn init(&self, seed: u64, device: &Device) -> Result<MlpProbe, ProbeError> {
        self.check()?;
        MlpProbe::from_state(&self.init_state(seed), self, device)
    }
}

impl KindConfig for MlpProbeConfig {
    fn kind(&self) -> ProbeKind {
        ProbeKind::Mlp
    }

    fn d_model(&self) -> usize {
        self.d_model
    }

    fn n_classes(&self) -> usize {
        self.n_classes
    }

    fn shapes(&self) -> Vec<(&'static str, Vec<usize>)> {
        let n_out = n_out(self.n_classes);
        vec![
            ("hidden.weight", vec![self.hidden_dim, self.d_model]),
            ("hidden.bias", vec![self.hidden_dim]),
            ("out.weight", vec![n_out, self.hidden_dim]),
            ("out.bias", vec![n_out]),
        ]
    }

    fn draw(&self, name: &str, shape: &[usize], rng: &mut ChaCha8Rng) -> ParamArray {
        let fan_in = if name.starts_with("hidden") { self.d_model } else { self.hidden_dim };
        ParamArray::uniform(shape, fan_in, rng)
    }

    fn check(&self) -> Result<(), ProbeError> {
        check_n_classes(self.n_classes)?;
        check_sizes(&[
            ("n_classes", self.n_classes),
            ("hidden_dim", self.hidden_dim),
            ("d_model", self.d_model),
        ])
    }
}

/// Reads class scores off the pooled activations through one hidden layer.
///
/// ```text
/// hidden[b,k] = relu(Σ_d hidden.weight[k,d] · pool(x[b])[d] + hidden.bias[k])
/// logits[b,c] = Σ_k out.weight[c,k] · hidden[b,k] + out.bias[c]
/// ```
#[derive(Module, Debug)]
pub struct MlpProbe {
    hidden: Dense,
    out: Dense,
    #[module(skip)]
    config: MlpProbeConfig,
}

impl MlpProbe {
    /// Makes a probe of given weights.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::Hyperparameter`] if a field of the config is out of range.
    /// - [`ProbeError::MissingArray`], [`ProbeError::UnknownArray`], [`ProbeError::ArrayShape`],
    ///   or [`ProbeError::NonFinite`] if the weights are not those of the config.
    pub fn from_state(
        state: &ProbeState,
        config: &MlpProbeConfig,
        device: &Device,
    ) -> Result<Self, ProbeError> {
        config.check_state(state)?;
        Ok(Self {
            hidden: Dense::from_state(state, "hidden", device),
            out: Dense::from_state(state, "out", device),
            config: config.clone(),
        })
    }
}

impl Probe for MlpProbe {
    fn forward(&self, x: Tensor<3>, mask_pad: Tensor<2, Bool>) -> ProbeOutput {
        let [batch, pos, _] = x.dims();
        assert_shape!(x, [batch, pos, self.config.d_model]);

        let pooled = self.config.pool.forward(x, mask_pad); // [batch, d_model]
        let hidden = relu(self.hidden.forward(pooled)); // [batch, hidden_dim]
        ProbeOutput { logits: self.out.forward(hidden), pattern: None }
    }

    fn config(&self) -> ProbeConfig {
        ProbeConfig::Mlp(self.config.clone())
    }

    fn state(&self) -> Result<ProbeState, ProbeError> {
        let mut state = self.hidden.state("hidden")?;
        state.extend(self.out.state("out")?);
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::host_values;

    #[test]
    fn a_hidden_unit_that_is_negative_is_silent() {
        let device = Device::flex();
        let array = |shape: &[usize], values: &[f32]| ParamArray {
            shape: shape.to_vec(),
            values: values.to_vec(),
        };
        let state = ProbeState::from([
            ("hidden.weight".to_owned(), array(&[2, 1], &[1.0, -1.0])),
            ("hidden.bias".to_owned(), array(&[2], &[0.0, 0.5])),
            ("out.weight".to_owned(), array(&[1, 2], &[3.0, 5.0])),
            ("out.bias".to_owned(), array(&[1], &[0.25])),
        ]);
        let config = MlpProbeConfig { hidden_dim: 2, ..MlpProbeConfig::new(1, 2) };
        let probe = MlpProbe::from_state(&state, &config, &device).unwrap();
        let x = Tensor::<3>::from_data([[[2.0]], [[-2.0_f32]]], &device);
        let mask_pad = Tensor::<2, Bool>::from_data([[false], [false]], &device);
        let logits = host_values(probe.forward(x, mask_pad).logits);
        assert_eq!(logits, [3.0 * 2.0 + 0.25, 5.0 * 2.5 + 0.25]);
        assert_eq!(probe.state().unwrap(), state);
    }

    #[test]
    fn an_empty_hidden_layer_is_refused() {
        let config = MlpProbeConfig { hidden_dim: 0, ..MlpProbeConfig::new(4, 2) };
        let error = config.init(0, &Device::flex()).unwrap_err();
        assert_eq!(error.to_string(), "`hidden_dim` is 0, expected at least 1");
    }
}
