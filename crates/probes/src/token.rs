//! Token probe: score every token with one linear readout, then aggregate the scores.

use burn::module::Module;
use burn::tensor::{Bool, Device, Tensor, assert_shape};
use serde::{Deserialize, Serialize};

use crate::dense::Dense;
use crate::probe_config::KindConfig;
use crate::state::{check_n_classes, check_sizes};
use crate::{
    Aggregation, Probe, ProbeConfig, ProbeError, ProbeKind, ProbeOutput, ProbeState, n_out,
};

/// Config of a [`TokenProbe`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenProbeConfig {
    /// Width of the activations.
    pub d_model: usize,
    /// Number of classes, at least 2.
    pub n_classes: usize,
    /// How the scores of the tokens become one.
    pub aggregation: Aggregation,
}

impl TokenProbeConfig {
    /// Makes a config.
    pub fn new(d_model: usize, n_classes: usize, aggregation: Aggregation) -> Self {
        Self { d_model, n_classes, aggregation }
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
    pub fn init(&self, seed: u64, device: &Device) -> Result<TokenProbe, ProbeError> {
        self.check()?;
        TokenProbe::from_state(&self.init_state(seed), self, device)
    }
}

impl KindConfig for TokenProbeConfig {
    fn kind(&self) -> ProbeKind {
        ProbeKind::Token
    }

    fn d_model(&self) -> usize {
        self.d_model
    }

    fn n_classes(&self) -> usize {
        self.n_classes
    }

    fn shapes(&self) -> Vec<(&'static str, Vec<usize>)> {
        let n_out = n_out(self.n_classes);
        vec![("weight", vec![n_out, self.d_model]), ("bias", vec![n_out])]
    }

    fn check(&self) -> Result<(), ProbeError> {
        check_n_classes(self.n_classes)?;
        check_sizes(&[("n_classes", self.n_classes), ("d_model", self.d_model)])?;
        self.aggregation.check()
    }
}

/// Scores every token, then aggregates the scores of each class.
///
/// ```text
/// s[b,p,c]    = Σ_d weight[c,d] x[b,p,d] + bias[c]
/// logits[b,c] = aggregation over p of s[b,p,c]
/// ```
///
/// The weights are those of a [`LinearProbe`](crate::LinearProbe) that reads one token: a probe
/// trained with one [`Aggregation`] can be read with another.
#[derive(Module, Debug)]
pub struct TokenProbe {
    readout: Dense,
    #[module(skip)]
    config: TokenProbeConfig,
}

impl TokenProbe {
    /// Makes a probe of given weights.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::Hyperparameter`] if a field of the config is out of range.
    /// - [`ProbeError::MissingArray`], [`ProbeError::UnknownArray`], [`ProbeError::ArrayShape`],
    ///   or [`ProbeError::NonFinite`] if the weights are not those of the config.
    pub fn from_state(
        state: &ProbeState,
        config: &TokenProbeConfig,
        device: &Device,
    ) -> Result<Self, ProbeError> {
        config.check_state(state)?;
        Ok(Self { readout: Dense::from_state(state, "", device), config: config.clone() })
    }

    /// Score of every token, `[batch, pos, n_out]`.
    ///
    /// # Shapes
    ///
    /// - `x`: `[batch, pos, d_model]`
    ///
    /// # Panics
    ///
    /// If `x` is not `d_model` wide.
    pub fn scores(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, pos, d_model] = x.dims();
        assert_shape!(x, [batch, pos, self.config.d_model]);
        let scores = self.readout.forward(x.reshape([batch * pos, d_model]));
        scores.reshape([batch, pos, n_out(self.config.n_classes)])
    }
}

impl Probe for TokenProbe {
    fn forward(&self, x: Tensor<3>, mask_pad: Tensor<2, Bool>) -> ProbeOutput {
        let logits = self.config.aggregation.forward(self.scores(x), mask_pad);
        ProbeOutput { logits, pattern: None }
    }

    fn config(&self) -> ProbeConfig {
        ProbeConfig::Token(self.config.clone())
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
    fn the_highest_token_decides_a_maximum() {
        let device = Device::flex();
        let state = ProbeState::from([
            ("weight".to_owned(), ParamArray { shape: vec![1, 2], values: vec![2.0, -1.0] }),
            ("bias".to_owned(), ParamArray { shape: vec![1], values: vec![0.5] }),
        ]);
        let config = TokenProbeConfig::new(2, 2, Aggregation::TopMean { k: 1 });
        let probe = TokenProbe::from_state(&state, &config, &device).unwrap();
        let x = Tensor::<3>::from_data([[[1.0, 2.0], [3.0, 1.0], [99.0, 0.0_f32]]], &device);
        let mask_pad = Tensor::<2, Bool>::from_data([[false, false, true]], &device);
        assert_eq!(host_values(probe.forward(x, mask_pad).logits), [5.5]);
        assert_eq!(probe.state().unwrap(), state);
    }
}
