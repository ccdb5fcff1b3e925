//! Gated bipolar probe: gated features of every token, of which the highest and the lowest count.

use burn::module::Module;
use burn::tensor::activation::softplus;
use burn::tensor::{Bool, Device, Tensor, assert_shape};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::aggregation::over;
use crate::dense::Dense;
use crate::probe_config::KindConfig;
use crate::state::{check_n_classes, check_sizes};
use crate::{
    ParamArray, Probe, ProbeConfig, ProbeError, ProbeKind, ProbeOutput, ProbeState, n_out,
};

/// Keeps the division by the standard deviation finite.
pub const NORM_EPSILON: f32 = 1e-5;

/// Config of a [`GatedBipolarProbe`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatedBipolarProbeConfig {
    /// Width of the activations.
    pub d_model: usize,
    /// Number of classes, at least 2.
    pub n_classes: usize,
    /// Number of gated features.
    pub d_gate: usize,
}

impl GatedBipolarProbeConfig {
    /// Makes a config with 64 gated features.
    pub fn new(d_model: usize, n_classes: usize) -> Self {
        Self { d_model, n_classes, d_gate: 64 }
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
    pub fn init(&self, seed: u64, device: &Device) -> Result<GatedBipolarProbe, ProbeError> {
        self.check()?;
        GatedBipolarProbe::from_state(&self.init_state(seed), self, device)
    }
}

impl KindConfig for GatedBipolarProbeConfig {
    fn kind(&self) -> ProbeKind {
        ProbeKind::GatedBipolar
    }

    fn d_model(&self) -> usize {
        self.d_model
    }

    fn n_classes(&self) -> usize {
        self.n_classes
    }

    fn shapes(&self) -> Vec<(&'static str, Vec<usize>)> {
        let (d_gate, n_out) = (self.d_gate, n_out(self.n_classes));
        vec![
            ("proj.weight", vec![d_gate, self.d_model]),
            ("proj.bias", vec![d_gate]),
            ("gate.weight", vec![d_gate, self.d_model]),
            ("gate.bias", vec![d_gate]),
            ("out.weight", vec![n_out, 2 * d_gate]),
            ("out.bias", vec![n_out]),
        ]
    }

    fn draw(&self, name: &str, shape: &[usize], rng: &mut ChaCha8Rng) -> ParamArray {
        let fan_in = if name.starts_with("out") { 2 * self.d_gate } else { self.d_model };
        ParamArray::uniform(shape, fan_in, rng)
    }

    fn check(&self) -> Result<(), ProbeError> {
        check_n_classes(self.n_classes)?;
        check_sizes(&[("d_gate", self.d_gate), ("d_model", self.d_model)])?;
        check_sizes(&[("d_gate", self.d_gate), ("n_classes", self.n_classes)])
    }
}

/// Reads out, of every gated feature, its highest and its negated lowest value over the tokens.
///
/// ```text
/// x̂[b,p]      = (x[b,p] - mean) / √(variance + 1e-5)         over d_model
/// f[b,p]      = (W_proj x̂ + b_proj) ⊙ softplus(W_gate x̂ + b_gate)
/// logits[b]   = W_out [max over p of f[b,p]; -min over p of f[b,p]] + b_out
/// ```
///
/// The architecture that `AlphaEvolve` found in Kramár et al., "Building production-ready probes
/// for Gemini" (2026). Theirs has an MLP between the norm and the gates, and penalties on `W_proj`;
/// this one has neither. Scale and shift of the norm are part of the weights that follow it.
#[derive(Module, Debug)]
pub struct GatedBipolarProbe {
    proj: Dense,
    gate: Dense,
    out: Dense,
    #[module(skip)]
    config: GatedBipolarProbeConfig,
}

impl GatedBipolarProbe {
    /// Makes a probe of given weights.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::Hyperparameter`] if a field of the config is out of range.
    /// - [`ProbeError::MissingArray`], [`ProbeError::UnknownArray`], [`ProbeError::ArrayShape`],
    ///   or [`ProbeError::NonFinite`] if the weights are not those of the config.
    pub fn from_state(
        state: &ProbeState,
        config: &GatedBipolarProbeConfig,
        device: &Device,
    ) -> Result<Self, ProbeError> {
        config.check_state(state)?;
        Ok(Self {
            proj: Dense::from_state(state, "proj", device),
            gate: Dense::from_state(state, "gate", device),
            out: Dense::from_state(state, "out", device),
            config: config.clone(),
        })
    }
}

impl Probe for GatedBipolarProbe {
    fn forward(&self, x: Tensor<3>, mask_pad: Tensor<2, Bool>) -> ProbeOutput {
        let [batch, pos, d_model] = x.dims();
        let d_gate = self.config.d_gate;
        assert_shape!(x, [batch, pos, self.config.d_model]);
        assert_shape!(mask_pad, [batch, pos]);

        let x = x.reshape([batch * pos, d_model]);
        let centred = x.clone() - x.mean_dim(1);
        let variance = centred.clone().square().mean_dim(1);
        let x = centred / (variance + NORM_EPSILON).sqrt();
        let gate = softplus(self.gate.forward(x.clone()), 1.0);
        let features = (self.proj.forward(x) * gate).reshape([batch, pos, d_gate]);
        let mask = over(mask_pad, d_gate);
        let highest = features.clone().mask_fill(mask.clone(), -1e30).max_dim(1);
        let lowest = (-features).mask_fill(mask, -1e30).max_dim(1);
        let pooled = Tensor::cat(vec![highest, lowest], 2).squeeze_dim::<2>(1);
        ProbeOutput { logits: self.out.forward(pooled), pattern: None }
    }

