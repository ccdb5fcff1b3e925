//! What is captured at a hook, and how its values lie.

use attention_probes_models::{
    Convention, HookPoint, HookSet, HookedModel, ModelError, TokenBatch,
};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::ActivationError;

/// A hook, and which numbers are captured at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptureHook {
    /// Where.
    pub hook: HookPoint,
    /// Which numbers. Scores and patterns are raw, whatever this says.
    pub convention: Convention,
}

impl From<HookPoint> for CaptureHook {
    /// Hugging Face's numbers.
    fn from(hook: HookPoint) -> Self {
        Self { hook, convention: Convention::Raw }
    }
}

/// How the values of a hook lie in the tensor of a part file, rows one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HookLayout {
    /// `[n_tokens, …]`.
    Tokens,
    /// Flat; a row of `n` tokens has `[n_heads, n, n]` values, of queries and keys.
    Pairs,
}

impl HookLayout {
    /// Pairs of positions for scores and patterns, tokens for every other hook.
    pub fn of(hook: HookPoint) -> Self {
        match hook {
            HookPoint::AttnScores(_) | HookPoint::Pattern(_) => Self::Pairs,
            _ => Self::Tokens,
        }
    }
}

/// A hook and the axes of its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookShape {
    /// The hook.
    pub hook: HookPoint,
    /// Whether it relates two positions.
    pub layout: HookLayout,
    /// Axes after batch and positions; `[n_heads]` for what relates two positions.
    pub shape: Vec<usize>,
}

/// Axes of some hooks, from one token through the model.
///
/// # Errors
///
/// [`ActivationError::Model`] if the model has no such hook, or its device fails.
pub fn hook_shapes(
    model: &dyn HookedModel,
    hooks: &HookSet,
    device: &Device,
) -> Result<Vec<HookShape>, ActivationError> {
    let batch = TokenBatch::from_mask(&[0], &[true], 1, device)?;
    let cache = model.run_with_cache(&batch, hooks)?;
    let shape_of = |hook: HookPoint| {
        let not_returned = || ModelError::NotReturned { output: hook.to_string() };
        let dims = cache.get(hook).ok_or_else(not_returned)?.dims();
        let layout = HookLayout::of(hook);
        let shape = match layout {
            HookLayout::Pairs => vec![dims[1]],
            HookLayout::Tokens => dims[2..].to_vec(),
        };
        Ok(HookShape { hook, layout, shape })
    };
    hooks.iter().map(shape_of).collect()
}
