//! GPT-2: learned positions, layer norms before attention and MLP, a tied output table.
//!
//! Follows `modeling_gpt2.py` of Hugging Face transformers.

use burn::module::{Module, Param};
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::module::{attention, embedding};
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, Device, Distribution, Int, Tensor, activation};
use serde::{Deserialize, Serialize};

use crate::cache::Activation;
use crate::layers::norm_parts;
use crate::{
    ActivationCache, ActivationFunction, HookPoint, HookSet, HookedModel, ModelError, ModelOutput,
    ModelShape, TokenBatch,
};

/// Everything about a GPT-2 that changes its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gpt2Config {
    /// Number of blocks.
    pub n_layers: usize,
    /// Number of heads; divides `d_model`.
    pub n_heads: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Width of the hidden layer of the MLP.
    pub d_mlp: usize,
    /// Number of token ids.
    pub d_vocab: usize,
    /// Longest text in tokens.
    pub n_ctx: usize,
    /// Nonlinearity of the MLP.
    pub activation: ActivationFunction,
    /// Added to the variance in every norm.
    pub layer_norm_epsilon: f64,
    /// Whether scores are divided by `√d_head`.
    pub scale_attn_weights: bool,
    /// Whether scores are also divided by the layer's number, counted from 1.
    pub scale_attn_by_inverse_layer_idx: bool,
    /// Whether the output table is the embedding.
    pub tie_word_embeddings: bool,
}

/// A GPT-2 with hooks.
///
/// # Memory
///
/// One copy of the weights in the dtype they were loaded in.
#[derive(Module, Debug)]
pub struct Gpt2 {
    pub(crate) wte: Param<Tensor<2>>,
    pub(crate) wpe: Param<Tensor<2>>,
    pub(crate) blocks: Vec<Gpt2Block>,
    pub(crate) ln_f: LayerNorm,
    pub(crate) lm_head: Option<Param<Tensor<2>>>,
    #[module(skip)]
    config: Gpt2Config,
    #[module(skip)]
    shape: ModelShape,
}

/// One block: attention, then MLP, each behind a norm and added to the residual stream.
#[derive(Module, Debug)]
pub(crate) struct Gpt2Block {
    pub(crate) ln_1: LayerNorm,
    pub(crate) c_attn: Linear,
    pub(crate) attn_c_proj: Linear,
    pub(crate) ln_2: LayerNorm,
    pub(crate) c_fc: Linear,
    pub(crate) mlp_c_proj: Linear,
}

impl Gpt2Config {
    /// Sizes in the vocabulary of all families.
    ///
    /// # Panics
    ///
    /// If there is no head.
    pub fn shape(&self) -> ModelShape {
        ModelShape {
            n_layers: self.n_layers,
            n_heads: self.n_heads,
            n_key_value_heads: self.n_heads,
            d_head: self.d_model / self.n_heads,
            d_model: self.d_model,
            d_mlp: self.d_mlp,
            d_vocab: self.d_vocab,
            n_ctx: self.n_ctx,
        }
    }

    /// A model with random weights as GPT-2 draws them: normal with deviation 0.02, projections
    /// into the residual stream divided by `√(2 n_layers)`, biases zero.
    ///
    /// Draws from the generator that `device.seed` sets.
    ///
    /// # Panics
    ///
    /// If there is no head.
    pub fn init(&self, device: &Device) -> Gpt2 {
        let normal = |shape: [usize; 2], std: f64| {
            Param::from_tensor(Tensor::random(shape, Distribution::Normal(0.0, std), device))
        };
        let linear = |d_input: usize, d_output: usize, std: f64| {
            let mut linear = LinearConfig::new(d_input, d_output).init(device);
            linear.weight = normal([d_input, d_output], std);
            linear.bias = Some(Param::from_tensor(Tensor::zeros([d_output], device)));
            linear
        };
        let norm = || {
            LayerNormConfig::new(self.d_model).with_epsilon(self.layer_norm_epsilon).init(device)
        };
        let d = self.d_model;
        let std_residual = 0.02 / (2.0 * self.n_layers as f64).sqrt();
        let blocks = (0..self.n_layers)
            .map(|_| Gpt2Block {
                ln_1: norm(),
                c_attn: linear(d, 3 * d, 0.02),
                attn_c_proj: linear(d, d, std_residual),
                ln_2: norm(),
                c_fc: linear(d, self.d_mlp, 0.02),
                mlp_c_proj: linear(self.d_mlp, d, std_residual),
            })
            .collect();
        Gpt2 {
            wte: normal([self.d_vocab, d], 0.02),
            wpe: normal([self.n_ctx, d], 0.02),
            blocks,
            ln_f: norm(),
            lm_head: (!self.tie_word_embeddings).then(|| normal([self.d_vocab, d], 0.02)),
            config: self.clone(),
            shape: self.shape(),
        }
    }
}

