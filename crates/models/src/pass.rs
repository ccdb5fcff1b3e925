//! One forward pass: what it keeps, what it changes, and which key a query may see.

use std::ops::Range;

use burn::tensor::module::{attention, linear};
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, Device, FloatDType, Tensor, activation};

use crate::cache::{Activation, ActivationCache};
use crate::host::is_host;
use crate::norm::{Norm, NormParts};
use crate::{ForwardRequest, HookPoint, HookedModel, ModelError, ModelOutput, TokenBatch};

/// Queries of one fused product on the host. Their results, scores of a tile of keys, and the keys
/// fit into a second-level cache; the rest of the keys streams by.
const CAUSAL_QUERIES: usize = 512;

/// State of one forward pass.
pub(crate) struct ForwardPass<'a> {
    batch: &'a TokenBatch,
    request: &'a ForwardRequest<'a>,
    pub(crate) cache: ActivationCache,
    /// `true` where padding that the causal mask does not hide, `[batch, pos]`.
    hidden: Option<Tensor<2, Bool>>,
    /// The blocks to run.
    blocks: Range<usize>,
    tracks_gradients: bool,
}

/// Queries, keys, and values of one block, `[batch, heads, pos, d_head]`.
pub(crate) struct Heads {
    pub(crate) q: Tensor<4>,
    /// As many heads as `q`, or a number that divides it.
    pub(crate) k: Tensor<4>,
    pub(crate) v: Tensor<4>,
}

/// What leads from the mixed values back into the residual stream.
pub(crate) struct Projection {
    /// `[n_heads d_head, d_model]`
    pub(crate) weight: Tensor<2>,
    /// `[d_model]`
    pub(crate) bias: Option<Tensor<1>>,
}

/// How scores come about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scoring {
    /// What products of queries and keys are multiplied by.
    pub(crate) scale: f64,
    /// `cap tanh(score / cap)`, after scaling and before masking.
    pub(crate) softcap: Option<f64>,
    /// How many keys a query sees at most, itself included.
    pub(crate) window: Option<usize>,
}

impl<'a> ForwardPass<'a> {
    /// Checks a request against a model and a batch, before anything runs.
    pub(crate) fn new(
        model: &dyn HookedModel,
        batch: &'a TokenBatch,
        request: &'a ForwardRequest<'a>,
        tracks_gradients: bool,
    ) -> Result<Self, ModelError> {
        let blocks = request.blocks(model, batch)?;
        let hidden = batch.has_left_padding().then(|| batch.mask_pad());
        let cache = ActivationCache::default();
        Ok(Self { batch, request, cache, hidden, blocks, tracks_gradients })
    }

    /// Whether somebody keeps or changes what lies at `hook`.
    pub(crate) fn wants(&self, hook: HookPoint) -> bool {
        self.request.hooks.contains(hook)
            || self.request.interventions.iter().any(|change| change.hook == hook)
    }

    /// Changes and keeps an activation without heads, as the request says; hands it on.
    pub(crate) fn stream(
        &mut self,
        hook: HookPoint,
        x: Tensor<3>,
    ) -> Result<Tensor<3>, ModelError> {
        if !self.wants(hook) {
            return Ok(x);
        }
        let x = self.change(hook, x.unsqueeze_dim::<4>(2))?.squeeze_dim::<3>(2);
        if self.request.hooks.contains(hook) {
            self.cache.insert(hook, Activation::Stream(x.clone()));
        }
        Ok(x)
    }

    /// The same for `[batch, pos, n_heads, width]`.
    pub(crate) fn heads(&mut self, hook: HookPoint, x: Tensor<4>) -> Result<Tensor<4>, ModelError> {
        if !self.wants(hook) {
            return Ok(x);
        }
        let x = self.change(hook, x)?;
        if self.request.hooks.contains(hook) {
            self.cache.insert(hook, Activation::Heads(x.clone()));
        }
        Ok(x)
    }

    /// The same for `[batch, n_heads, query_pos, key_pos]`.
    fn scores(&mut self, hook: HookPoint, x: Tensor<4>) -> Result<Tensor<4>, ModelError> {
        if !self.wants(hook) {
            return Ok(x);
        }
        let x = self.change(hook, x.swap_dims(1, 2))?.swap_dims(1, 2);
        if self.request.hooks.contains(hook) {
            self.cache.insert(hook, Activation::Heads(x.clone()));
        }
        Ok(x)
    }

    fn change(&self, hook: HookPoint, x: Tensor<4>) -> Result<Tensor<4>, ModelError> {
        let mut changes = self.request.interventions.iter().filter(|change| change.hook == hook);
        changes.try_fold(x, |x, change| change.apply(x, self.batch))
    }

