//! Attention probe: weigh the tokens of a sequence with learned queries, then classify their sum.
//!
//! Follows the reference implementation, `EleutherAI/attention-probes`,
//! `attention_probe/attention_probe.py`, except that under `tanh` padding and dropped tokens weigh
//! 0, where the reference gives them -1.

use attention_probes_errors::ValueError;
use burn::module::{Module, Param};
use burn::tensor::activation::{relu, softmax, tanh};
use burn::tensor::{Bool, Device, Tensor, assert_shape};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::dense::Dense;
use crate::probe_config::KindConfig;
use crate::state::{check_n_classes, check_sizes, param_from_state};
use crate::{
    ParamArray, Probe, ProbeConfig, ProbeError, ProbeKind, ProbeOutput, ProbeState, mask_last,
    n_out, positions_from_mask,
};

/// Score of a dropped token, as in the reference.
const SCORE_DROPPED: f32 = -1e9;
/// Score of a padding token: so far below a dropped one that padding weighs exactly 0 even where
/// every real token of a head was dropped.
const SCORE_PADDING: f32 = -1e30;

/// Config of an [`AttentionProbe`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttentionProbeConfig {
    /// Width of the activations.
    pub d_model: usize,
    /// Number of classes, at least 2.
    pub n_classes: usize,
    /// Number of heads, 1 by default. Heads are summed.
    pub n_heads: usize,
    /// Width of the hidden layer after the attention, none by default.
    pub hidden_dim: Option<usize>,
    /// How scores become weights, the softmax by default.
    pub activation: AttentionActivation,
    /// Probability that a token is hidden from a head in training, 0 by default.
    pub attention_dropout: f64,
    /// Whether only the last real token is seen, `false` by default.
    pub last_only: bool,
}

/// How the scores of an attention probe become token weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttentionActivation {
    /// Weights are positive and sum to 1 over the tokens.
    #[default]
    Softmax,
    /// Each weight lies between -1 and 1 on its own.
    Tanh,
}

impl AttentionProbeConfig {
    /// Makes a config with the defaults.
    pub fn new(d_model: usize, n_classes: usize) -> Self {
        Self {
            d_model,
            n_classes,
            n_heads: 1,
            hidden_dim: None,
            activation: AttentionActivation::default(),
            attention_dropout: 0.0,
            last_only: false,
        }
    }

    /// Draws initial weights; one seed gives the same bits on every device and platform.
    ///
    /// `q.weight` is 0 and `position_weight` is 0 (1 under `last_only`), so an untrained probe
    /// averages the tokens. The other weights are `U(±1/√fan_in)`.
    pub fn init_state(&self, seed: u64) -> ProbeState {
        self.draw_state(seed)
    }

    /// Makes an untrained probe.
    ///
    /// # Errors
    ///
    /// [`ProbeError::Hyperparameter`] if a field is out of range.
    pub fn init(&self, seed: u64, device: &Device) -> Result<AttentionProbe, ProbeError> {
        self.check()?;
        AttentionProbe::from_state(&self.init_state(seed), self, device)
    }

    /// Width of a value: the hidden layer, or the logits where there is none.
    fn d_value(&self) -> usize {
        self.hidden_dim.unwrap_or_else(|| n_out(self.n_classes))
    }
}

impl KindConfig for AttentionProbeConfig {
    fn kind(&self) -> ProbeKind {
        ProbeKind::Attention
    }

    fn d_model(&self) -> usize {
        self.d_model
    }

    fn n_classes(&self) -> usize {
        self.n_classes
    }

    fn shapes(&self) -> Vec<(&'static str, Vec<usize>)> {
        let d_values = self.n_heads * self.d_value();
        let mut shapes = vec![
            ("q.weight", vec![self.n_heads, self.d_model]),
            ("v.weight", vec![d_values, self.d_model]),
            ("v.bias", vec![d_values]),
            ("position_weight", vec![self.n_heads]),
        ];
        if let Some(hidden_dim) = self.hidden_dim {
            let n_out = n_out(self.n_classes);
            shapes.extend([("o.weight", vec![n_out, hidden_dim]), ("o.bias", vec![n_out])]);
        }
        shapes
    }

