//! Linear probe: pool a sequence, then one linear readout.

use attention_probes_errors::ValueError;
use burn::module::Module;
use burn::tensor::{Bool, Device, Tensor, assert_shape};
use serde::{Deserialize, Serialize};

use crate::dense::Dense;
use crate::probe_config::KindConfig;
use crate::state::{check_n_classes, check_sizes};
use crate::{Pool, Probe, ProbeConfig, ProbeError, ProbeKind, ProbeOutput, ProbeState, n_out};

/// Config of a [`LinearProbe`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearProbeConfig {
    /// Width of the activations.
    pub d_model: usize,
    /// Number of classes, at least 2; 0 if the outputs are no classes.
    pub n_classes: usize,
    /// How a sequence becomes one vector, the mean by default.
    pub pool: Pool,
    /// Number of outputs, where they are no classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_outputs: Option<usize>,
}

impl LinearProbeConfig {
    /// Makes a config with the defaults.
    pub fn new(d_model: usize, n_classes: usize) -> Self {
        Self { d_model, n_classes, pool: Pool::default(), n_outputs: None }
    }

    /// Makes a config of a probe whose outputs are no classes, but numbers or logits of labels.
    pub fn of_outputs(d_model: usize, n_outputs: usize) -> Self {
        Self { n_outputs: Some(n_outputs), ..Self::new(d_model, 0) }
    }

    /// Returns the number of outputs.
    pub fn n_out(&self) -> usize {
        KindConfig::n_out(self)
    }

    /// Draws initial weights, `U(±1/√d_model)`; one seed gives the same bits on every device.
    pub fn init_state(&self, seed: u64) -> ProbeState {
        self.draw_state(seed)
    }

    /// Makes an untrained probe.
    ///
    /// # Errors
    ///
    /// [`ProbeError::Hyperparameter`] if a field is out of range.
    pub fn init(&self, seed: u64, device: &Device) -> Result<LinearProbe, ProbeError> {
        self.check()?;
        LinearProbe::from_state(&self.init_state(seed), self, device)
    }
}

impl KindConfig for LinearProbeConfig {
    fn kind(&self) -> ProbeKind {
        ProbeKind::Linear
    }

    fn d_model(&self) -> usize {
        self.d_model
    }

    fn n_classes(&self) -> usize {
        self.n_classes
    }

    fn n_out(&self) -> usize {
        self.n_outputs.unwrap_or_else(|| n_out(self.n_classes))
    }

    fn shapes(&self) -> Vec<(&'static str, Vec<usize>)> {
        let n_out = self.n_out();
        vec![("weight", vec![n_out, self.d_model]), ("bias", vec![n_out])]
    }

    fn check(&self) -> Result<(), ProbeError> {
        let Some(n_outputs) = self.n_outputs else {
            check_n_classes(self.n_classes)?;
            return check_sizes(&[("n_classes", self.n_classes), ("d_model", self.d_model)]);
        };
        if self.n_classes != 0 {
            return Err(ValueError::new("n_classes", self.n_classes, "0 beside `n_outputs`").into());
        }
        check_sizes(&[("n_outputs", n_outputs), ("d_model", self.d_model)])
    }
}

/// Reads class scores off the pooled activations.
///
/// ```text
/// logits[b,c] = Σ_d weight[c,d] · pool(x[b])[d] + bias[c]
/// ```
#[derive(Module, Debug)]
pub struct LinearProbe {
    readout: Dense,
    #[module(skip)]
    config: LinearProbeConfig,
}

impl LinearProbe {
    /// Makes a probe of given weights.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::Hyperparameter`] if a field of the config is out of range.
    /// - [`ProbeError::MissingArray`], [`ProbeError::UnknownArray`], [`ProbeError::ArrayShape`],
    ///   or [`ProbeError::NonFinite`] if the weights are not those of the config.
    pub fn from_state(
        state: &ProbeState,
        config: &LinearProbeConfig,
        device: &Device,
    ) -> Result<Self, ProbeError> {
        config.check_state(state)?;
        Ok(Self { readout: Dense::from_state(state, "", device), config: config.clone() })
    }
}

impl Probe for LinearProbe {
    fn forward(&self, x: Tensor<3>, mask_pad: Tensor<2, Bool>) -> ProbeOutput {
        let [batch, pos, _] = x.dims();
        assert_shape!(x, [batch, pos, self.config.d_model]);

        let pooled = self.config.pool.forward(x, mask_pad); // [batch, d_model]
        ProbeOutput { logits: self.readout.forward(pooled), pattern: None }
    }

    fn config(&self) -> ProbeConfig {
        ProbeConfig::Linear(self.config.clone())
    }

    fn state(&self) -> Result<ProbeState, ProbeError> {
        self.readout.state("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ParamArray;
    use crate::testing::host_values;

    #[test]
    fn logits_are_the_dot_product_of_the_mean_plus_the_bias() {
        let device = Device::flex();
        let state = ProbeState::from([
            ("weight".to_owned(), ParamArray { shape: vec![1, 2], values: vec![2.0, -1.0] }),
            ("bias".to_owned(), ParamArray { shape: vec![1], values: vec![0.5] }),
        ]);
        let config = LinearProbeConfig::new(2, 2);
        let probe = LinearProbe::from_state(&state, &config, &device).unwrap();
        let x = Tensor::<3>::from_data([[[1.0, 2.0], [3.0, 6.0], [99.0, 99.0_f32]]], &device);
        let mask_pad = Tensor::<2, Bool>::from_data([[false, false, true]], &device);
        let output = probe.forward(x, mask_pad);
        assert_eq!(host_values(output.logits), [2.0 * 2.0 - 4.0 + 0.5]);
        assert!(output.pattern.is_none());
        assert_eq!(probe.state().unwrap(), state);
    }

    #[test]
    fn one_class_is_refused() {
        let error = LinearProbeConfig::new(4, 1).init(0, &Device::flex()).unwrap_err();
        assert_eq!(error.to_string(), "`n_classes` is 1, expected at least 2");
    }

    #[test]
    fn outputs_that_are_no_classes_are_as_many_as_they_are() {
        let config = LinearProbeConfig::of_outputs(3, 2);
        assert_eq!((config.n_out(), config.init_state(1)["bias"].shape.clone()), (2, vec![2]));
        config.check().unwrap();
        let both = LinearProbeConfig { n_classes: 2, ..config };
        assert_eq!(
            both.check().unwrap_err().to_string(),
            "`n_classes` is 2, expected 0 beside `n_outputs`"
        );
        assert!(LinearProbeConfig::of_outputs(3, 0).check().is_err());
        let json = serde_json::to_string(&LinearProbeConfig::new(3, 2)).unwrap();
        assert!(!json.contains("n_outputs"), "{json}");
    }
}