    /// Runs some blocks on the residual stream, then whatever of the final norm and the output
    /// table is asked for.
    pub(crate) fn run<N: Norm>(
        mut self,
        model: &dyn HookedModel,
        mut resid: Tensor<3>,
        mut block: impl FnMut(&mut Self, usize, Tensor<3>) -> Result<Tensor<3>, ModelError>,
        final_norm: (&N, f64),
        unembed: impl FnOnce(Tensor<3>) -> Tensor<3>,
    ) -> Result<ModelOutput, ModelError> {
        let blocks = self.blocks.clone();
        for layer in blocks.clone() {
            resid = block(&mut self, layer, resid)?;
        }
        // A block that need not run may still be asked for the stream that enters it.
        if blocks.end < model.shape().n_layers {
            resid = self.stream(HookPoint::ResidPre(blocks.end), resid)?;
        }
        if !self.request.needs_final_norm() {
            return Ok(ModelOutput { logits: None, cache: self.cache });
        }
        let hooks = (HookPoint::LnFinalScale, HookPoint::LnFinalNormalized);
        let (norm, epsilon) = final_norm;
        let last = self.norm(norm, epsilon, resid, hooks)?;
        let logits = self.request.logits.then(|| unembed(last));
        Ok(ModelOutput { logits, cache: self.cache })
    }

    /// A norm; its parts only if somebody asks for them.
    pub(crate) fn norm<N: Norm>(
        &mut self,
        norm: &N,
        epsilon: f64,
        x: Tensor<3>,
        (scale, normalized): (HookPoint, HookPoint),
    ) -> Result<Tensor<3>, ModelError> {
        if !self.wants(scale) && !self.wants(normalized) {
            return Ok(norm.forward(x, epsilon));
        }
        let dtype = FloatDType::from(x.dtype());
        let NormParts { numerator, scale: divisor } = norm.parts(x, epsilon);
        let divisor = self.stream(scale, divisor)?;
        let quotient = self.stream(normalized, numerator / divisor)?;
        Ok(norm.scaled(quotient).cast(dtype))
    }

    /// What attention adds to the residual stream, `[batch, pos, d_model]`.
    ///
    /// ```text
    /// output = Σ over heads of z_h W_O,h + b_O
    /// ```
    pub(crate) fn attention(
        &mut self,
        layer: usize,
        heads: Heads,
        scoring: Scoring,
        Projection { weight, bias }: Projection,
    ) -> Result<Tensor<3>, ModelError> {
        let z = self.mix(layer, heads, scoring)?;
        let z = self.heads(HookPoint::Z(layer), z)?;
        let [batch, pos, n_heads, d_head] = z.dims();
        if !self.wants(HookPoint::Result(layer)) {
            return Ok(linear(z.reshape([batch, pos, n_heads * d_head]), weight, bias));
        }
        let [_, d_model] = weight.dims();
        let weight = weight.reshape([1, n_heads, d_head, d_model]);
        let result = z.swap_dims(1, 2).matmul(weight).swap_dims(1, 2);
        let result = self.heads(HookPoint::Result(layer), result)?;
        let attn_out = result.sum_dim(2).squeeze_dim::<3>(2);
        Ok(match bias {
            Some(bias) => attn_out + bias.unsqueeze::<3>(),
            None => attn_out,
        })
    }

    /// Mixes values by how well queries and keys agree: `[batch, pos, n_heads, d_head]`.
    ///
    /// Scores and pattern are made only if somebody asks for them or gradients are tracked; the
    /// fused product never holds all of them.
    fn mix(
        &mut self,
        layer: usize,
        heads: Heads,
        scoring: Scoring,
    ) -> Result<Tensor<4>, ModelError> {
        let [_, n_heads, pos, _] = heads.q.dims();
        let heads = Heads { k: repeat(heads.k, n_heads), v: repeat(heads.v, n_heads), ..heads };
        let explicit = self.tracks_gradients
            || self.wants(HookPoint::AttnScores(layer))
            || self.wants(HookPoint::Pattern(layer));
        let z = match scoring.window.filter(|window| *window < pos) {
            _ if explicit => self.explicit_attention(layer, heads, scoring)?,
            Some(window) => self.sliding_attention(&heads, scoring, window),
            None => self.causal_attention(&heads, scoring),
        };
        Ok(z.swap_dims(1, 2))
    }

