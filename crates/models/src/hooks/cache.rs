//! What a run kept, by hook.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use crate::HookPoint;

/// One captured activation.
#[derive(Clone, Debug)]
pub enum Activation {
    /// `[batch, pos, width]`.
    Stream(Tensor<3>),
    /// Per head: `[batch, pos, n_heads, width]` or `[batch, n_heads, query_pos, key_pos]`.
    Heads(Tensor<4>),
}

impl Activation {
    /// Lays heads side by side; an activation without heads stays as it is.
    ///
    /// # Shapes
    ///
    /// Returns `[batch, pos, features]`. Scores and patterns become
    /// `[batch, n_heads, query_pos * key_pos]`, which is rarely what one wants.
    pub fn flatten_heads(self) -> Tensor<3> {
        match self {
            Self::Stream(tensor) => tensor,
            Self::Heads(tensor) => tensor.flatten(2, 3),
        }
    }

    /// The tensor as `[batch, pos, n_heads, width]`, as activations are changed: those without
    /// heads have one, and scores and patterns are `[batch, query_pos, n_heads, key_pos]`.
    pub(crate) fn into_tokens_first(self, hook: HookPoint) -> Tensor<4> {
        match (self, hook) {
            (Self::Stream(x), _) => x.unsqueeze_dim::<4>(2),
            (Self::Heads(x), HookPoint::AttnScores(_) | HookPoint::Pattern(_)) => x.swap_dims(1, 2),
            (Self::Heads(x), _) => x,
        }
    }

    /// Shape of the tensor.
    pub fn dims(&self) -> Vec<usize> {
        match self {
            Self::Stream(tensor) => tensor.dims().to_vec(),
            Self::Heads(tensor) => tensor.dims().to_vec(),
        }
    }
}

/// Activations of one batch, by hook.
///
/// # Memory
///
/// Only what was asked for, in the model's compute dtype.
#[derive(Clone, Debug, Default)]
pub struct ActivationCache {
    activations: BTreeMap<HookPoint, Activation>,
}

impl ActivationCache {
    /// The activation at `hook`, if it was asked for.
    pub fn get(&self, hook: HookPoint) -> Option<&Activation> {
        self.activations.get(&hook)
    }

    /// Takes the activation at `hook` out of the cache.
    pub fn remove(&mut self, hook: HookPoint) -> Option<Activation> {
        self.activations.remove(&hook)
    }

    /// A `[batch, pos, width]` activation; `None` if it was not asked for or is per head.
    pub fn stream(&self, hook: HookPoint) -> Option<Tensor<3>> {
        match self.get(hook) {
            Some(Activation::Stream(tensor)) => Some(tensor.clone()),
            _ => None,
        }
    }

    /// A per-head activation, shaped as in [`Activation::Heads`]; `None` if it was not asked for or
    /// has no head axis.
    pub fn heads(&self, hook: HookPoint) -> Option<Tensor<4>> {
        match self.get(hook) {
            Some(Activation::Heads(tensor)) => Some(tensor.clone()),
            _ => None,
        }
    }

    /// The hooks that were kept.
    pub fn hooks(&self) -> impl Iterator<Item = HookPoint> + '_ {
        self.activations.keys().copied()
    }

    /// Keeps an activation, raw, in place of one that is there: what models do with what they are
    /// asked for.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::models::{Activation, ActivationCache, HookPoint};
    /// use burn::tensor::{Device, Tensor};
    ///
    /// let mut cache = ActivationCache::default();
    /// let stream = Tensor::<3>::zeros([1, 2, 4], &Device::default());
    /// cache.insert(HookPoint::ResidPost(0), Activation::Stream(stream));
    /// assert!(cache.stream(HookPoint::ResidPost(0)).is_some());
    /// ```
    pub fn insert(&mut self, hook: HookPoint, activation: Activation) {
        self.activations.insert(hook, activation);
    }
}
