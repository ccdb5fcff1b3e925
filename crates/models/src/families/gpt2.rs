//! GPT-2: learned positions, layer norms before attention and MLP, a tied output table.
//!
//! Follows `modeling_gpt2.py` of Hugging Face transformers.

use burn::module::{Module, Param};
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::module::{embedding, linear};
use burn::tensor::{Device, Distribution, Tensor};
use serde::{Deserialize, Serialize};

use crate::attention_weights::check_layer;
use crate::hooks::pass::{ForwardPass, Projection};
use crate::layers::attention::{Heads, Scoring};
use crate::layers::embedding_table::EmbeddingTable;
use crate::{
    ActivationFunction, AttentionWeights, ForwardRequest, HookPoint, HookedModel, ModelError,
    ModelOutput, ModelShape, NormKind, NormWeights, TokenBatch, host_values,
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
    pub(crate) wte: EmbeddingTable,
    pub(crate) wpe: Param<Tensor<2>>,
    pub(crate) blocks: Vec<Gpt2Block>,
    pub(crate) ln_f: LayerNorm,
    pub(crate) lm_head: Option<EmbeddingTable>,
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
        let table = || EmbeddingTable::Param(normal([self.d_vocab, d], 0.02));
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
            wte: table(),
            wpe: normal([self.n_ctx, d], 0.02),
            blocks,
            ln_f: norm(),
            lm_head: (!self.tie_word_embeddings).then(table),
            config: self.clone(),
            shape: self.shape(),
        }
    }
}

impl Gpt2 {
    /// Puts loaded parts together.
    pub(crate) fn from_parts(
        config: Gpt2Config,
        wte: EmbeddingTable,
        wpe: Param<Tensor<2>>,
        blocks: Vec<Gpt2Block>,
        ln_f: LayerNorm,
        lm_head: Option<EmbeddingTable>,
    ) -> Self {
        let shape = config.shape();
        Self { wte, wpe, blocks, ln_f, lm_head, config, shape }
    }

    /// The configuration.
    pub fn config(&self) -> &Gpt2Config {
        &self.config
    }

    /// The table whose rows are the directions of the logits.
    fn output_table(&self) -> &EmbeddingTable {
        self.lm_head.as_ref().unwrap_or(&self.wte)
    }

    /// Runs one block on the residual stream and returns what leaves it.
    ///
    /// # Shapes
    ///
    /// - `resid`: `[batch, pos, d_model]`
    fn block(
        &self,
        layer: usize,
        resid: Tensor<3>,
        pass: &mut ForwardPass<'_>,
    ) -> Result<Tensor<3>, ModelError> {
        let (block, epsilon) = (&self.blocks[layer], self.config.layer_norm_epsilon);
        let resid = pass.stream(HookPoint::ResidPre(layer), resid)?;

        let hooks = (HookPoint::Ln1Scale(layer), HookPoint::Ln1Normalized(layer));
        let normed = pass.norm(&block.ln_1, epsilon, resid.clone(), hooks)?;
        let attn_out = self.attention(layer, normed, pass)?;
        let attn_out = pass.stream(HookPoint::AttnOut(layer), attn_out)?;
        let resid = pass.stream(HookPoint::ResidMid(layer), resid + attn_out)?;

        let hooks = (HookPoint::Ln2Scale(layer), HookPoint::Ln2Normalized(layer));
        let normed = pass.norm(&block.ln_2, epsilon, resid.clone(), hooks)?;
        let hidden = block.c_fc.forward(normed); // [batch, pos, d_mlp]
        let hidden = pass.stream(HookPoint::MlpPre(layer), hidden)?;
        let hidden = self.config.activation.forward(hidden);
        let hidden = pass.stream(HookPoint::MlpPost(layer), hidden)?;
        let mlp_out = pass.stream(HookPoint::MlpOut(layer), block.mlp_c_proj.forward(hidden))?;
        pass.stream(HookPoint::ResidPost(layer), resid + mlp_out)
    }