    fn config(&self) -> ProbeConfig {
        ProbeConfig::GatedBipolar(self.config.clone())
    }

    fn state(&self) -> Result<ProbeState, ProbeError> {
        let mut state = self.proj.state("proj")?;
        state.extend(self.gate.state("gate")?);
        state.extend(self.out.state("out")?);
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;

    use super::*;
    use crate::testing::host_values;

    #[test]
    fn both_ends_of_a_gated_feature_are_read() {
        let device = Device::flex();
        let array = |shape: &[usize], values: &[f32]| ParamArray {
            shape: shape.to_vec(),
            values: values.to_vec(),
        };
        let state = ProbeState::from([
            ("proj.weight".to_owned(), array(&[1, 2], &[1.0, 0.0])),
            ("proj.bias".to_owned(), array(&[1], &[0.5])),
            ("gate.weight".to_owned(), array(&[1, 2], &[0.0, 2.0])),
            ("gate.bias".to_owned(), array(&[1], &[-0.25])),
            ("out.weight".to_owned(), array(&[1, 2], &[3.0, 10.0])),
            ("out.bias".to_owned(), array(&[1], &[0.125])),
        ]);
        let config = GatedBipolarProbeConfig { d_gate: 1, ..GatedBipolarProbeConfig::new(2, 2) };
        let probe = GatedBipolarProbe::from_state(&state, &config, &device).unwrap();
        let tokens = [[4.0, 2.0], [1.0, 5.0], [2.0, 2.5_f32]];
        let feature = |[a, b]: [f32; 2]| {
            let (mean, half) = (f64::from(a + b) / 2.0, f64::from(a - b) / 2.0);
            let (a, b) = (f64::from(a) - mean, f64::from(b) - mean);
            let scale = (half * half + f64::from(NORM_EPSILON)).sqrt();
            (a / scale + 0.5) * (2.0 * b / scale - 0.25).exp().ln_1p()
        };
        let features = tokens.map(feature);
        let highest = features.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let lowest = features.iter().copied().fold(f64::INFINITY, f64::min);
        let expected = 3.0 * highest - 10.0 * lowest + 0.125;

        let x = Tensor::<3>::from_data([[tokens[0], tokens[1], [7.0, -70.0], tokens[2]]], &device);
        let mask_pad = Tensor::<2, Bool>::from_data([[false, false, true, false]], &device);
        let logit = host_values(probe.forward(x, mask_pad).logits)[0];
        assert_abs_diff_eq!(f64::from(logit), expected, epsilon = 1e-4);
        assert_eq!(probe.state().unwrap(), state);
    }
}
