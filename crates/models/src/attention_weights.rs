//! What the scores and the output of one layer's attention read, in host memory.

use crate::{HookPoint, ModelError, Rope};

/// Everything between the residual stream that enters a block and the scores of its attention, and
/// from there to what attention adds to the stream.
///
/// ```text
/// y          = norm(resid_pre)
/// q_h        = turn(q_norm(y W_Q,h + b_Q,h))          k_h alike, of the head that h shares
/// score_h    = scale · q_h(query)·k_h(key)            then softcap, then softmax over keys
/// result_h   = Σ over keys of pattern_h (y W_V,h + b_V,h) W_O,h
/// attn_out   = post_norm(Σ over heads of result_h + b_O)
/// ```
///
/// Weights are raw, as published: no norm is folded in and nothing is centred. What a family lacks
/// is `None`; biases that it lacks are zero.
///
/// # Memory
///
/// One copy of the layer's attention weights in `f32`.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionWeights {
    /// Number of query heads.
    pub n_heads: usize,
    /// Number of key and value heads; divides `n_heads`.
    pub n_key_value_heads: usize,
    /// Width of a head.
    pub d_head: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// The norm before attention.
    pub norm: NormWeights,
    /// `[d_model, n_heads d_head]`
    pub w_q: Vec<f32>,
    /// `[n_heads d_head]`
    pub b_q: Vec<f32>,
    /// `[d_model, n_key_value_heads d_head]`
    pub w_k: Vec<f32>,
    /// `[n_key_value_heads d_head]`
    pub b_k: Vec<f32>,
    /// `[d_model, n_key_value_heads d_head]`
    pub w_v: Vec<f32>,
    /// `[n_key_value_heads d_head]`
    pub b_v: Vec<f32>,
    /// `[n_heads d_head, d_model]`
    pub w_o: Vec<f32>,
    /// `[d_model]`
    pub b_o: Vec<f32>,
    /// The norm of each head's query, before it is turned (Gemma 3).
    pub q_norm: Option<NormWeights>,
    /// The norm of each head's key, before it is turned (Gemma 3).
    pub k_norm: Option<NormWeights>,
    /// The norm of what attention adds to the stream (Gemma 2 and 3).
    pub post_norm: Option<NormWeights>,
    /// How queries and keys are turned by their positions (Gemma).
    pub rope: Option<Rope>,
    /// What products of queries and keys are multiplied by.
    pub scale: f64,
    /// `cap tanh(score / cap)`, after scaling (Gemma 2).
    pub softcap: Option<f64>,
    /// How many keys a query sees at most, itself included; `None` if all before it.
    pub window: Option<usize>,
}

/// Which norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// `(x - mean(x)) / √(variance(x) + ε)`
    Layer,
    /// `x / √(mean(x²) + ε)`
    RootMeanSquare,
}

/// A norm over the last axis.
///
/// ```text
/// output = normalized · gain + bias
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct NormWeights {
    /// How `normalized` comes about.
    pub kind: NormKind,
    /// What it is multiplied by, `[width]`; of Gemma `1 + weight`.
    pub gain: Vec<f32>,
    /// What is added, `[width]`; zero where the family has no bias.
    pub bias: Vec<f32>,
    /// `ε`
    pub epsilon: f64,
}

impl AttentionWeights {
    /// The head whose keys and values a query head uses.
    ///
    /// # Panics
    ///
    /// If there is no such head.
    pub fn key_value_head(&self, head: usize) -> usize {
        assert!(head < self.n_heads, "head {head} of {}", self.n_heads);
        head / (self.n_heads / self.n_key_value_heads)
    }

    /// Whether a query sees a key.
    pub fn sees(&self, query_pos: usize, key_pos: usize) -> bool {
        key_pos <= query_pos && self.window.is_none_or(|window| query_pos - key_pos < window)
    }
}

impl NormWeights {
    /// A root-mean-square norm, which has no bias.
    pub(crate) fn root_mean_square(gain: Vec<f32>, epsilon: f64) -> Self {
        let bias = vec![0.0; gain.len()];
        Self { kind: NormKind::RootMeanSquare, gain, bias, epsilon }
    }
}

/// Refuses a layer that a model does not have.
pub(crate) fn check_layer(layer: usize, n_layers: usize) -> Result<(), ModelError> {
    if layer < n_layers {
        return Ok(());
    }
    let hook = HookPoint::AttnScores(layer).to_string();
    Err(ModelError::LayerOutOfRange { hook, layer, n_layers })
}
