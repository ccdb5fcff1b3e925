//! How the weights of layers changed while an autoencoder was trained.

use serde::{Deserialize, Serialize};

use crate::ReportError;
use crate::error::check_length;
use crate::thinned::serialize_thinned;

/// Weights of layers over the steps of a training; a page holds no more steps than a chart can
/// show.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LayerWeights {
    /// Names of the layers, such as `L-1` or `layer 4`.
    pub layers: Vec<String>,
    /// The steps at which the weights were written down, ascending.
    #[serde(serialize_with = "serialize_thinned")]
    pub steps: Vec<u64>,
    /// Weight of each layer at each of them, `[n_steps, n_layers]`.
    #[serde(serialize_with = "serialize_thinned")]
    pub weights: Vec<Vec<f64>>,
}

impl LayerWeights {
    pub(crate) fn check(&self, at: impl Fn() -> String) -> Result<(), ReportError> {
        check_length(&at, "weights", self.weights.len(), self.steps.len())?;
        for row in &self.weights {
            check_length(&at, "weights", row.len(), self.layers.len())?;
        }
        Ok(())
    }
}
