//! Gemma 1, 2, and 3: rotary positions, shared key heads, gated MLPs, root-mean-square norms.
//!
//! Follows `modeling_gemma.py`, `modeling_gemma2.py`, and `modeling_gemma3.py` of Hugging Face
//! transformers.

use burn::module::{Module, Param};
use burn::tensor::module::linear;
use burn::tensor::{DType, Device, Distribution, FloatDType, Tensor};

use super::{GemmaConfig, GemmaGeneration, LayerKind};
use crate::attention_weights::check_layer;
use crate::hooks::pass::{ForwardPass, Projection};
use crate::layers::attention::{Heads, Scoring};
use crate::layers::embedding_table::EmbeddingTable;
use crate::layers::norm::{RmsNorm, rms_norm_heads};
use crate::layers::rope::{Rope, RopeTable};
use crate::{
    AttentionWeights, ForwardRequest, HookPoint, HookedModel, ModelError, ModelOutput, ModelShape,
    NormWeights, TokenBatch, host_values,
};

/// A Gemma with hooks.
///
/// # Memory
///
/// One copy of the weights in the dtype they were loaded in.
#[derive(Module, Debug)]
pub struct Gemma {
    pub(crate) embed_tokens: EmbeddingTable,
    pub(crate) blocks: Vec<GemmaBlock>,
    pub(crate) norm: RmsNorm,
    pub(crate) lm_head: Option<EmbeddingTable>,
    #[module(skip)]
    config: GemmaConfig,
    #[module(skip)]
    shape: ModelShape,
}

/// One block: attention, then MLP, each behind a norm and added to the residual stream.
#[derive(Module, Debug)]
pub(crate) struct GemmaBlock {
    pub(crate) ln1: RmsNorm,
    /// Queries, keys, and values side by side, `[d_model, (n_heads + 2 n_key_value_heads) d_head]`.
    pub(crate) w_qkv: Param<Tensor<2>>,
    /// Norms of queries and keys (Gemma 3).
    pub(crate) q_norm: Option<RmsNorm>,
    pub(crate) k_norm: Option<RmsNorm>,
    /// `[n_heads d_head, d_model]`
    pub(crate) w_o: Param<Tensor<2>>,
    /// Norm of what attention adds (Gemma 2 and 3).
    pub(crate) ln1_post: Option<RmsNorm>,
    pub(crate) ln2: RmsNorm,
    /// Gate and up projection side by side, `[d_model, 2 d_mlp]`.
    pub(crate) w_gate_up: Param<Tensor<2>>,
    /// `[d_mlp, d_model]`
    pub(crate) w_down: Param<Tensor<2>>,
    /// Norm of what the MLP adds (Gemma 2 and 3).
    pub(crate) ln2_post: Option<RmsNorm>,
}

impl GemmaConfig {
    /// A model with random weights: normal with deviation 0.02, projections into the residual
    /// stream divided by `√(2 n_layers)`, norms one.
    ///
    /// Draws from the generator that `device.seed` sets.
    pub fn init(&self, device: &Device) -> Gemma {
        let normal = |shape: [usize; 2], std: f64| {
            Param::from_tensor(Tensor::random(shape, Distribution::Normal(0.0, std), device))
        };
        let norm = |width: usize| RmsNorm::new(Param::from_tensor(Tensor::zeros([width], device)));
        let (d, d_qkv) = (self.d_model, (self.n_heads + 2 * self.n_key_value_heads) * self.d_head);
        let std_residual = 0.02 / (2.0 * self.layers.len() as f64).sqrt();
        let has_post_norms = self.generation != GemmaGeneration::One;
        let has_head_norms = self.generation == GemmaGeneration::Three;
        let blocks = (0..self.layers.len())
            .map(|_| GemmaBlock {
                ln1: norm(d),
                w_qkv: normal([d, d_qkv], 0.02),
                q_norm: has_head_norms.then(|| norm(self.d_head)),
                k_norm: has_head_norms.then(|| norm(self.d_head)),
                w_o: normal([self.n_heads * self.d_head, d], std_residual),
                ln1_post: has_post_norms.then(|| norm(d)),
                ln2: norm(d),
                w_gate_up: normal([d, 2 * self.d_mlp], 0.02),
                w_down: normal([self.d_mlp, d], std_residual),
                ln2_post: has_post_norms.then(|| norm(d)),
            })
            .collect();
        let table = || EmbeddingTable::Param(normal([self.d_vocab, d], 0.02));
        let (embed_tokens, lm_head) = (table(), (!self.tie_word_embeddings).then(table));
        Gemma::from_parts(self.clone(), embed_tokens, blocks, norm(d), lm_head)
    }
}