    fn draw(&self, name: &str, shape: &[usize], rng: &mut ChaCha8Rng) -> ParamArray {
        match name {
            "q.weight" => ParamArray::zeros(shape),
            "position_weight" => ParamArray::full(shape, if self.last_only { 1.0 } else { 0.0 }),
            "o.weight" | "o.bias" => ParamArray::uniform(shape, self.d_value(), rng),
            _ => ParamArray::uniform(shape, self.d_model, rng),
        }
    }

    fn check(&self) -> Result<(), ProbeError> {
        check_n_classes(self.n_classes)?;
        check_sizes(&[
            ("n_heads", self.n_heads),
            ("hidden_dim", self.hidden_dim.unwrap_or(1)),
            ("n_classes", self.n_classes),
            ("d_model", self.d_model),
        ])?;
        if !(0.0..1.0).contains(&self.attention_dropout) {
            return Err(ValueError::new(
                "attention_dropout",
                self.attention_dropout,
                "at least 0 and below 1",
            )
            .into());
        }
        Ok(())
    }
}

/// Weighs the tokens of a sequence, then classifies their weighted sum.
///
/// ```text
/// scores[b,h,p]  = q[h]·x[b,p] + position_weight[h] · position[b,p]
/// pattern[b,h,p] = softmax over p of scores[b,h,p]          or tanh(scores[b,h,p])
/// z[b,k]         = Σ_h ( v[h,k] · Σ_p pattern[b,h,p] x[b,p]  +  v_bias[h,k] Σ_p pattern[b,h,p] )
/// logits[b,c]    = z[b,c]                                   or o[c]·relu(z[b]) + o_bias[c]
/// ```
///
/// The tokens are summed before they are projected, which is the same as projecting each of them
/// and costs `pos` times less.
#[derive(Module, Debug)]
pub struct AttentionProbe {
    q_weight: Param<Tensor<2>>,
    v: Dense,
    position_weight: Param<Tensor<1>>,
    o: Option<Dense>,
    #[module(skip)]
    config: AttentionProbeConfig,
}

impl AttentionProbe {
    /// Makes a probe of given weights.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::Hyperparameter`] if a field of the config is out of range.
    /// - [`ProbeError::MissingArray`], [`ProbeError::UnknownArray`], [`ProbeError::ArrayShape`],
    ///   or [`ProbeError::NonFinite`] if the weights are not those of the config.
    pub fn from_state(
        state: &ProbeState,
        config: &AttentionProbeConfig,
        device: &Device,
    ) -> Result<Self, ProbeError> {
        config.check_state(state)?;
        let has_hidden = config.hidden_dim.is_some();
        Ok(Self {
            q_weight: param_from_state(state, "q.weight", device),
            v: Dense::from_state(state, "v", device),
            position_weight: param_from_state(state, "position_weight", device),
            o: has_hidden.then(|| Dense::from_state(state, "o", device)),
            config: config.clone(),
        })
    }

    /// Classifies a batch with some tokens hidden from some heads, as attention dropout does.
    ///
    /// Hidden tokens weigh 0 and the others are not scaled up. Where all tokens of a head are
    /// hidden, the softmax weighs the real ones equally.
    ///
    /// # Shapes
    ///
    /// - `x`: `[batch, pos, d_model]`
    /// - `mask_pad`: `[batch, pos]`, `true` where the token is padding
    /// - `mask_dropped`: `[batch, n_heads, pos]`, `true` where the head does not see the token
    ///
    /// # Panics
    ///
    /// If the shapes do not fit each other and the probe.
    pub fn forward_dropped(
        &self,
        x: Tensor<3>,
        mask_pad: Tensor<2, Bool>,
        mask_dropped: Option<Tensor<3, Bool>>,
    ) -> ProbeOutput {
        let [batch, pos, d_model] = x.dims();
        let n_heads = self.config.n_heads;
        let d_value = self.config.d_value();
        assert_shape!(x, [batch, pos, self.config.d_model]);
        assert_shape!(mask_pad, [batch, pos]);

        let pattern = self.pattern(x.clone(), mask_pad, mask_dropped);
        let pooled = pattern.clone().matmul(x); // [batch, n_heads, d_model]

        let v = self.v.weight.val().reshape([n_heads, d_value, d_model]).swap_dims(1, 2);
        let v_bias = self.v.bias.val().reshape([n_heads, d_value]);
        let z = pooled
            .reshape([batch, n_heads * d_model])
            .matmul(v.reshape([n_heads * d_model, d_value])); // [batch, d_value]
        let z = z + match self.config.activation {
            AttentionActivation::Softmax => v_bias.sum_dim(0),
            AttentionActivation::Tanh => pattern.clone().sum_dim(2).squeeze_dim(2).matmul(v_bias),
        };

        let logits = match &self.o {
            Some(o) => o.forward(relu(z)),
            None => z,
        };
        ProbeOutput { logits, pattern: Some(pattern) }
    }

