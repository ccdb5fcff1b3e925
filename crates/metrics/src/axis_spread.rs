//! What the axes of a grid of settings are worth.

use serde::{Deserialize, Serialize};

/// How much results change along one axis while the others stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AxisSpread {
    /// `learning_rate`, `weight_decay`, or `seed`.
    pub axis: String,
    /// Number of values tried.
    pub n_values: usize,
    /// Best minus worst validation loss along the axis, the largest over all other settings.
    pub loss: f64,
    /// The same for balanced accuracy.
    pub balanced_accuracy: f64,
}