impl Gpt2 {
    /// Puts loaded parts together.
    pub(crate) fn from_parts(
        config: Gpt2Config,
        wte: Param<Tensor<2>>,
        wpe: Param<Tensor<2>>,
        blocks: Vec<Gpt2Block>,
        ln_f: LayerNorm,
        lm_head: Option<Param<Tensor<2>>>,
    ) -> Self {
        let shape = config.shape();
        Self { wte, wpe, blocks, ln_f, lm_head, config, shape }
    }

    /// The configuration.
    pub fn config(&self) -> &Gpt2Config {
        &self.config
    }

    /// Runs one block on the residual stream and returns what leaves it.
    ///
    /// # Shapes
    ///
    /// - `resid`: `[batch, pos, d_model]`
    fn block(&self, layer: usize, resid: Tensor<3>, run: &mut Run<'_>) -> Tensor<3> {
        let block = &self.blocks[layer];
        run.keep(HookPoint::ResidPre(layer), &resid);

        let hooks = (HookPoint::Ln1Scale(layer), HookPoint::Ln1Normalized(layer));
        let normed = self.norm(&block.ln_1, resid.clone(), hooks, run);
        let attn_out = self.attention(layer, normed, run);
        run.keep(HookPoint::AttnOut(layer), &attn_out);
        let resid = resid + attn_out;
        run.keep(HookPoint::ResidMid(layer), &resid);

        let hooks = (HookPoint::Ln2Scale(layer), HookPoint::Ln2Normalized(layer));
        let normed = self.norm(&block.ln_2, resid.clone(), hooks, run);
        let hidden = block.c_fc.forward(normed); // [batch, pos, d_mlp]
        run.keep(HookPoint::MlpPre(layer), &hidden);
        let hidden = self.config.activation.forward(hidden);
        run.keep(HookPoint::MlpPost(layer), &hidden);
        let mlp_out = block.mlp_c_proj.forward(hidden);
        run.keep(HookPoint::MlpOut(layer), &mlp_out);
        let resid = resid + mlp_out;
        run.keep(HookPoint::ResidPost(layer), &resid);
        resid
    }

    fn norm(
        &self,
        norm: &LayerNorm,
        x: Tensor<3>,
        (scale, normalized): (HookPoint, HookPoint),
        run: &mut Run<'_>,
    ) -> Tensor<3> {
        if !run.hooks.contains(scale) && !run.hooks.contains(normalized) {
            return norm.forward(x);
        }
        let parts = norm_parts(norm, self.config.layer_norm_epsilon, x);
        run.keep(scale, &parts.scale);
        run.keep(normalized, &parts.normalized);
        parts.output
    }