    /// Token weights, `[batch, n_heads, pos]`.
    fn pattern(
        &self,
        x: Tensor<3>,
        mask_pad: Tensor<2, Bool>,
        mask_dropped: Option<Tensor<3, Bool>>,
    ) -> Tensor<3> {
        let [batch, pos, d_model] = x.dims();
        let n_heads = self.config.n_heads;

        let scores = x
            .reshape([batch * pos, d_model])
            .matmul(self.q_weight.val().transpose())
            .reshape([batch, pos, n_heads])
            .swap_dims(1, 2); // [batch, n_heads, pos]
        let positions = positions_from_mask(mask_pad.clone()).unsqueeze_dim::<3>(1);
        let scores = scores + positions * self.position_weight.val().reshape([1, n_heads, 1]);

        let mask_unseen =
            if self.config.last_only { mask_last(mask_pad).bool_not() } else { mask_pad };
        let mask_unseen = mask_unseen.unsqueeze_dim::<3>(1).expand([batch, n_heads, pos]);
        if let Some(mask_dropped) = &mask_dropped {
            assert_shape!(mask_dropped, [batch, n_heads, pos]);
        }
        match self.config.activation {
            AttentionActivation::Softmax => {
                let scores = match mask_dropped {
                    Some(mask_dropped) => scores.mask_fill(mask_dropped, SCORE_DROPPED),
                    None => scores,
                };
                softmax(scores.mask_fill(mask_unseen, SCORE_PADDING), 2)
            }
            AttentionActivation::Tanh => {
                let mask = match mask_dropped {
                    Some(mask_dropped) => mask_unseen.bool_or(mask_dropped),
                    None => mask_unseen,
                };
                tanh(scores).mask_fill(mask, 0.0)
            }
        }
    }
}

impl Probe for AttentionProbe {
    fn forward(&self, x: Tensor<3>, mask_pad: Tensor<2, Bool>) -> ProbeOutput {
        self.forward_dropped(x, mask_pad, None)
    }

    fn config(&self) -> ProbeConfig {
        ProbeConfig::Attention(self.config.clone())
    }

    fn state(&self) -> Result<ProbeState, ProbeError> {
        let mut state = self.v.state("v")?;
        state.insert("q.weight".to_owned(), ParamArray::from_param(&self.q_weight)?);
        state.insert("position_weight".to_owned(), ParamArray::from_param(&self.position_weight)?);
        if let Some(o) = &self.o {
            state.extend(o.state("o")?);
        }
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;
    use burn::tensor::TensorData;
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::golden::golden_cases;
    use crate::params::grads_from_module;
    use crate::testing::host_values;
    use crate::{LinearProbe, LinearProbeConfig, mean_loss, targets_from_labels};

    const D_MODEL: usize = 5;

    /// Weights that are all different from 0, which those of an untrained probe are not.
    fn random_state(config: &AttentionProbeConfig, seed: u64) -> ProbeState {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let shapes = config.shapes().into_iter();
        shapes.map(|(name, s)| (name.to_owned(), ParamArray::uniform(&s, 1, &mut rng))).collect()
    }

    /// Sequences of the given lengths, padded with large numbers before and after.
    fn padded(
        lengths: &[usize],
        n_before: impl Fn(usize) -> usize,
        pos: usize,
        seed: u64,
    ) -> (Tensor<3>, Tensor<2, Bool>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut x = vec![77.0_f32; lengths.len() * pos * D_MODEL];
        let mut padding = vec![true; lengths.len() * pos];
        for (i, &length) in lengths.iter().enumerate() {
            let start = i * pos + n_before(i);
            padding[start..start + length].fill(false);
            for value in &mut x[start * D_MODEL..(start + length) * D_MODEL] {
                *value = rng.random::<f32>() * 2.0 - 1.0;
            }
        }
        let device = Device::flex();
        (
            Tensor::from_data(TensorData::new(x, [lengths.len(), pos, D_MODEL]), &device),
            Tensor::from_data(TensorData::new(padding, [lengths.len(), pos]), &device),
        )
    }

    fn assert_close(found: &[f32], expected: &[f32], epsilon: f32, what: &str) {
        assert_eq!(found.len(), expected.len(), "{what}");
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            let difference = (found - expected).abs();
            assert!(difference <= epsilon, "{what}[{i}]: {found} instead of {expected}");
        }
    }

