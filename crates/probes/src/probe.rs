//! What every probe has in common: the trait, its output, and the closed list of kinds.

use std::fmt;
use std::str::FromStr;

use attention_probes_metrics::class_probabilities;
use attention_probes_models::host_values;
use burn::module::Module;
use burn::tensor::{Bool, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::{
    AttentionProbe, GatedBipolarProbe, LinearProbe, MlpProbe, MultiMaxProbe, ProbeConfig,
    ProbeError, ProbeState, RollingAttentionProbe, TokenProbe,
};

/// A classifier of token sequences that reads activations.
pub trait Probe {
    /// Classifies a batch.
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
    fn forward(&self, x: Tensor<3>, mask_pad: Tensor<2, Bool>) -> ProbeOutput;

    /// Returns the config that the probe was made from.
    fn config(&self) -> ProbeConfig;

    /// Copies the weights to the host.
    ///
    /// # Errors
    ///
    /// [`ProbeError::Device`] if the device does not hand them over.
    fn state(&self) -> Result<ProbeState, ProbeError>;

    /// Returns the kind of the probe.
    fn kind(&self) -> ProbeKind {
        self.config().kind()
    }

    /// Returns the width of the activations that the probe reads.
    fn d_model(&self) -> usize {
        self.config().d_model()
    }

    /// Returns the number of classes that the probe tells apart.
    fn n_classes(&self) -> usize {
        self.config().n_classes()
    }
}

/// What [`Probe::forward`] returns.
#[derive(Clone, Debug)]
pub struct ProbeOutput {
    /// Class scores before the sigmoid or softmax, `[batch, n_out]`; `n_out` is 1 for two classes.
    pub logits: Tensor<2>,
    /// Weight of each token, `[batch, n_heads, pos]`, where the probe weighs tokens.
    pub pattern: Option<Tensor<3>>,
}

/// The kinds of probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeKind {
    /// [`LinearProbe`]
    Linear,
    /// [`MlpProbe`]
    Mlp,
    /// [`AttentionProbe`]
    Attention,
    /// [`TokenProbe`]
    Token,
    /// [`MultiMaxProbe`]
    #[serde(rename = "multimax")]
    MultiMax,
    /// [`RollingAttentionProbe`]
    RollingAttention,
    /// [`GatedBipolarProbe`]
    GatedBipolar,
}

impl ProbeKind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::Linear,
        Self::Mlp,
        Self::Attention,
        Self::Token,
        Self::MultiMax,
        Self::RollingAttention,
        Self::GatedBipolar,
    ];

    /// Returns the name, as `Display` prints it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Mlp => "mlp",
            Self::Attention => "attention",
            Self::Token => "token",
            Self::MultiMax => "multimax",
            Self::RollingAttention => "rolling_attention",
            Self::GatedBipolar => "gated_bipolar",
        }
    }
}

impl fmt::Display for ProbeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for ProbeKind {
    type Err = ProbeError;

    fn from_str(name: &str) -> Result<Self, ProbeError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
            .ok_or_else(|| ProbeError::UnknownKind { name: name.to_owned() })
    }
}

/// A probe of any kind.
#[derive(Module, Debug)]
pub enum AnyProbe {
    /// Pools, then one linear readout.
    Linear(LinearProbe),
    /// Pools, then one hidden layer.
    Mlp(MlpProbe),
    /// Weighs the tokens, then reads out their sum.
    Attention(AttentionProbe),
    /// Scores every token, then aggregates the scores.
    Token(TokenProbe),
    /// Sums the loudest token of every head.
    MultiMax(MultiMaxProbe),
    /// Weighs the tokens of every window, and takes the highest window.
    RollingAttention(RollingAttentionProbe),
    /// Reads out the highest and lowest gated features.
    GatedBipolar(GatedBipolarProbe),
}

impl AnyProbe {
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
        Ok(match config {
            ProbeConfig::Linear(config) => {
                Self::Linear(LinearProbe::from_state(state, config, device)?)
            }
            ProbeConfig::Mlp(config) => Self::Mlp(MlpProbe::from_state(state, config, device)?),
            ProbeConfig::Attention(config) => {
                Self::Attention(AttentionProbe::from_state(state, config, device)?)
            }
            ProbeConfig::Token(config) => {
                Self::Token(TokenProbe::from_state(state, config, device)?)
            }
            ProbeConfig::MultiMax(config) => {
                Self::MultiMax(MultiMaxProbe::from_state(state, config, device)?)
            }
            ProbeConfig::RollingAttention(config) => {
                Self::RollingAttention(RollingAttentionProbe::from_state(state, config, device)?)
            }
            ProbeConfig::GatedBipolar(config) => {
                Self::GatedBipolar(GatedBipolarProbe::from_state(state, config, device)?)
            }
        })
    }

    fn as_probe(&self) -> &dyn Probe {
        match self {
            Self::Linear(probe) => probe,
            Self::Mlp(probe) => probe,
            Self::Attention(probe) => probe,
            Self::Token(probe) => probe,
            Self::MultiMax(probe) => probe,
            Self::RollingAttention(probe) => probe,
            Self::GatedBipolar(probe) => probe,
        }
    }
}

impl Probe for AnyProbe {
    fn forward(&self, x: Tensor<3>, mask_pad: Tensor<2, Bool>) -> ProbeOutput {
        self.as_probe().forward(x, mask_pad)
    }

    fn config(&self) -> ProbeConfig {
        self.as_probe().config()
    }

    fn state(&self) -> Result<ProbeState, ProbeError> {
        self.as_probe().state()
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

    #[test]
    fn kinds_print_as_they_parse() {
        for kind in ProbeKind::ALL {
            assert_eq!(kind.to_string().parse::<ProbeKind>().unwrap(), kind);
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
        let error = "Linear".parse::<ProbeKind>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown probe kind `Linear`, expected linear, mlp, attention, token, multimax, \
             rolling_attention, or gated_bipolar"
        );
    }
}
