//! A layer against another, on the same examples.

use serde::{Deserialize, Serialize};

use crate::Comparison;

/// The layer that validation chose against another, for one kind of probe: the chosen trial of each on
/// the same test examples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComparedLayers {
    /// Name of the data set.
    pub data: String,
    /// The place in the layer; may be empty.
    pub component: String,
    /// Name of the architecture.
    pub config_name: String,
    /// The layer that validation chose.
    pub layer: usize,
    /// The layer that it is compared with.
    pub other: usize,
    /// Whether validation chose the probe at this layer among all probes of the data set.
    pub is_chosen: bool,
    /// Balanced accuracies of both, the difference, and its paired interval.
    #[serde(flatten)]
    pub comparison: Comparison,
}