    /// The definition as it is written down: a value per token, heads summed, in `f64`.
    fn naive_logits(
        probe: &AttentionProbe,
        x: &Tensor<3>,
        mask_pad: &Tensor<2, Bool>,
        mask_dropped: Option<&Tensor<3, Bool>>,
    ) -> Vec<f32> {
        let config = &probe.config;
        let [batch, pos, d_model] = x.dims();
        let (n_heads, d_value) = (config.n_heads, config.d_value());
        let state = probe.state().unwrap();
        let weight = |name: &str, index: usize| f64::from(state[name].values[index]);
        let x = host_values(x.clone());
        let padding = host_values(mask_pad.clone().float());
        let dropped = mask_dropped.map(|mask| host_values(mask.clone().float()));

        let mut logits = Vec::new();
        for b in 0..batch {
            let token = |p: usize, d: usize| f64::from(x[(b * pos + p) * d_model + d]);
            let real: Vec<usize> = (0..pos).filter(|p| padding[b * pos + p] == 0.0).collect();
            let mut z = vec![0.0; d_value];
            for h in 0..n_heads {
                let mut scores = Vec::new();
                for (position, &p) in real.iter().enumerate() {
                    if config.last_only && position + 1 < real.len() {
                        continue;
                    }
                    let q = (0..d_model).map(|d| weight("q.weight", h * d_model + d) * token(p, d));
                    let k = q.sum::<f64>() + weight("position_weight", h) * position as f64;
                    let is_dropped =
                        dropped.as_ref().is_some_and(|d| d[(b * n_heads + h) * pos + p] != 0.0);
                    scores.push((p, if is_dropped { -1e9 } else { k }));
                }
                let largest = scores.iter().fold(f64::NEG_INFINITY, |a, (_, k)| a.max(*k));
                let sum: f64 = scores.iter().map(|(_, k)| (k - largest).exp()).sum();
                for (p, k) in scores {
                    let p_weight = match config.activation {
                        AttentionActivation::Softmax => (k - largest).exp() / sum,
                        AttentionActivation::Tanh if k < -1e8 => 0.0,
                        AttentionActivation::Tanh => k.tanh(),
                    };
                    for (i, z) in z.iter_mut().enumerate() {
                        let row = h * d_value + i;
                        let v = |d| weight("v.weight", row * d_model + d) * token(p, d);
                        *z += p_weight * ((0..d_model).map(v).sum::<f64>() + weight("v.bias", row));
                    }
                }
            }
            if config.hidden_dim.is_some() {
                for c in 0..n_out(config.n_classes) {
                    let hidden = z.iter().enumerate();
                    let sum: f64 =
                        hidden.map(|(i, z)| weight("o.weight", c * d_value + i) * z.max(0.0)).sum();
                    logits.push((sum + weight("o.bias", c)) as f32);
                }
            } else {
                logits.extend(z.iter().map(|&z| z as f32));
            }
        }
        logits
    }

    #[test]
    fn logits_and_gradients_equal_pytorch() {
        let device = Device::flex();
        for case in golden_cases(&device) {
            let autodiff = device.clone().autodiff();
            let probe = AttentionProbe::from_state(&case.state, &case.config, &autodiff).unwrap();
            let logits = probe.forward(case.x, case.mask_pad).logits;
            assert_close(&host_values(logits.clone()), &case.logits, 1e-5, &case.name);

            let targets = targets_from_labels(&case.labels, case.config.n_classes, &device);
            let gradients = mean_loss(logits, targets, None).backward();
            let found = grads_from_module(&probe, &gradients).unwrap();
            let names = ["q.weight", "v.weight", "v.bias", "position_weight", "o.weight", "o.bias"];
            let expected: Vec<f32> = names
                .iter()
                .filter_map(|name| case.grad.get(*name))
                .flat_map(|array| array.values.clone())
                .collect();
            assert_close(&found, &expected, 1e-5, &case.name);
        }
    }

