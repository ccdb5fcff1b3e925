//! What a forward pass is asked for.

use std::ops::Range;

use burn::tensor::Tensor;

use crate::{HookPoint, HookSet, HookedModel, Intervention, ModelError, TokenBatch};

/// No hooks at all.
static NO_HOOKS: HookSet = HookSet::empty();

/// What a forward pass keeps, changes, and returns.
#[derive(Clone, Debug)]
pub struct ForwardRequest<'a> {
    /// Activations to keep. Default none.
    pub hooks: &'a HookSet,
    /// Whether to return the scores of the next token. Default false.
    pub logits: bool,
    /// Changes to make on the way, in this order where several are at one hook. Default none.
    pub interventions: &'a [Intervention],
    /// A layer, and the residual stream `[batch, pos, d_model]` that enters it: what comes before
    /// is not run. The number of layers stands for the end. Default none, from the tokens on.
    pub start: Option<(usize, Tensor<3>)>,
}

impl Default for ForwardRequest<'_> {
    fn default() -> Self {
        Self { hooks: &NO_HOOKS, logits: false, interventions: &[], start: None }
    }
}

impl<'a> ForwardRequest<'a> {
    /// Asks for the scores of the next token and nothing else.
    pub fn logits() -> Self {
        Self { logits: true, ..Self::default() }
    }

    /// Asks for activations and nothing else.
    pub fn hooks(hooks: &'a HookSet) -> Self {
        Self { hooks, ..Self::default() }
    }

    /// Checks the request against a model and a batch; returns the blocks that must run.
    pub(crate) fn blocks(
        &self,
        model: &dyn HookedModel,
        batch: &TokenBatch,
    ) -> Result<Range<usize>, ModelError> {
        check_batch(model, batch)?;
        let shape = model.shape();
        let first = match &self.start {
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
        let changed = self.interventions.iter().map(|change| change.hook);
        for hook in self.hooks.iter().chain(changed) {
            if let Some(layer) = hook.layer().filter(|layer| *layer >= shape.n_layers) {
                let (hook, n_layers) = (hook.to_string(), shape.n_layers);
                return Err(ModelError::LayerOutOfRange { hook, layer, n_layers });
            }
            let is_before_start = match hook.layer() {
                Some(layer) => layer < first,
                None => {
                    self.start.is_some() && matches!(hook, HookPoint::Embed | HookPoint::PosEmbed)
                }
            };
            if !model.has_hook(hook) || is_before_start {
                return Err(ModelError::NoSuchHook { hook: hook.to_string() });
            }
        }
        let needed =
            if self.logits { shape.n_layers } else { self.hooks.blocks_needed(shape.n_layers)? };
        Ok(first..needed.max(first))
    }

    /// Whether anything behind the last block is asked for.
    pub(crate) fn needs_final_norm(&self) -> bool {
        let inside = [HookPoint::LnFinalScale, HookPoint::LnFinalNormalized];
        self.logits || inside.iter().any(|hook| self.hooks.contains(*hook))
    }
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
