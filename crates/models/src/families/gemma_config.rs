//! What a Gemma is, in numbers.

use serde::{Deserialize, Serialize};

use crate::layers::rope::Rope;
use crate::{ActivationFunction, ModelShape};

/// Everything about a Gemma that changes its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GemmaConfig {
    /// Which of the three architectures.
    pub generation: GemmaGeneration,
    /// Number of query heads.
    pub n_heads: usize,
    /// Number of key and value heads; divides `n_heads`.
    pub n_key_value_heads: usize,
    /// Width of a head, even; `n_heads * d_head` need not be `d_model`.
    pub d_head: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Width of the hidden layer of the MLP.
    pub d_mlp: usize,
    /// Number of token ids.
    pub d_vocab: usize,
    /// Longest text in tokens.
    pub n_ctx: usize,
    /// Nonlinearity of the MLP's gate.
    pub activation: ActivationFunction,
    /// Added to the mean square in every norm.
    pub rms_norm_epsilon: f64,
    /// Scores are divided by the root of this.
    pub query_pre_attn_scalar: f64,
    /// Soft cap of the scores.
    pub attn_softcap: Option<f64>,
    /// Soft cap of the logits.
    pub logit_softcap: Option<f64>,
    /// How many keys a query of a sliding layer sees, itself included.
    pub sliding_window: usize,
    /// Which keys each layer sees, one entry per layer.
    pub layers: Vec<LayerKind>,
    /// Rotary positions of the layers that see every key.
    pub rope_full: Rope,
    /// Rotary positions of the sliding layers.
    pub rope_sliding: Rope,
    /// Whether the output table is the embedding.
    pub tie_word_embeddings: bool,
}

/// The three architectures that are called Gemma.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum GemmaGeneration {
    /// Norms before attention and MLP.
    #[serde(rename = "gemma")]
    One,
    /// Norms before and after attention and MLP; soft caps; sliding layers.
    #[serde(rename = "gemma2")]
    Two,
    /// As 2, without soft caps, with norms on queries and keys.
    #[serde(rename = "gemma3_text")]
    Three,
}

/// Which keys a layer's queries see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LayerKind {
    /// All before them.
    #[serde(rename = "full_attention")]
    Full,
    /// The last [`GemmaConfig::sliding_window`].
    #[serde(rename = "sliding_attention")]
    Sliding,
}

impl GemmaConfig {
    /// Sizes in the vocabulary of all families.
    pub fn shape(&self) -> ModelShape {
        ModelShape {
            n_layers: self.layers.len(),
            n_heads: self.n_heads,
            n_key_value_heads: self.n_key_value_heads,
            d_head: self.d_head,
            d_model: self.d_model,
            d_mlp: self.d_mlp,
            d_vocab: self.d_vocab,
            n_ctx: self.n_ctx,
        }
    }
}