    #[test]
    fn pooling_before_projecting_equals_the_naive_form() {
        let lengths = [4, 1, 7, 3];
        let (x, mask_pad) = padded(&lengths, |i| i % 3, 9, 5);
        for activation in [AttentionActivation::Softmax, AttentionActivation::Tanh] {
            for hidden_dim in [None, Some(6)] {
                for (last_only, with_dropped) in [(false, false), (false, true), (true, false)] {
                    let config = AttentionProbeConfig {
                        n_heads: 3,
                        hidden_dim,
                        activation,
                        last_only,
                        ..AttentionProbeConfig::new(D_MODEL, 3)
                    };
                    let state = random_state(&config, 11);
                    let probe =
                        AttentionProbe::from_state(&state, &config, &Device::flex()).unwrap();
                    let mut rng = ChaCha8Rng::seed_from_u64(8);
                    let dropped: Vec<bool> = (0..4 * 3 * 9).map(|_| rng.random_bool(0.3)).collect();
                    let dropped = Tensor::<3, Bool>::from_data(
                        TensorData::new(dropped, [4, 3, 9]),
                        &Device::flex(),
                    );
                    let dropped = with_dropped.then_some(dropped);
                    let expected = naive_logits(&probe, &x, &mask_pad, dropped.as_ref());
                    let output = probe.forward_dropped(x.clone(), mask_pad.clone(), dropped);
                    let what = format!("{activation:?} {hidden_dim:?} {last_only} {with_dropped}");
                    assert_close(&host_values(output.logits), &expected, 2e-5, &what);
                }
            }
        }
    }

    #[test]
    fn an_untrained_probe_is_a_mean_probe() {
        let config = AttentionProbeConfig { n_heads: 2, ..AttentionProbeConfig::new(D_MODEL, 2) };
        let state = config.init_state(9);
        let probe = AttentionProbe::from_state(&state, &config, &Device::flex()).unwrap();
        let sum_heads = |name: &str, shape: &[usize]| {
            let (a, b) = state[name].values.split_at(state[name].values.len() / 2);
            let values = a.iter().zip(b).map(|(a, b)| a + b).collect();
            ParamArray { shape: shape.to_vec(), values }
        };
        let linear_state = ProbeState::from([
            ("weight".to_owned(), sum_heads("v.weight", &[1, D_MODEL])),
            ("bias".to_owned(), sum_heads("v.bias", &[1])),
        ]);
        let linear_config = LinearProbeConfig::new(D_MODEL, 2);
        let linear =
            LinearProbe::from_state(&linear_state, &linear_config, &Device::flex()).unwrap();

        let lengths = [4, 1, 6];
        let (x, mask_pad) = padded(&lengths, |i| i, 8, 2);
        let output = probe.forward(x.clone(), mask_pad.clone());
        let expected = host_values(linear.forward(x, mask_pad.clone()).logits);
        assert_close(&host_values(output.logits), &expected, 1e-5, "logits");

        let padding = host_values(mask_pad.float());
        let pattern = host_values(output.pattern.unwrap());
        for (i, weight) in pattern.iter().enumerate() {
            let (b, p) = (i / 16, i % 8);
            let expected = if padding[b * 8 + p] == 0.0 { 1.0 / lengths[b] as f32 } else { 0.0 };
            assert_abs_diff_eq!(*weight, expected, epsilon = 1e-6);
        }
    }

    #[test]
    fn a_head_that_sees_nothing_averages_the_real_tokens_under_softmax_and_adds_nothing_under_tanh()
    {
        let (x, mask_pad) = padded(&[2], |_| 1, 4, 3);
        let all = Tensor::<3>::ones([1, 1, 4], &Device::flex()).bool();
        for (activation, expected) in [
            (AttentionActivation::Softmax, [0.0, 0.5, 0.5, 0.0]),
            (AttentionActivation::Tanh, [0.0; 4]),
        ] {
            let config =
                AttentionProbeConfig { activation, ..AttentionProbeConfig::new(D_MODEL, 2) };
            let state = random_state(&config, 4);
            let probe = AttentionProbe::from_state(&state, &config, &Device::flex()).unwrap();
            let output = probe.forward_dropped(x.clone(), mask_pad.clone(), Some(all.clone()));
            assert_eq!(host_values(output.pattern.unwrap()), expected, "{activation:?}");
        }
    }

