//! What a forward pass is asked for.

use attention_probes_errors::Stop;
use burn::tensor::Tensor;

use super::{HookSet, Intervention};

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
    /// Asked before each block; given, the pass ends with
    /// [`ModelError::Stopped`](crate::ModelError::Stopped). Default never.
    pub stop: Stop,
}

impl Default for ForwardRequest<'_> {
    fn default() -> Self {
        Self {
            hooks: &NO_HOOKS,
            logits: false,
            interventions: &[],
            start: None,
            stop: Stop::never(),
        }
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
}
