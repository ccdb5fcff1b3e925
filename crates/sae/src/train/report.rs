//! What a step of training takes beside activations, and what it measures.

use serde::{Deserialize, Serialize};

use super::entries::Entry;

/// What a step measured, before it changed the weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// The sum of all losses.
    pub loss: f64,
    /// Mean over the rows of `‖x̂ - x‖²`.
    pub mse: f64,
    /// The loss that keeps the code sparse; 0 of the `TopK` kinds.
    pub sparsity: f64,
    /// The loss of dead features, or of the gates.
    pub auxiliary: f64,
    /// The losses of guidance; 0 without it.
    pub guidance: f64,
    /// Active features of a row on average.
    pub l0: f64,
    /// Share of the variance that is left: `Σ‖x̂ - x‖² / Σ‖x - mean‖²` over the batch.
    pub fvu: f64,
    /// Features that have not been active for [`crate::SaeTrainConfig::dead_feature_window`] steps.
    pub n_dead: usize,
    /// Norm of the gradient before it was scaled down.
    pub gradient_norm: f64,
}

/// Adds derivatives by pre-activations to the entries of a batch, given the norms of the decoder's
/// rows and the variance of a row; returns the loss that they are of.
pub(super) type Guide<'a> = &'a mut dyn FnMut(&mut [Vec<Entry>], &[f32], f64) -> f64;

/// What a step takes beside the activations.
#[derive(Default)]
pub(crate) struct Aids<'a> {
    /// What adds to the loss of kinds that can be guided.
    pub(crate) guide: Option<Guide<'a>>,
    /// What the encoder reads beside each row, `[n, d_enc - d_in]`.
    pub(crate) context: &'a [f32],
}