    #[test]
    fn under_last_only_the_last_real_token_has_all_the_weight() {
        let config =
            AttentionProbeConfig { last_only: true, ..AttentionProbeConfig::new(D_MODEL, 2) };
        assert_eq!(config.init_state(0)["position_weight"].values, [1.0]);
        let probe = config.init(0, &Device::flex()).unwrap();
        let (x, mask_pad) = padded(&[3, 2], |i| i, 4, 3);
        let pattern = host_values(probe.forward(x, mask_pad).pattern.unwrap());
        assert_eq!(pattern, [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn one_seed_gives_one_set_of_weights() {
        let config =
            AttentionProbeConfig { hidden_dim: Some(4), ..AttentionProbeConfig::new(16, 2) };
        let state = config.init_state(42);
        assert_eq!(state, config.init_state(42));
        assert_ne!(state, config.init_state(43));
        assert!(state["q.weight"].values.iter().all(|&value| value == 0.0));
        let bits: Vec<u32> = ["v.weight", "v.bias", "o.weight", "o.bias"]
            .map(|n| state[n].values[0].to_bits())
            .to_vec();
        assert_eq!(bits, [3_188_540_746, 3_185_238_228, 3_202_919_850, 1_047_721_920]);
    }

    #[test]
    fn hyperparameters_out_of_range_are_refused() {
        let device = Device::flex();
        let config = AttentionProbeConfig::new(4, 2);
        for (config, message) in [
            (
                AttentionProbeConfig { n_heads: 0, ..config.clone() },
                "`n_heads` is 0, expected at least 1",
            ),
            (
                AttentionProbeConfig { hidden_dim: Some(0), ..config.clone() },
                "`hidden_dim` is 0, expected at least 1",
            ),
            (
                AttentionProbeConfig { attention_dropout: 1.0, ..config.clone() },
                "`attention_dropout` is 1, expected at least 0 and below 1",
            ),
            (
                AttentionProbeConfig { attention_dropout: f64::NAN, ..config },
                "`attention_dropout` is NaN, expected at least 0 and below 1",
            ),
        ] {
            assert_eq!(config.init(0, &device).unwrap_err().to_string(), message);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn padding_and_its_side_change_nothing(
            lengths in prop::collection::vec(1_usize..6, 1..4),
            n_extra in 0_usize..4,
            is_tanh in any::<bool>(),
            n_heads in 1_usize..4,
            seed in any::<u64>(),
        ) {
            let activation =
                if is_tanh { AttentionActivation::Tanh } else { AttentionActivation::Softmax };
            let config = AttentionProbeConfig {
                n_heads,
                activation,
                ..AttentionProbeConfig::new(D_MODEL, 3)
            };
            let state = random_state(&config, seed);
            let probe = AttentionProbe::from_state(&state, &config, &Device::flex()).unwrap();
            let longest = lengths.iter().copied().max().unwrap();
            let logits = |n_before: &dyn Fn(usize) -> usize, pos: usize| {
                let (x, mask_pad) = padded(&lengths, n_before, pos, seed);
                host_values(probe.forward(x, mask_pad).logits)
            };
            let tight = logits(&|_| 0, longest);
            assert_close(&logits(&|_| 0, longest + n_extra), &tight, 1e-5, "after");
            assert_close(&logits(&|i| longest - lengths[i], longest), &tight, 1e-5, "before");
        }

        #[test]
        fn a_permutation_of_heads_keeps_the_logits(
            seed in any::<u64>(),
            is_hidden in any::<bool>(),
        ) {
            let config = AttentionProbeConfig {
                n_heads: 3,
                hidden_dim: is_hidden.then_some(4),
                ..AttentionProbeConfig::new(D_MODEL, 2)
            };
            let state = random_state(&config, seed);
            let mut permuted = state.clone();
            for name in ["q.weight", "v.weight", "v.bias", "position_weight"] {
                let values = &mut permuted.get_mut(name).unwrap().values;
                let per_head = values.len() / 3;
                values.rotate_left(per_head);
            }
            prop_assert_ne!(&permuted, &state);
            let (x, mask_pad) = padded(&[3, 5], |_| 0, 5, seed);
            let logits = |state: &ProbeState| {
                let probe = AttentionProbe::from_state(state, &config, &Device::flex()).unwrap();
                host_values(probe.forward(x.clone(), mask_pad.clone()).logits)
            };
            assert_close(&logits(&permuted), &logits(&state), 1e-5, "logits");
        }
    }
}
