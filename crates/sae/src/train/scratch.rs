//! Memory that a trainer keeps from step to step, so that none is asked for anew.

use super::entries::{ByFeature, Rows};

/// Memory that is kept from step to step.
#[derive(Clone, Debug, Default)]
pub(super) struct Scratch {
    /// What is encoded, `[n, d_enc]`.
    pub(super) input: Vec<f32>,
    /// `2 (x̂ - x) / n`, `[n, d_in]`.
    pub(super) residual: Vec<f32>,
    pub(super) sparse: SparseBatch,
    pub(super) dense: DenseBlock,
    /// How many rows each feature is active in.
    pub(super) n_fired: Vec<u32>,
}

/// Memory of the dense way, each `[n, d_sae]` unless said.
#[derive(Clone, Debug, Default)]
pub(super) struct DenseBlock {
    /// `(x - b_dec) W_enc`, later the gradient of that.
    pub(super) pre: Vec<f32>,
    /// What the decoder multiplies.
    pub(super) features: Vec<f32>,
    /// Gradients of what the decoder multiplies.
    pub(super) gradients: Vec<f32>,
    /// Gates, rectified, and their gradients.
    pub(super) gates: Vec<f32>,
    pub(super) gate_gradients: Vec<f32>,
    /// What the gates alone leave, `[n, d_in]`.
    pub(super) gate_residual: Vec<f32>,
}

/// Memory of the sparse way.
#[derive(Clone, Debug, Default)]
pub(super) struct SparseBatch {
    /// Pre-activations of a block of rows.
    pub(super) pre: Vec<f32>,
    /// Active features.
    pub(super) rows: Rows,
    /// Dead features that learn from what is left.
    pub(super) dead_rows: Rows,
    /// What the dead features leave of it.
    pub(super) dead_residual: Vec<f32>,
    pub(super) by_feature: ByFeature,
    /// From which value on the last batch had candidates; only how long a search takes depends on it.
    pub(super) least: Option<f32>,
}