impl Gemma {
    /// Puts loaded parts together.
    pub(crate) fn from_parts(
        config: GemmaConfig,
        embed_tokens: EmbeddingTable,
        blocks: Vec<GemmaBlock>,
        norm: RmsNorm,
        lm_head: Option<EmbeddingTable>,
    ) -> Self {
        let shape = config.shape();
        Self { embed_tokens, blocks, norm, lm_head, config, shape }
    }

    /// The configuration.
    pub fn config(&self) -> &GemmaConfig {
        &self.config
    }

    /// The table whose rows are the directions of the logits.
    fn output_table(&self) -> &EmbeddingTable {
        self.lm_head.as_ref().unwrap_or(&self.embed_tokens)
    }

    /// Runs one block on the residual stream and returns what leaves it.
    fn block(
        &self,
        layer: usize,
        resid: Tensor<3>,
        rope: &RopeTable,
        pass: &mut ForwardPass<'_>,
    ) -> Result<Tensor<3>, ModelError> {
        let (block, epsilon) = (&self.blocks[layer], self.config.rms_norm_epsilon);
        let resid = pass.stream(HookPoint::ResidPre(layer), resid)?;

        let hooks = (HookPoint::Ln1Scale(layer), HookPoint::Ln1Normalized(layer));
        let normed = pass.norm(&block.ln1, epsilon, resid.clone(), hooks)?;
        let attn_out = self.attention(layer, normed, rope, pass)?;
        let hooks = (HookPoint::Ln1PostScale(layer), HookPoint::Ln1PostNormalized(layer));
        let attn_out = self.post_norm(block.ln1_post.as_ref(), attn_out, hooks, pass)?;
        let attn_out = pass.stream(HookPoint::AttnOut(layer), attn_out)?;
        let resid = pass.stream(HookPoint::ResidMid(layer), resid + attn_out)?;

        let hooks = (HookPoint::Ln2Scale(layer), HookPoint::Ln2Normalized(layer));
        let normed = pass.norm(&block.ln2, epsilon, resid.clone(), hooks)?;
        let mlp_out = self.mlp(layer, normed, pass)?;
        let hooks = (HookPoint::Ln2PostScale(layer), HookPoint::Ln2PostNormalized(layer));
        let mlp_out = self.post_norm(block.ln2_post.as_ref(), mlp_out, hooks, pass)?;
        let mlp_out = pass.stream(HookPoint::MlpOut(layer), mlp_out)?;
        pass.stream(HookPoint::ResidPost(layer), resid + mlp_out)
    }

    fn post_norm(
        &self,
        norm: Option<&RmsNorm>,
        x: Tensor<3>,
        hooks: (HookPoint, HookPoint),
        pass: &mut ForwardPass<'_>,
    ) -> Result<Tensor<3>, ModelError> {
        match norm {
            Some(norm) => pass.norm(norm, self.config.rms_norm_epsilon, x, hooks),
            None => Ok(x),
        }
    }