    /// Attention of one block: `[batch, pos, d_model]` to `[batch, pos, d_model]`.
    #[expect(clippy::many_single_char_names, reason = "queries, keys, and values have no other")]
    fn attention(&self, layer: usize, x: Tensor<3>, run: &mut Run<'_>) -> Tensor<3> {
        let block = &self.blocks[layer];
        let [batch, pos, d_model] = x.dims();
        let ModelShape { n_heads, d_head, .. } = self.shape;

        let qkv = block.c_attn.forward(x).reshape([batch, pos, 3 * n_heads, d_head]);
        let part = |index: usize| qkv.clone().narrow(2, index * n_heads, n_heads);
        let (q, k, v) = (part(0), part(1), part(2)); // [batch, pos, n_heads, d_head]
        run.keep_heads(HookPoint::Q(layer), &q);
        run.keep_heads(HookPoint::K(layer), &k);
        run.keep_heads(HookPoint::V(layer), &v);

        let (q, k, v) = (q.swap_dims(1, 2), k.swap_dims(1, 2), v.swap_dims(1, 2));
        let scale = self.score_scale(layer);
        let explicit = run.tracks_gradients
            || run.hooks.contains(HookPoint::AttnScores(layer))
            || run.hooks.contains(HookPoint::Pattern(layer));
        let z = if explicit {
            let scores = (q * scale).matmul(k.swap_dims(2, 3)); // [batch, n_heads, query, key]
            let scores = run.mask_scores(scores);
            run.keep_heads(HookPoint::AttnScores(layer), &scores);
            let pattern = run.without_empty_rows(activation::softmax(scores, 3));
            run.keep_heads(HookPoint::Pattern(layer), &pattern);
            pattern.matmul(v)
        } else {
            let options = AttentionModuleOptions {
                scale: Some(scale),
                is_causal: true,
                ..AttentionModuleOptions::default()
            };
            let mask = run.hidden_keys.clone().map(|mask| mask.expand([batch, n_heads, pos, pos]));
            attention(q, k, v, mask, None, options)
        };
        let z = z.swap_dims(1, 2); // [batch, pos, n_heads, d_head]
        run.keep_heads(HookPoint::Z(layer), &z);
        if run.hooks.contains(HookPoint::Result(layer)) {
            let weight = block.attn_c_proj.weight.val().reshape([1, n_heads, d_head, d_model]);
            let z = z.clone().swap_dims(1, 2); // [batch, n_heads, pos, d_head]
            run.keep_heads(HookPoint::Result(layer), &z.matmul(weight).swap_dims(1, 2));
        }
        block.attn_c_proj.forward(z.reshape([batch, pos, d_model]))
    }

    /// What raw scores of a layer are multiplied by.
    fn score_scale(&self, layer: usize) -> f64 {
        let mut scale = 1.0;
        if self.config.scale_attn_weights {
            scale /= (self.shape.d_head as f64).sqrt();
        }
        if self.config.scale_attn_by_inverse_layer_idx {
            scale /= (layer + 1) as f64;
        }
        scale
    }

    fn check(&self, batch: &TokenBatch) -> Result<(), ModelError> {
        let [_, pos] = batch.dims();
        let longest = batch.mask().chunks(pos).map(|row| row.iter().filter(|r| **r).count()).max();
        let found = longest.unwrap_or(0);
        if found > self.shape.n_ctx {
            return Err(ModelError::ContextLength { found, n_ctx: self.shape.n_ctx });
        }
        if batch.max_id() as usize >= self.shape.d_vocab {
            return Err(ModelError::TokenOutOfRange {
                id: batch.max_id(),
                d_vocab: self.shape.d_vocab,
            });
        }
        Ok(())
    }
}

impl HookedModel for Gpt2 {
    fn shape(&self) -> &ModelShape {
        &self.shape
    }

