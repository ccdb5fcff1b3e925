//! Rolling attention probe: attention within a window that slides over the text, then the maximum.

use burn::module::{Module, Param};
use burn::tensor::{Bool, Device, Tensor, assert_shape};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::aggregation::{left_aligned, over, shifted, window_mask};
use crate::probe_config::KindConfig;
use crate::state::{check_n_classes, check_sizes, param_from_state};
use crate::{
    ParamArray, Probe, ProbeConfig, ProbeError, ProbeKind, ProbeOutput, ProbeState, n_out,
};

/// Score of padding: it weighs 0 beside any real token.
const SCORE_PADDING: f32 = -1e30;

/// Config of a [`RollingAttentionProbe`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollingAttentionProbeConfig {
    /// Width of the activations.
    pub d_model: usize,
    /// Number of classes, at least 2.
    pub n_classes: usize,
    /// Number of heads; heads are summed.
    pub n_heads: usize,
    /// Tokens that a head weighs against each other.
    pub window: usize,
}

impl RollingAttentionProbeConfig {
    /// Makes a config with the ten heads and ten tokens of the source.
    pub fn new(d_model: usize, n_classes: usize) -> Self {
        Self { d_model, n_classes, n_heads: 10, window: 10 }
    }

    /// Draws initial weights; one seed gives the same bits on every device.
    ///
    /// `q.weight` is 0, so an untrained probe averages its window; the others are `U(±1/√d_model)`.
    pub fn init_state(&self, seed: u64) -> ProbeState {
        self.draw_state(seed)
    }

    /// Makes an untrained probe.
    ///
    /// # Errors
    ///
    /// [`ProbeError::Hyperparameter`] if a field is out of range.
    pub fn init(&self, seed: u64, device: &Device) -> Result<RollingAttentionProbe, ProbeError> {
        self.check()?;
        RollingAttentionProbe::from_state(&self.init_state(seed), self, device)
    }
}

impl KindConfig for RollingAttentionProbeConfig {
    fn kind(&self) -> ProbeKind {
        ProbeKind::RollingAttention
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
            ("q.weight", vec![self.n_heads, self.d_model]),
            ("v.weight", vec![self.n_heads * n_out, self.d_model]),
            ("bias", vec![n_out]),
        ]
    }

    fn draw(&self, name: &str, shape: &[usize], rng: &mut ChaCha8Rng) -> ParamArray {
        match name {
            "q.weight" => ParamArray::zeros(shape),
            _ => ParamArray::uniform(shape, self.d_model, rng),
        }
    }

    fn check(&self) -> Result<(), ProbeError> {
        check_n_classes(self.n_classes)?;
        check_sizes(&[
            ("n_heads", self.n_heads),
            ("n_classes", self.n_classes),
            ("d_model", self.d_model),
        ])?;
        check_sizes(&[("window", self.window)])
    }
}

/// Weighs the tokens of every window with learned queries, and takes the highest window.
///
/// ```text
/// W(p)          the window tokens up to p; all of them, where the text is shorter
/// pattern[h,j]  = softmax over j in W(p) of q[h]·x[b,j]
/// s[b,p,c]      = Σ_h Σ_j in W(p) pattern[h,j] v[h,c]·x[b,j] + bias[c]
/// logits[b,c]   = max over p of s[b,p,c]
/// ```
///
/// The "max of rolling means" of Kramár et al., "Building production-ready probes for Gemini"
/// (2026). The queries and values here read the activations themselves, where theirs read an MLP of
/// them.
#[derive(Module, Debug)]
pub struct RollingAttentionProbe {
    q_weight: Param<Tensor<2>>,
    v_weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
    #[module(skip)]
    config: RollingAttentionProbeConfig,
}

impl RollingAttentionProbe {
    /// Makes a probe of given weights.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::Hyperparameter`] if a field of the config is out of range.
    /// - [`ProbeError::MissingArray`], [`ProbeError::UnknownArray`], [`ProbeError::ArrayShape`],
    ///   or [`ProbeError::NonFinite`] if the weights are not those of the config.
    pub fn from_state(
        state: &ProbeState,
        config: &RollingAttentionProbeConfig,
        device: &Device,
    ) -> Result<Self, ProbeError> {
        config.check_state(state)?;
        Ok(Self {
            q_weight: param_from_state(state, "q.weight", device),
            v_weight: param_from_state(state, "v.weight", device),
            bias: param_from_state(state, "bias", device),
            config: config.clone(),
        })
    }
}