    /// Attention of one block, before the norm that follows it.
    fn attention(
        &self,
        layer: usize,
        x: Tensor<3>,
        rope: &RopeTable,
        pass: &mut ForwardPass<'_>,
    ) -> Result<Tensor<3>, ModelError> {
        let block = &self.blocks[layer];
        let [batch, pos, _] = x.dims();
        let ModelShape { n_heads, n_key_value_heads, d_head, .. } = self.shape;

        let qkv = linear(x, block.w_qkv.val(), None);
        let qkv = qkv.reshape([batch, pos, n_heads + 2 * n_key_value_heads, d_head]);
        let part = |from: usize, n: usize| qkv.clone().narrow(2, from, n);
        let q = pass.heads(HookPoint::Q(layer), part(0, n_heads))?;
        let k = pass.heads(HookPoint::K(layer), part(n_heads, n_key_value_heads))?;
        let v = part(n_heads + n_key_value_heads, n_key_value_heads);
        let v = pass.heads(HookPoint::V(layer), v)?;

        let epsilon = self.config.rms_norm_epsilon;
        let q = rope.rotate(rms_norm_heads(block.q_norm.as_ref(), q, epsilon));
        let k = rope.rotate(rms_norm_heads(block.k_norm.as_ref(), k, epsilon));
        let q = pass.heads(HookPoint::RotQ(layer), q)?;
        let k = pass.heads(HookPoint::RotK(layer), k)?;

        let heads = Heads { q: q.swap_dims(1, 2), k: k.swap_dims(1, 2), v: v.swap_dims(1, 2) };
        let scoring = self.scoring(layer);
        let projection = Projection { weight: block.w_o.val(), bias: None };
        pass.attention(layer, heads, scoring, projection)
    }

    /// How the scores of a layer come about.
    fn scoring(&self, layer: usize) -> Scoring {
        Scoring {
            scale: self.config.query_pre_attn_scalar.sqrt().recip(),
            softcap: self.config.attn_softcap,
            window: match self.config.layers[layer] {
                LayerKind::Full => None,
                LayerKind::Sliding => Some(self.config.sliding_window),
            },
        }
    }

    /// Rotary positions of a layer.
    fn rope(&self, layer: usize) -> Rope {
        match self.config.layers[layer] {
            LayerKind::Full => self.config.rope_full,
            LayerKind::Sliding => self.config.rope_sliding,
        }
    }

    /// The gated MLP of one block, before the norm that follows it.
    fn mlp(
        &self,
        layer: usize,
        x: Tensor<3>,
        pass: &mut ForwardPass<'_>,
    ) -> Result<Tensor<3>, ModelError> {
        let block = &self.blocks[layer];
        let d_mlp = self.shape.d_mlp;
        let gate_up = linear(x, block.w_gate_up.val(), None); // [batch, pos, 2 d_mlp]
        let (pre, pre_linear) = (HookPoint::MlpPre(layer), HookPoint::MlpPreLinear(layer));
        let hidden = if pass.wants(pre) || pass.wants(pre_linear) {
            let gate = pass.stream(pre, gate_up.clone().narrow(2, 0, d_mlp))?;
            let up = pass.stream(pre_linear, gate_up.narrow(2, d_mlp, d_mlp))?;
            self.config.activation.forward(gate) * up
        } else {
            self.config.activation.gated(gate_up)
        };
        let hidden = pass.stream(HookPoint::MlpPost(layer), hidden)?;
        Ok(linear(hidden, block.w_down.val(), None))
    }
}

impl HookedModel for Gemma {
    fn shape(&self) -> &ModelShape {
        &self.shape
    }

    fn has_hook(&self, hook: HookPoint) -> bool {
        match hook {
            HookPoint::PosEmbed => false,
            HookPoint::Ln1PostScale(_)
            | HookPoint::Ln1PostNormalized(_)
            | HookPoint::Ln2PostScale(_)
            | HookPoint::Ln2PostNormalized(_) => self.config.generation != GemmaGeneration::One,
            _ => true,
        }
    }