    fn explicit_attention(
        &mut self,
        layer: usize,
        Heads { q, k, v }: Heads,
        scoring: Scoring,
    ) -> Result<Tensor<4>, ModelError> {
        let scores = (q * scoring.scale).matmul(k.swap_dims(2, 3)); // [batch, n_heads, query, key]
        let scores = match scoring.softcap {
            Some(cap) => scores.div_scalar(cap).tanh().mul_scalar(cap),
            None => scores,
        };
        let [batch, n_heads, pos, _] = scores.dims();
        let device = self.batch.input_ids().device().inner();
        let mask = unseen(pos, 0, pos, scoring.window, &device);
        let mut scores =
            scores.mask_fill(mask.expand([batch, n_heads, pos, pos]), f32::NEG_INFINITY);
        if let Some(hidden) = &self.hidden {
            let mask = hidden.clone().unsqueeze_dims::<4>(&[1, 1]);
            scores = scores.mask_fill(mask.expand([batch, n_heads, pos, pos]), f32::NEG_INFINITY);
        }
        let scores = self.scores(HookPoint::AttnScores(layer), scores)?;
        let dtype = FloatDType::from(scores.dtype());
        let pattern = activation::softmax(scores.cast(FloatDType::F32), 3);
        // Queries in left padding see no key at all: their rows become zero instead of NaN.
        let pattern = if self.hidden.is_some() {
            let empty = pattern.clone().is_nan();
            pattern.mask_fill(empty, 0.0)
        } else {
            pattern
        };
        let pattern = self.scores(HookPoint::Pattern(layer), pattern.cast(dtype))?;
        Ok(pattern.matmul(v))
    }

    /// Attention to all keys so far. On the host some queries at a time, which stay in the cache of
    /// the processor, and only to the keys that one of them sees.
    fn causal_attention(&self, heads: &Heads, scoring: Scoring) -> Tensor<4> {
        let [.., pos, _] = heads.q.dims();
        let block = if is_host(&heads.q.device()) { CAUSAL_QUERIES.min(pos) } else { pos };
        let parts = (0..pos).step_by(block).map(|start| {
            let queries = start..pos.min(start + block);
            self.fused_attention(heads, queries.clone(), 0..queries.end, scoring, None)
        });
        Tensor::cat(parts.collect(), 2)
    }

    /// Attention to the last `window` keys, one window of queries at a time: the memory it takes
    /// grows with `pos * window`, not with `pos * pos`.
    fn sliding_attention(&self, heads: &Heads, scoring: Scoring, window: usize) -> Tensor<4> {
        let [.., pos, _] = heads.q.dims();
        let device = heads.q.device();
        let parts = (0..pos).step_by(window).map(|start| {
            let queries = start..pos.min(start + window);
            let keys = (start + 1).saturating_sub(window)..queries.end;
            let mask = unseen(queries.len(), start - keys.start, keys.len(), Some(window), &device);
            self.fused_attention(heads, queries, keys, scoring, Some(mask))
        });
        Tensor::cat(parts.collect(), 2)
    }

    /// Attention of some queries to some keys, the last query at the place of the last key. Without
    /// a mask each query sees the keys up to its own place.
    fn fused_attention(
        &self,
        Heads { q, k, v }: &Heads,
        queries: Range<usize>,
        keys: Range<usize>,
        scoring: Scoring,
        mask: Option<Tensor<4, Bool>>,
    ) -> Tensor<4> {
        let [batch, n_heads, ..] = q.dims();
        let dims = [batch, n_heads, queries.len(), keys.len()];
        let options = AttentionModuleOptions {
            scale: Some(scoring.scale),
            softcap: scoring.softcap,
            is_causal: mask.is_none(),
        };
        let hidden = self.hidden.as_ref().map(|hidden| {
            let hidden = hidden.clone().narrow(1, keys.start, keys.len());
            hidden.unsqueeze_dims::<4>(&[1, 1]).expand(dims)
        });
        let mask = match (mask.map(|mask| mask.expand(dims)), hidden) {
            (Some(mask), Some(hidden)) => Some(mask.bool_or(hidden)),
            (mask, hidden) => mask.or(hidden),
        };
        let q = q.clone().narrow(2, queries.start, queries.len());
        let k = k.clone().narrow(2, keys.start, keys.len());
        let v = v.clone().narrow(2, keys.start, keys.len());
        attention(q, k, v, mask, None, options)
    }
}

/// Repeats each key or value head for the query heads that share it.
fn repeat(heads: Tensor<4>, n_heads: usize) -> Tensor<4> {
    let [batch, n_shared, pos, d_head] = heads.dims();
    if n_shared == n_heads {
        return heads;
    }
    let dims = [batch, n_shared, n_heads / n_shared, pos, d_head];
    heads.unsqueeze_dim::<5>(2).expand(dims).reshape([batch, n_heads, pos, d_head])
}

/// `true` where a query may not see a key, `[1, 1, n_queries, n_keys]`: keys after it, and keys
/// `window` or more before it. The first query is at the place of key `offset`.
fn unseen(
    n_queries: usize,
    offset: usize,
    n_keys: usize,
    window: Option<usize>,
    device: &Device,
) -> Tensor<4, Bool> {
    let shape = [n_queries, n_keys];
    let future = Tensor::<2, Bool>::tril_mask(shape, offset as i64, device);
    let mask = match window {
        Some(window) => {
            let past =
                Tensor::<2, Bool>::triu_mask(shape, offset as i64 - window as i64 + 1, device);
            future.bool_or(past)
        }
        None => future,
    };
    mask.unsqueeze::<4>()
}