impl Probe for RollingAttentionProbe {
    fn forward(&self, x: Tensor<3>, mask_pad: Tensor<2, Bool>) -> ProbeOutput {
        let [batch, pos, d_model] = x.dims();
        let RollingAttentionProbeConfig { n_heads, window, .. } = self.config;
        let n_out = n_out(self.config.n_classes);
        assert_shape!(x, [batch, pos, self.config.d_model]);
        assert_shape!(mask_pad, [batch, pos]);

        let rows = x.reshape([batch * pos, d_model]);
        let of = |weight: Tensor<2>| {
            let [n_rows, _] = weight.dims();
            let values = rows.clone().matmul(weight.transpose()).reshape([batch, pos, n_rows]);
            left_aligned(values, mask_pad.clone())
        };
        let (scores, behind) = of(self.q_weight.val());
        let (values, _) = of(self.v_weight.val());
        let scores = scores.mask_fill(over(behind.clone(), n_heads), SCORE_PADDING);

        // What is before the first token is padding too.
        let reach = window.min(pos);
        let score_of = |by: usize| shifted(scores.clone(), by, SCORE_PADDING);
        let highest = (1..reach).fold(scores.clone(), |a, by| a.max_pair(score_of(by))).detach();
        let weighed = |by: usize| {
            let weight = (score_of(by) - highest.clone()).exp(); // [batch, pos, n_heads]
            let value = shifted(values.clone(), by, 0.0).reshape([batch, pos, n_heads, n_out]);
            (weight.clone(), weight.unsqueeze_dim::<4>(3) * value)
        };
        let (total, sum) = (1..reach)
            .map(weighed)
            .fold(weighed(0), |(total, sum), (weight, value)| (total + weight, sum + value));
        let means = (sum / total.unsqueeze_dim::<4>(3)).sum_dim(2).squeeze_dim::<3>(2);
        let mask = over(window_mask(behind, window), n_out);
        let logits = means.mask_fill(mask, SCORE_PADDING).max_dim(1).squeeze_dim::<2>(1);
        ProbeOutput { logits: logits + self.bias.val().unsqueeze(), pattern: None }
    }

    fn config(&self) -> ProbeConfig {
        ProbeConfig::RollingAttention(self.config.clone())
    }

    fn state(&self) -> Result<ProbeState, ProbeError> {
        Ok(ProbeState::from([
            ("q.weight".to_owned(), ParamArray::from_param(&self.q_weight)?),
            ("v.weight".to_owned(), ParamArray::from_param(&self.v_weight)?),
            ("bias".to_owned(), ParamArray::from_param(&self.bias)?),
        ]))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;
    use proptest::prelude::*;
    use rand::{Rng as _, SeedableRng};

    use super::*;
    use crate::testing::host_values;

    /// What the documentation says, one window at a time.
    fn slow(config: &RollingAttentionProbeConfig, state: &ProbeState, x: &[Vec<f64>]) -> Vec<f64> {
        let n_out = n_out(config.n_classes);
        let row = |name: &str, i: usize| -> Vec<f64> {
            let row = &state[name].values[i * config.d_model..][..config.d_model];
            row.iter().map(|v| f64::from(*v)).collect()
        };
        let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        let window = config.window.min(x.len());
        (0..n_out)
            .map(|class| {
                let means = x.windows(window).map(|tokens| {
                    let of_head = |head: usize| {
                        let (q, v) = (row("q.weight", head), row("v.weight", head * n_out + class));
                        let weights: Vec<f64> = tokens.iter().map(|x| dot(&q, x).exp()).collect();
                        let values = tokens.iter().zip(&weights).map(|(x, w)| w * dot(&v, x));
                        values.sum::<f64>() / weights.iter().sum::<f64>()
                    };
                    (0..config.n_heads).map(of_head).sum::<f64>()
                });
                let highest = means.fold(f64::NEG_INFINITY, f64::max);
                highest + f64::from(state["bias"].values[class])
            })
            .collect()
    }

    proptest! {
        #[test]
        fn every_window_is_weighed_on_its_own_wherever_the_padding_is(
            window in 1..8_usize,
            n_classes in 2..4_usize,
            mut padding in prop::collection::vec(any::<bool>(), 7),
            seed in any::<u64>(),
        ) {
            padding[3] = false;
            let device = Device::flex();
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let config = RollingAttentionProbeConfig {
                n_heads: 2, window, ..RollingAttentionProbeConfig::new(3, n_classes)
            };
            let mut state = config.init_state(seed);
            let mut draw = |n: usize| -> Vec<f32> {
                (0..n).map(|_| rng.random_range(-1.5..1.5)).collect()
            };
            state.get_mut("q.weight").unwrap().values = draw(6);
            let x = draw(7 * 3);
            let probe = RollingAttentionProbe::from_state(&state, &config, &device).unwrap();
            let tensor = Tensor::<3>::from_data(TensorData::new(x.clone(), [1, 7, 3]), &device);
            let mask = TensorData::new(padding.clone(), [1, 7]);
            let mask_pad = Tensor::<2, Bool>::from_data(mask, &device);
            let found = host_values(probe.forward(tensor, mask_pad).logits);
            let real = x.chunks(3).zip(&padding).filter(|(_, pad)| !**pad);
            let real: Vec<Vec<f64>> =
                real.map(|(x, _)| x.iter().map(|v| f64::from(*v)).collect()).collect();
            for (found, expected) in found.iter().zip(slow(&config, &state, &real)) {
                prop_assert!((f64::from(*found) - expected).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn a_window_of_no_token_is_refused() {
        let config =
            RollingAttentionProbeConfig { window: 0, ..RollingAttentionProbeConfig::new(4, 2) };
        let error = config.init(0, &Device::flex()).unwrap_err();
        assert_eq!(error.to_string(), "`window` is 0, expected at least 1");
    }
}
