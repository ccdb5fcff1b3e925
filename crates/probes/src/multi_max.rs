//! `MultiMax` probe: of each head, the token that speaks loudest.

use burn::module::{Module, Param};
use burn::tensor::{Bool, Device, Tensor, assert_shape};
use serde::{Deserialize, Serialize};

use crate::aggregation::over;
use crate::probe_config::KindConfig;
use crate::state::{check_n_classes, check_sizes, param_from_state};
use crate::{
    ParamArray, Probe, ProbeConfig, ProbeError, ProbeKind, ProbeOutput, ProbeState, n_out,
};

/// Config of a [`MultiMaxProbe`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultiMaxProbeConfig {
    /// Width of the activations.
    pub d_model: usize,
    /// Number of classes, at least 2.
    pub n_classes: usize,
    /// Number of heads; heads are summed.
    pub n_heads: usize,
}

impl MultiMaxProbeConfig {
    /// Makes a config with the ten heads of the source.
    pub fn new(d_model: usize, n_classes: usize) -> Self {
        Self { d_model, n_classes, n_heads: 10 }
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
    pub fn init(&self, seed: u64, device: &Device) -> Result<MultiMaxProbe, ProbeError> {
        self.check()?;
        MultiMaxProbe::from_state(&self.init_state(seed), self, device)
    }
}

impl KindConfig for MultiMaxProbeConfig {
    fn kind(&self) -> ProbeKind {
        ProbeKind::MultiMax
    }

    fn d_model(&self) -> usize {
        self.d_model
    }

    fn n_classes(&self) -> usize {
        self.n_classes
    }

    fn shapes(&self) -> Vec<(&'static str, Vec<usize>)> {
        let n_out = n_out(self.n_classes);
        vec![("v.weight", vec![self.n_heads * n_out, self.d_model]), ("bias", vec![n_out])]
    }

    fn check(&self) -> Result<(), ProbeError> {
        check_n_classes(self.n_classes)?;
        check_sizes(&[
            ("n_heads", self.n_heads),
            ("n_classes", self.n_classes),
            ("d_model", self.d_model),
        ])
    }
}

/// Reads of each head the token with the highest value, and sums the heads.
///
/// ```text
/// logits[b,c] = Σ_h max over p of v[h,c]·x[b,p] + bias[c]
/// ```
///
/// Kramár et al., "Building production-ready probes for Gemini" (2026): an attention probe whose
/// weighted mean is a maximum, so that a long text cannot dilute one telling token. The values here
/// read the activations themselves, where theirs read an MLP of them.
#[derive(Module, Debug)]
pub struct MultiMaxProbe {
    v_weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
    #[module(skip)]
    config: MultiMaxProbeConfig,
}

impl MultiMaxProbe {
    /// Makes a probe of given weights.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::Hyperparameter`] if a field of the config is out of range.
    /// - [`ProbeError::MissingArray`], [`ProbeError::UnknownArray`], [`ProbeError::ArrayShape`],
    ///   or [`ProbeError::NonFinite`] if the weights are not those of the config.
    pub fn from_state(
        state: &ProbeState,
        config: &MultiMaxProbeConfig,
        device: &Device,
    ) -> Result<Self, ProbeError> {
        config.check_state(state)?;
        Ok(Self {
            v_weight: param_from_state(state, "v.weight", device),
            bias: param_from_state(state, "bias", device),
            config: config.clone(),
        })
    }
}

impl Probe for MultiMaxProbe {
    fn forward(&self, x: Tensor<3>, mask_pad: Tensor<2, Bool>) -> ProbeOutput {
        let [batch, pos, d_model] = x.dims();
        let (n_heads, n_out) = (self.config.n_heads, n_out(self.config.n_classes));
        assert_shape!(x, [batch, pos, self.config.d_model]);
        assert_shape!(mask_pad, [batch, pos]);

        let values = x.reshape([batch * pos, d_model]).matmul(self.v_weight.val().transpose());
        let values = values.reshape([batch, pos, n_heads * n_out]);
        let highest = values.mask_fill(over(mask_pad, n_heads * n_out), -1e30).max_dim(1);
        let logits = highest.reshape([batch, n_heads, n_out]).sum_dim(1).squeeze_dim::<2>(1);
        ProbeOutput { logits: logits + self.bias.val().unsqueeze(), pattern: None }
    }

    fn config(&self) -> ProbeConfig {
        ProbeConfig::MultiMax(self.config.clone())
    }

    fn state(&self) -> Result<ProbeState, ProbeError> {
        Ok(ProbeState::from([
            ("v.weight".to_owned(), ParamArray::from_param(&self.v_weight)?),
            ("bias".to_owned(), ParamArray::from_param(&self.bias)?),
        ]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::host_values;

    #[test]
    fn each_head_takes_its_own_token() {
        let device = Device::flex();
        let weight = ParamArray { shape: vec![2, 2], values: vec![1.0, 0.0, 0.0, 1.0] };
        let state = ProbeState::from([
            ("v.weight".to_owned(), weight),
            ("bias".to_owned(), ParamArray { shape: vec![1], values: vec![0.25] }),
        ]);
        let config = MultiMaxProbeConfig { n_heads: 2, ..MultiMaxProbeConfig::new(2, 2) };
        let probe = MultiMaxProbe::from_state(&state, &config, &device).unwrap();
        let x = Tensor::<3>::from_data([[[9.0, 9.0], [1.0, -3.0], [-2.0, 4.0_f32]]], &device);
        let mask_pad = Tensor::<2, Bool>::from_data([[true, false, false]], &device);
        assert_eq!(host_values(probe.forward(x, mask_pad).logits), [1.0 + 4.0 + 0.25]);
        assert_eq!(probe.state().unwrap(), state);
    }
}