    /// Attention of one block: `[batch, pos, d_model]` to `[batch, pos, d_model]`.
    fn attention(
        &self,
        layer: usize,
        x: Tensor<3>,
        pass: &mut ForwardPass<'_>,
    ) -> Result<Tensor<3>, ModelError> {
        let block = &self.blocks[layer];
        let [batch, pos, _] = x.dims();
        let ModelShape { n_heads, d_head, .. } = self.shape;

        let qkv = block.c_attn.forward(x).reshape([batch, pos, 3 * n_heads, d_head]);
        let part = |index: usize| qkv.clone().narrow(2, index * n_heads, n_heads);
        let q = pass.heads(HookPoint::Q(layer), part(0))?; // [batch, pos, n_heads, d_head]
        let k = pass.heads(HookPoint::K(layer), part(1))?;
        let v = pass.heads(HookPoint::V(layer), part(2))?;

        let heads = Heads { q: q.swap_dims(1, 2), k: k.swap_dims(1, 2), v: v.swap_dims(1, 2) };
        let scoring = Scoring { scale: self.score_scale(layer), softcap: None, window: None };
        let Linear { weight, bias } = &block.attn_c_proj;
        let bias = bias.as_ref().map(Param::val);
        pass.attention(layer, heads, scoring, Projection { weight: weight.val(), bias })
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
}

impl HookedModel for Gpt2 {
    fn shape(&self) -> &ModelShape {
        &self.shape
    }

    fn has_hook(&self, hook: HookPoint) -> bool {
        !matches!(
            hook,
            HookPoint::RotQ(_)
                | HookPoint::RotK(_)
                | HookPoint::Ln1PostScale(_)
                | HookPoint::Ln1PostNormalized(_)
                | HookPoint::MlpPreLinear(_)
                | HookPoint::Ln2PostScale(_)
                | HookPoint::Ln2PostNormalized(_)
        )
    }

    fn execute(
        &self,
        batch: &TokenBatch,
        request: &ForwardRequest<'_>,
    ) -> Result<ModelOutput, ModelError> {
        let tracks_gradients = self.wte.tracks_gradients();
        let mut pass = ForwardPass::new(self, batch, request, tracks_gradients)?;
        let resid = if let Some((_, resid)) = &request.start {
            resid.clone().cast(self.ln_f.gamma.val().dtype())
        } else {
            let embed = pass.stream(HookPoint::Embed, self.wte.lookup(batch))?;
            let pos_embed = embedding(self.wpe.val(), batch.position_ids());
            embed + pass.stream(HookPoint::PosEmbed, pos_embed)?
        };
        let block = |pass: &mut ForwardPass<'_>, layer, resid| self.block(layer, resid, pass);
        let final_norm = (&self.ln_f, self.config.layer_norm_epsilon);
        pass.run(self, resid, block, final_norm, |last| {
            let table = self.output_table().whole(&last.device());
            linear(last, table.transpose(), None)
        })
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

    fn attention_weights(&self, layer: usize) -> Result<AttentionWeights, ModelError> {
        check_layer(layer, self.shape.n_layers)?;
        let (block, epsilon) = (&self.blocks[layer], self.config.layer_norm_epsilon);
        attention_weights(block, &self.shape, epsilon, self.score_scale(layer))
    }

    fn unembed_direction(&self, token: u32) -> Result<Tensor<1>, ModelError> {
        let gain = self.ln_f.gamma.val();
        Ok(self.output_table().row(token, &gain.device()) * gain)
    }

    fn centres_residuals(&self) -> bool {
        true
    }
}

/// What the attention of a block reads.
fn attention_weights(
    block: &Gpt2Block,
    shape: &ModelShape,
    epsilon: f64,
    scale: f64,
) -> Result<AttentionWeights, ModelError> {
    let ModelShape { n_heads, d_head, d_model, .. } = *shape;
    let weight = |i: usize| host_values(block.c_attn.weight.val().narrow(1, i * d_model, d_model));
    let or_zero = |bias: Option<Tensor<1>>| match bias {
        Some(bias) => host_values(bias),
        None => Ok(vec![0.0; d_model]),
    };
    let bias = |i: usize| {
        let all = block.c_attn.bias.as_ref();
        or_zero(all.map(|bias| bias.val().narrow(0, i * d_model, d_model)))
    };
    Ok(AttentionWeights {
        n_heads,
        n_key_value_heads: n_heads,
        d_head,
        d_model,
        norm: NormWeights {
            kind: NormKind::Layer,
            gain: host_values(block.ln_1.gamma.val())?,
            bias: or_zero(block.ln_1.beta.as_ref().map(Param::val))?,
            epsilon,
        },
        w_q: weight(0)?,
        b_q: bias(0)?,
        w_k: weight(1)?,
        b_k: bias(1)?,
        w_v: weight(2)?,
        b_v: bias(2)?,
        w_o: host_values(block.attn_c_proj.weight.val())?,
        b_o: or_zero(block.attn_c_proj.bias.as_ref().map(Param::val))?,
        q_norm: None,
        k_norm: None,
        post_norm: None,
        rope: None,
        scale,
        softcap: None,
        window: None,
    })
}
