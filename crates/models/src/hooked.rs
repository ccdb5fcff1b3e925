//! The trait that every model family implements: run, and keep what is asked for.

use std::fmt;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::{
    ActivationCache, AttentionWeights, ForwardRequest, HookPoint, HookSet, ModelError, TokenBatch,
};

/// Sizes of a model that the rest of the workspace needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelShape {
    /// Number of blocks.
    pub n_layers: usize,
    /// Number of query heads.
    pub n_heads: usize,
    /// Number of key and value heads.
    pub n_key_value_heads: usize,
    /// Width of a head.
    pub d_head: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Width of the hidden layer of the MLP.
    pub d_mlp: usize,
    /// Number of token ids.
    pub d_vocab: usize,
    /// Longest text in tokens.
    pub n_ctx: usize,
}

/// What [`HookedModel::execute`] returns.
#[derive(Clone, Debug)]
pub struct ModelOutput {
    /// Scores of the next token, `[batch, pos, d_vocab]`, if they were asked for.
    pub logits: Option<Tensor<3>>,
    /// The activations that were asked for.
    pub cache: ActivationCache,
}

/// A language model whose activations can be read at named places.
///
/// A model of one's own needs the first three methods: it keeps what the request names with
/// [`ActivationCache::insert`]. The others have defaults that say what is not supported.
pub trait HookedModel: Send + Sync {
    /// Sizes of the model.
    fn shape(&self) -> &ModelShape;

    /// Whether the model has this hook in each of its layers.
    fn has_hook(&self, hook: HookPoint) -> bool;

    /// Runs as many blocks as the request needs, keeps only what it names, and makes its changes.
    ///
    /// Values at padded positions are finite or zero, but mean nothing.
    ///
    /// # Errors
    ///
    /// - [`ModelError::LayerOutOfRange`] if a hook names a layer the model does not have
    /// - [`ModelError::NoSuchHook`] if the model's family has no such hook, or it lies before the
    ///   start
    /// - [`ModelError::ContextLength`] if a text is longer than the context
    /// - [`ModelError::TokenOutOfRange`] if a token id is not in the vocabulary
    /// - [`ModelError::Start`] if the start is no layer, or its stream does not fit the batch
    /// - [`ModelError::InterventionShape`] or [`ModelError::InterventionIndex`] if a change does
    ///   not fit the activation
    /// - [`ModelError::Stopped`] if the request's signal to stop is given, which is asked before
    ///   each block
    fn execute(
        &self,
        batch: &TokenBatch,
        request: &ForwardRequest<'_>,
    ) -> Result<ModelOutput, ModelError>;

    /// What `tl_processed` subtracts from `hook_z` of a layer: the value bias seen by each head,
    /// `b_V + ln1.bias W_V`, `[n_heads, d_head]`; `None` where values have no bias, which is the
    /// default.
    fn value_bias(&self, layer: usize) -> Option<Tensor<2>> {
        let _ = layer;
        None
    }

    /// What the scores and the output of a layer's attention read, on the host: feature-resolved
    /// attention needs it.
    ///
    /// # Errors
    ///
    /// - [`ModelError::NotSupported`], which is the default
    /// - [`ModelError::LayerOutOfRange`] if there is no such layer
    /// - [`ModelError::Device`] if the device does not hand the weights over
    ///
    /// # Memory
    ///
    /// One copy of the layer's attention weights in `f32`.
    fn attention_weights(&self, layer: usize) -> Result<AttentionWeights, ModelError> {
        let _ = layer;
        Err(ModelError::NotSupported { what: "the weights of its attention" })
    }

    /// Whether `tl_processed` subtracts from the residual stream its mean over `d_model`; `false` by
    /// default.
    fn centres_residuals(&self) -> bool {
        false
    }

    /// The direction of the normalised residual stream that raises the logit of a token: its row
    /// of the output table times the gain of the final norm, `[d_model]`. Logit lenses and pages of
    /// autoencoders need it.
    ///
    /// # Errors
    ///
    /// [`ModelError::NotSupported`], which is the default.
    ///
    /// # Panics
    ///
    /// If the token is not in the vocabulary.
    fn unembed_direction(&self, token: u32) -> Result<Tensor<1>, ModelError> {
        let _ = token;
        Err(ModelError::NotSupported { what: "the directions of its logits" })
    }

    /// Every hook of the model.
    fn hooks(&self) -> Vec<HookPoint> {
        let all = HookPoint::all(self.shape().n_layers).into_iter();
        all.filter(|hook| self.has_hook(*hook)).collect()
    }

    /// Keeps activations and, if asked, returns the scores of the next token; changes nothing.
    ///
    /// # Errors
    ///
    /// As [`HookedModel::execute`].
    fn run(
        &self,
        batch: &TokenBatch,
        hooks: &HookSet,
        logits: bool,
    ) -> Result<ModelOutput, ModelError> {
        self.execute(batch, &ForwardRequest { hooks, logits, ..ForwardRequest::default() })
    }

    /// Scores of the next token, `[batch, pos, d_vocab]`.
    ///
    /// # Errors
    ///
    /// - as [`HookedModel::execute`]
    /// - [`ModelError::NotReturned`] if `execute` leaves the scores out
    fn forward(&self, batch: &TokenBatch) -> Result<Tensor<3>, ModelError> {
        let output = self.execute(batch, &ForwardRequest::logits())?;
        output.logits.ok_or_else(|| ModelError::NotReturned { output: "logits".to_owned() })
    }

    /// Activations at `hooks`; stops after the last layer that somebody asked for.
    ///
    /// # Errors
    ///
    /// As [`HookedModel::execute`].
    fn run_with_cache(
        &self,
        batch: &TokenBatch,
        hooks: &HookSet,
    ) -> Result<ActivationCache, ModelError> {
        self.run(batch, hooks, false).map(|output| output.cache)
    }
}

/// Which numbers a captured activation holds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Convention {
    /// Hugging Face's numbers.
    #[default]
    Raw,
    /// What `TransformerLens` captures after folding and centring the weights: GPT-2's residual
    /// stream, attention output, and MLP output without their mean over `d_model`, and `hook_z`
    /// without the value bias.
    TlProcessed,
}

impl fmt::Display for Convention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::TlProcessed => "tl_processed",
        })
    }
}

impl Convention {
    /// The convention of a name, `raw` or `tl_processed`.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Raw, Self::TlProcessed].into_iter().find(|one| one.to_string() == name)
    }

    /// Converts a raw activation of `model` at `hook`.
    ///
    /// # Shapes
    ///
    /// - `activation`: `[batch, pos, features]`, heads laid side by side
    pub fn apply(
        self,
        model: &dyn HookedModel,
        hook: HookPoint,
        activation: Tensor<3>,
    ) -> Tensor<3> {
        if self == Self::Raw {
            return activation;
        }
        match hook {
            HookPoint::ResidPre(_)
            | HookPoint::ResidMid(_)
            | HookPoint::ResidPost(_)
            | HookPoint::AttnOut(_)
            | HookPoint::MlpOut(_)
                if model.centres_residuals() =>
            {
                activation.clone() - activation.mean_dim(2)
            }
            HookPoint::Z(layer) => match model.value_bias(layer) {
                Some(bias) => activation - bias.flatten::<1>(0, 1).unsqueeze::<3>(),
                None => activation,
            },
            _ => activation,
        }
    }
}