    fn run(
        &self,
        batch: &TokenBatch,
        hooks: &HookSet,
        logits: bool,
    ) -> Result<ModelOutput, ModelError> {
        self.check(batch)?;
        let needed = hooks.blocks_needed(self.shape.n_layers)?;
        let n_blocks = if logits { self.shape.n_layers } else { needed };
        let mut run = Run::new(batch, hooks, self.wte.val().device().is_autodiff());

        let embed = embedding(self.wte.val(), batch.input_ids());
        run.keep(HookPoint::Embed, &embed);
        let pos_embed = embedding(self.wpe.val(), batch.position_ids());
        run.keep(HookPoint::PosEmbed, &pos_embed);
        let mut resid = embed + pos_embed;
        for layer in 0..n_blocks {
            resid = self.block(layer, resid, &mut run);
        }
        // A block that need not run may still be asked for the stream that enters it.
        if n_blocks < self.shape.n_layers {
            run.keep(HookPoint::ResidPre(n_blocks), &resid);
        }
        let wants_final = [HookPoint::LnFinalScale, HookPoint::LnFinalNormalized]
            .map(|hook| hooks.contains(hook));
        let logits = if logits || wants_final.contains(&true) {
            let parts = (HookPoint::LnFinalScale, HookPoint::LnFinalNormalized);
            let last = self.norm(&self.ln_f, resid, parts, &mut run);
            let table = self.lm_head.as_ref().unwrap_or(&self.wte).val();
            logits.then(|| last.matmul(table.transpose().unsqueeze::<3>()))
        } else {
            None
        };
        Ok(ModelOutput { logits, cache: run.cache })
    }

    fn value_bias(&self, layer: usize) -> Option<Tensor<2>> {
        let block = self.blocks.get(layer)?;
        let d_model = self.shape.d_model;
        let w_v = block.c_attn.weight.val().narrow(1, 2 * d_model, d_model);
        let b_v = block.c_attn.bias.as_ref()?.val().narrow(0, 2 * d_model, d_model);
        let seen = block.ln_1.beta.as_ref()?.val().unsqueeze::<2>().matmul(w_v); // [1, d_model]
        let bias = b_v.unsqueeze::<2>() + seen;
        Some(bias.reshape([self.shape.n_heads, self.shape.d_head]))
    }

    fn centres_residuals(&self) -> bool {
        true
    }
}

/// State of one forward pass.
struct Run<'a> {
    hooks: &'a HookSet,
    cache: ActivationCache,
    /// `true` where a key lies after its query, `[1, 1, query_pos, key_pos]`.
    future: Tensor<4, Bool>,
    /// `true` where a key is padding that the causal mask does not hide, `[batch, 1, 1, key_pos]`.
    hidden_keys: Option<Tensor<4, Bool>>,
    tracks_gradients: bool,
}

impl<'a> Run<'a> {
    fn new(batch: &TokenBatch, hooks: &'a HookSet, tracks_gradients: bool) -> Self {
        let [_, pos] = batch.dims();
        let ids: Tensor<2, Int> = batch.input_ids();
        let future = Tensor::<2, Bool>::tril_mask([pos, pos], 0, &ids.device().inner());
        let hidden_keys =
            batch.has_left_padding().then(|| batch.mask_pad().unsqueeze_dims::<4>(&[1, 1]));
        Self {
            hooks,
            cache: ActivationCache::default(),
            future: future.unsqueeze::<4>(),
            hidden_keys,
            tracks_gradients,
        }
    }

    fn keep(&mut self, hook: HookPoint, activation: &Tensor<3>) {
        if self.hooks.contains(hook) {
            self.cache.insert(hook, Activation::Stream(activation.clone()));
        }
    }

    fn keep_heads(&mut self, hook: HookPoint, activation: &Tensor<4>) {
        if self.hooks.contains(hook) {
            self.cache.insert(hook, Activation::Heads(activation.clone()));
        }
    }

    /// Hides the future and, behind left padding, the padding.
    fn mask_scores(&self, scores: Tensor<4>) -> Tensor<4> {
        let dims = scores.dims();
        let scores = scores.mask_fill(self.future.clone().expand(dims), f32::NEG_INFINITY);
        match &self.hidden_keys {
            Some(hidden) => scores.mask_fill(hidden.clone().expand(dims), f32::NEG_INFINITY),
            None => scores,
        }
    }

    /// Queries in left padding see no key at all: their rows become zero instead of NaN.
    fn without_empty_rows(&self, pattern: Tensor<4>) -> Tensor<4> {
        match &self.hidden_keys {
            Some(_) => {
                let empty = pattern.clone().is_nan();
                pattern.mask_fill(empty, 0.0)
            }
            None => pattern,
        }
    }
}