    fn execute(
        &self,
        batch: &TokenBatch,
        request: &ForwardRequest<'_>,
    ) -> Result<ModelOutput, ModelError> {
        let tracks_gradients = self.embed_tokens.tracks_gradients();
        let mut pass = ForwardPass::new(self, batch, request, tracks_gradients)?;
        let weight = self.norm.weight.val();
        let tables = [&self.config.rope_full, &self.config.rope_sliding]
            .map(|rope| RopeTable::new(rope, self.shape.d_head, batch, &weight.device()));

        let resid = if let Some((_, resid)) = &request.start {
            resid.clone().cast(weight.dtype())
        } else {
            let scale = rounded((self.shape.d_model as f64).sqrt(), weight.dtype());
            pass.stream(HookPoint::Embed, self.embed_tokens.lookup(batch) * scale)?
        };
        let block = |pass: &mut ForwardPass<'_>, layer: usize, resid| {
            let is_sliding = self.config.layers[layer] == LayerKind::Sliding;
            self.block(layer, resid, &tables[usize::from(is_sliding)], pass)
        };
        let final_norm = (&self.norm, self.config.rms_norm_epsilon);
        pass.run(self, resid, block, final_norm, |last| {
            let table = self.output_table().whole(&last.device());
            let logits = linear(last, table.transpose(), None);
            match self.config.logit_softcap {
                Some(cap) => logits.div_scalar(cap).tanh().mul_scalar(cap),
                None => logits,
            }
        })
    }

    fn value_bias(&self, _: usize) -> Option<Tensor<2>> {
        None
    }

    fn attention_weights(&self, layer: usize) -> Result<AttentionWeights, ModelError> {
        check_layer(layer, self.shape.n_layers)?;
        let (block, epsilon) = (&self.blocks[layer], self.config.rms_norm_epsilon);
        let scoring = self.scoring(layer);
        attention_weights(block, &self.shape, epsilon, (scoring, self.rope(layer)))
    }

    fn unembed_direction(&self, token: u32) -> Result<Tensor<1>, ModelError> {
        let gain = self.norm.gain();
        let row = self.output_table().row(token, &gain.device());
        Ok(row.cast(FloatDType::F32) * gain)
    }
}

/// What the attention of a block reads.
fn attention_weights(
    block: &GemmaBlock,
    shape: &ModelShape,
    epsilon: f64,
    (scoring, rope): (Scoring, Rope),
) -> Result<AttentionWeights, ModelError> {
    let ModelShape { n_heads, n_key_value_heads, d_head, d_model, .. } = *shape;
    let (d_q, d_k) = (n_heads * d_head, n_key_value_heads * d_head);
    let part = |from: usize, n: usize| host_values(block.w_qkv.val().narrow(1, from, n));
    let norm = |norm: &RmsNorm| {
        host_values(norm.gain()).map(|gain| NormWeights::root_mean_square(gain, epsilon))
    };
    Ok(AttentionWeights {
        n_heads,
        n_key_value_heads,
        d_head,
        d_model,
        norm: norm(&block.ln1)?,
        w_q: part(0, d_q)?,
        b_q: vec![0.0; d_q],
        w_k: part(d_q, d_k)?,
        b_k: vec![0.0; d_k],
        w_v: part(d_q + d_k, d_k)?,
        b_v: vec![0.0; d_k],
        w_o: host_values(block.w_o.val())?,
        b_o: vec![0.0; d_model],
        q_norm: block.q_norm.as_ref().map(norm).transpose()?,
        k_norm: block.k_norm.as_ref().map(norm).transpose()?,
        post_norm: block.ln1_post.as_ref().map(norm).transpose()?,
        rope: Some(rope),
        scale: scoring.scale,
        softcap: scoring.softcap,
        window: scoring.window,
    })
}

/// A factor as the number format of a model holds it.
fn rounded(factor: f64, dtype: DType) -> f64 {
    match dtype {
        DType::BF16 => half::bf16::from_f64(factor).to_f64(),
        DType::F16 => half::f16::from_f64(factor).to_f64(),
        _ => factor,
    }
}
