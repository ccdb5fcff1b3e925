//! One forward pass: what it keeps, and what it changes.

use std::ops::Range;

use burn::tensor::module::linear;
use burn::tensor::{FloatDType, Tensor};

use crate::hooks::cache::{Activation, ActivationCache};
use crate::layers::attention::{Heads, Scoring, pad, pattern_from_scores};
use crate::layers::norm::{Norm, NormParts};
use crate::{ForwardRequest, HookPoint, HookedModel, ModelError, ModelOutput, TokenBatch};

/// State of one forward pass.
pub(crate) struct ForwardPass<'a> {
    batch: &'a TokenBatch,
    request: &'a ForwardRequest<'a>,
    pub(crate) cache: ActivationCache,
    /// The blocks to run.
    blocks: Range<usize>,
    tracks_gradients: bool,
}

/// What leads from the mixed values back into the residual stream.
pub(crate) struct Projection {
    /// `[n_heads d_head, d_model]`
    pub(crate) weight: Tensor<2>,
    /// `[d_model]`
    pub(crate) bias: Option<Tensor<1>>,
}

impl<'a> ForwardPass<'a> {
    /// Checks a request against a model and a batch, before anything runs.
    pub(crate) fn new(
        model: &dyn HookedModel,
        batch: &'a TokenBatch,
        request: &'a ForwardRequest<'a>,
        tracks_gradients: bool,
    ) -> Result<Self, ModelError> {
        let blocks = blocks_to_run(request, model, batch)?;
        let cache = ActivationCache::default();
        Ok(Self { batch, request, cache, blocks, tracks_gradients })
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
            self.request.stop.check()?;
            resid = block(&mut self, layer, resid)?;
        }
        // A block that need not run may still be asked for the stream that enters it.
        if blocks.end < model.shape().n_layers {
            resid = self.stream(HookPoint::ResidPre(blocks.end), resid)?;
        }
        if !needs_final_norm(self.request) {
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
        let [.., pos, _] = heads.q.dims();
        let padded = self.batch.attention_pos().max(pos);
        let heads = heads.repeated().padded(padded);
        let explicit = self.tracks_gradients
            || self.wants(HookPoint::AttnScores(layer))
            || self.wants(HookPoint::Pattern(layer));
        let z = if explicit {
            let scores = heads.scores(scoring, self.batch);
            let scores = scores.narrow(2, 0, pos).narrow(3, 0, pos);
            let scores = self.scores(HookPoint::AttnScores(layer), scores)?;
            let pattern = self.scores(HookPoint::Pattern(layer), pattern_from_scores(scores))?;
            pad(pad(pattern, 2, padded), 3, padded).matmul(heads.v)
        } else {
            heads.attend(scoring, self.batch)
        };
        Ok(z.narrow(2, 0, pos).swap_dims(1, 2))
    }
}

/// Checks a request against a model and a batch; returns the blocks that must run.
fn blocks_to_run(
    request: &ForwardRequest<'_>,
    model: &dyn HookedModel,
    batch: &TokenBatch,
) -> Result<Range<usize>, ModelError> {
    check_batch(model, batch)?;
    let shape = model.shape();
    let first = match &request.start {
        Some((layer, resid)) => {
            let [n_texts, pos] = batch.dims();
            let (found, expected) = (resid.dims(), [n_texts, pos, shape.d_model]);
            if *layer > shape.n_layers || found != expected {
                let (found, expected) = (found.to_vec(), expected.to_vec());
                let layer = *layer;
                return Err(ModelError::Start { layer, found, expected });
            }
            *layer
        }
        None => 0,
    };
    let changed = request.interventions.iter().map(|change| change.hook);
    for hook in request.hooks.iter().chain(changed) {
        if let Some(layer) = hook.layer().filter(|layer| *layer >= shape.n_layers) {
            let (hook, n_layers) = (hook.to_string(), shape.n_layers);
            return Err(ModelError::LayerOutOfRange { hook, layer, n_layers });
        }
        let is_before_start = match hook.layer() {
            Some(layer) => layer < first,
            None => {
                request.start.is_some() && matches!(hook, HookPoint::Embed | HookPoint::PosEmbed)
            }
        };
        if !model.has_hook(hook) || is_before_start {
            return Err(ModelError::NoSuchHook { hook: hook.to_string() });
        }
    }
    let needed = if request.logits {
        shape.n_layers
    } else {
        request.hooks.blocks_needed(shape.n_layers)?
    };
    Ok(first..needed.max(first))
}

/// Whether anything behind the last block is asked for.
fn needs_final_norm(request: &ForwardRequest<'_>) -> bool {
    let inside = [HookPoint::LnFinalScale, HookPoint::LnFinalNormalized];
    request.logits || inside.iter().any(|hook| request.hooks.contains(*hook))
}

fn check_batch(model: &dyn HookedModel, batch: &TokenBatch) -> Result<(), ModelError> {
    let shape = model.shape();
    let found = batch.positions().iter().max().map_or(0, |last| last + 1);
    if found > shape.n_ctx {
        return Err(ModelError::ContextLength { found, n_ctx: shape.n_ctx });
    }
    if batch.max_id() as usize >= shape.d_vocab {
        let (id, d_vocab) = (batch.max_id(), shape.d_vocab);
        return Err(ModelError::TokenOutOfRange { id, d_vocab });
    }
    Ok(())
}
