//! How attention guided an autoencoder, for pages.

use attention_probes_report::{LayerWeights, SaeGuidance};
use attention_probes_sae::GuidanceRecord;

/// How attention guided an autoencoder; `None` where a single layer did.
pub(crate) fn guidance(record: &GuidanceRecord) -> Option<SaeGuidance> {
    let weights = layer_weights(record)?;
    // Where a layer's attention joins like with like, its part of the guidance is what it weighs.
    let parts: Vec<f64> =
        record.weights.iter().zip(&record.losses.cosines).map(|(w, cosine)| w * cosine).collect();
    let sum: f64 = parts.iter().sum();
    let contributions =
        if sum > 0.0 { parts.iter().map(|part| part / sum).collect() } else { Vec::new() };
    Some(SaeGuidance {
        weights,
        contributions,
        contribution_note: "Weight of the layer times the mean cosine of the features of a token \
                            and of those that it attends to in the layer, as a share of the sum."
            .to_owned(),
    })
}

/// Weights of layers over the steps, where more than one guided.
pub(crate) fn layer_weights(record: &GuidanceRecord) -> Option<LayerWeights> {
    (record.weights.len() > 1).then(|| LayerWeights {
        layers: record.layers.iter().map(|layer| format!("layer {layer}")).collect(),
        steps: record.history.steps.clone(),
        weights: record.history.weights.clone(),
    })
}
