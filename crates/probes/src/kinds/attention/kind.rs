//! The definition of attention probes.

use attention_probes_errors::ValueError;
use burn::tensor::Tensor;
use burn::tensor::activation::{relu, softmax, tanh};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::contributions::WeighedShares;
use super::kernel::AttentionKernel;
use super::stream::AttentionStream;
use crate::engine::{HostKernel, Vectorized};
use crate::kinds::reduce::weighted_mean;
use crate::kinds::{
    Batch, Layout, ProbeKind, ProbeSize, TokenContributions, TokenDropout, TokenWeights,
};
use crate::state::check_sizes;
use crate::streaming::StreamKind;
use crate::{ParamArray, ProbeError, ProbeState};

/// Score of a dropped token, as in the reference: far above that of padding, so that padding weighs
/// exactly 0 even where every real token of a head was dropped.
const SCORE_DROPPED: f32 = -1e9;

/// Weighs the tokens of a text, then reads out their weighted sum.
///
/// ```text
/// scores[b,h,p]  = q[h]·x[b,p] + position_weight[h] · position[b,p]
/// pattern[b,h,p] = softmax over p of scores[b,h,p]          or tanh(scores[b,h,p])
/// z[b,k]         = Σ_h Σ_p pattern[b,h,p] (v[h,k]·x[b,p] + v_bias[h,k])
/// logits[b,c]    = z[b,c]                                   or o[c]·relu(z[b]) + o_bias[c]
/// ```
///
/// With a hidden layer the tokens are summed before they are projected, which is the same and costs
/// `hidden_dim` times less; it multiplies with the activations for it.
///
/// # Examples
///
/// ```
/// use attention_probes::probes::{Attention, ProbeConfig};
///
/// let config = ProbeConfig::new(Attention { n_heads: 2, ..Attention::default() }, 8, 3);
/// let state = config.init_state(42);
/// assert_eq!(state["v.weight"].shape, [6, 8]);
/// assert_eq!(state["q.weight"].values, [0.0; 16]); // an untrained probe averages the tokens
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attention {
    /// Number of heads, 1 by default. Heads are summed.
    pub n_heads: usize,
    /// Width of the hidden layer after the attention, none by default.
    pub hidden_dim: Option<usize>,
    /// How scores become weights, the softmax by default.
    pub activation: AttentionActivation,
    /// Probability that a token is hidden from a head in training, 0 by default.
    pub attention_dropout: f64,
    /// Whether only the last token is seen, `false` by default.
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

impl Default for Attention {
    fn default() -> Self {
        Self {
            n_heads: 1,
            hidden_dim: None,
            activation: AttentionActivation::default(),
            attention_dropout: 0.0,
            last_only: false,
        }
    }
}

impl Attention {
    /// Width of a value: the hidden layer, or the logits where there is none.
    pub(super) fn d_value(&self, n_out: usize) -> usize {
        self.hidden_dim.unwrap_or(n_out)
    }

    /// Scores of tokens, those of padding and of dropped ones far below all others,
    /// `[n_trials, n_heads, batch, pos]`.
    fn scores(&self, batch: &Batch) -> Tensor<4> {
        let scores = batch.product("q.weight");
        let [n_trials, n_heads, n, pos] = scores.dims();
        let slope = batch.array("position_weight", [n_trials, n_heads, 1, 1]);
        let scores = scores + slope * batch.positions();
        let scores = match batch.dropped() {
            Some(dropped) => {
                scores.mask_fill(dropped.expand([n_trials, n_heads, n, pos]), SCORE_DROPPED)
            }
            None => scores,
        };
        scores + if self.last_only { batch.all_but_last() } else { batch.padding() }
    }

    /// Which tokens count under tanh: 1 or 0, `[1, n_heads or 1, batch, pos]`.
    fn seen(&self, batch: &Batch) -> Tensor<4> {
        let seen = if self.last_only { batch.last() } else { batch.real() };
        match batch.dropped() {
            Some(dropped) => seen * dropped.bool_not().float(),
            None => seen,
        }
    }

    /// The weighted values without a hidden layer, `[n_trials, n_out, batch]`.
    fn read_values(&self, batch: &Batch) -> Tensor<3> {
        let [n_trials, n_out, n] = batch.dims();
        let n_heads = self.n_heads;
        let values = batch.product("v.weight"); // [n_trials, n_heads * n_out, batch, pos]
        let pos = values.dims()[3];
        let bias = batch.array("v.bias", [n_trials, n_heads * n_out, 1, 1]);
        let of_heads = match self.activation {
            AttentionActivation::Softmax => {
                let scores = self.scores(batch).reshape([n_trials * n_heads, 1, n, pos]);
                let values = values.reshape([n_trials * n_heads, n_out, n, pos]);
                let means = weighted_mean(scores, values).reshape([n_trials, n_heads * n_out, n]);
                means + bias.reshape([n_trials, n_heads * n_out, 1])
            }
            AttentionActivation::Tanh => {
                let weights = self.pattern_of(batch).reshape([n_trials * n_heads, 1, n, pos]);
                let values = (values + bias).reshape([n_trials * n_heads, n_out, n, pos]);
                (weights * values).sum_dim(3).reshape([n_trials, n_heads * n_out, n])
            }
        };
        if n_heads == 1 {
            return of_heads;
        }
        let of_heads = of_heads.reshape([n_trials, n_heads, n_out * n]);
        of_heads.sum_dim(1).reshape([n_trials, n_out, n])
    }

    /// The logits through a hidden layer, `[n_trials, n_out, batch]`.
    fn read_hidden(&self, batch: &Batch, width: usize) -> Tensor<3> {
        let [n_trials, n_out, n] = batch.dims();
        let (n_heads, x) = (self.n_heads, batch.x());
        let [_, pos, d_model] = x.dims();
        let pattern = self.pattern_of(batch); // [n_trials, n_heads, batch, pos]
        let totals = pattern.clone().sum_dim(3).reshape([n_trials, n_heads, n]);
        // Every text with its own weights: [batch, n_trials * n_heads, d_model].
        let weights = pattern.reshape([n_trials * n_heads, n, pos]).swap_dims(0, 1);
        let pooled = weights.matmul(x).reshape([n, n_trials, n_heads * d_model]).swap_dims(0, 1);
        let values = batch.array("v.weight", [n_trials, n_heads, width, d_model]);
        let values = values.swap_dims(2, 3).reshape([n_trials, n_heads * d_model, width]);
        let z = pooled.matmul(values); // [n_trials, batch, width]
        let bias = batch.array("v.bias", [n_trials, n_heads, width]);
        let z = z.swap_dims(1, 2) + bias.swap_dims(1, 2).matmul(totals);
        let out = batch.array("o.weight", [n_trials, n_out, width]);
        out.matmul(relu(z)) + batch.array("o.bias", [n_trials, n_out, 1])
    }

    fn pattern_of(&self, batch: &Batch) -> Tensor<4> {
        match self.activation {
            AttentionActivation::Softmax => softmax(self.scores(batch), 3),
            AttentionActivation::Tanh => {
                // Padding and dropped tokens are kept out by their weight alone.
                let scores = batch.product("q.weight");
                let [n_trials, n_heads, _, _] = scores.dims();
                let slope = batch.array("position_weight", [n_trials, n_heads, 1, 1]);
                tanh(scores + slope * batch.positions()) * self.seen(batch)
            }
        }
    }
}

impl ProbeKind for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn layout(&self, size: ProbeSize) -> Layout {
        let n_values = self.n_heads * self.d_value(size.n_out);
        let queries = Layout::new().rows("q.weight", self.n_heads);
        match self.hidden_dim {
            None => queries
                .rows("v.weight", n_values)
                .small("v.bias", [n_values])
                .small("position_weight", [self.n_heads]),
            Some(width) => queries
                .small("v.weight", [n_values, size.d_model])
                .small("v.bias", [n_values])
                .small("position_weight", [self.n_heads])
                .small("o.weight", [size.n_out, width])
                .small("o.bias", [size.n_out]),
        }
    }

    fn forward(&self, batch: &Batch) -> Tensor<3> {
        match self.hidden_dim {
            None => self.read_values(batch),
            Some(width) => self.read_hidden(batch, width),
        }
    }

    fn check(&self) -> Result<(), ProbeError> {
        let width = self.hidden_dim.unwrap_or(1);
        check_sizes(&[("n_heads", self.n_heads), ("hidden_dim", width)])?;
        if !(0.0..1.0).contains(&self.attention_dropout) {
            let (name, expected) = ("attention_dropout", "at least 0 and below 1");
            return Err(ValueError::new(name, self.attention_dropout, expected).into());
        }
        Ok(())
    }

    /// `q.weight` is 0 and `position_weight` is 0 (1 under `last_only`), so an untrained probe
    /// averages the tokens. The other weights are `U(±1/√fan_in)`.
    fn draw(
        &self,
        array: &str,
        shape: &[usize],
        size: ProbeSize,
        rng: &mut ChaCha8Rng,
    ) -> ParamArray {
        match array {
            "q.weight" => ParamArray::zeros(shape),
            "position_weight" => ParamArray::full(shape, if self.last_only { 1.0 } else { 0.0 }),
            "o.weight" | "o.bias" => ParamArray::uniform(shape, self.d_value(size.n_out), rng),
            _ => ParamArray::uniform(shape, size.d_model, rng),
        }
    }

    fn pattern(&self, batch: &Batch) -> Option<Tensor<4>> {
        Some(self.pattern_of(batch))
    }

    fn token_weights(&self) -> Option<TokenWeights> {
        let sum_to_one = self.activation == AttentionActivation::Softmax;
        Some(TokenWeights { n_heads: self.n_heads, sum_to_one })
    }

    fn dropout(&self) -> Option<TokenDropout> {
        // A single token is never hidden: nothing would be left to read.
        let drops = self.attention_dropout > 0.0 && !self.last_only;
        let (n_heads, probability) = (self.n_heads, self.attention_dropout);
        drops.then_some(TokenDropout { n_heads, probability })
    }

    /// All of them, as in the reference.
    fn decays(&self, _: &str, _: &[usize]) -> bool {
        true
    }

    fn host_kernel(&self, size: ProbeSize) -> Option<Box<dyn HostKernel>> {
        let kernel = || Vectorized(AttentionKernel::new(self, size.n_out));
        (!self.last_only).then(|| Box::new(kernel()) as Box<dyn HostKernel>)
    }

    fn stream(&self, state: &ProbeState, _: ProbeSize) -> Option<Box<dyn StreamKind>> {
        Some(Box::new(AttentionStream::new(self, state)))
    }

    fn contributions<'a>(
        &self,
        state: &'a ProbeState,
        size: ProbeSize,
    ) -> Option<Box<dyn TokenContributions + 'a>> {
        let values = &state.get("v.weight").filter(|_| self.hidden_dim.is_none())?.values;
        Some(Box::new(WeighedShares { values, size }))
    }
}
