//! What guided an autoencoder, as a file beside its weights.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use attention_probes_errors::json_words;
use attention_probes_report::{LayerWeights, SaeGuidance};
use attention_probes_sae::GuidanceRecord;

use crate::exit::InputError;

/// Name of the file.
pub(super) const GUIDANCE_FILE: &str = "guidance.json";

/// Weights of layers over the steps, where more than one guided.
pub(super) fn layer_weights(folder: &Path) -> Result<Option<LayerWeights>> {
    Ok(guidance_of(folder)?.as_ref().and_then(page_weights))
}

/// What guided the autoencoder of a folder.
pub(super) fn guidance_of(folder: &Path) -> Result<Option<GuidanceRecord>> {
    let path = folder.join(GUIDANCE_FILE);
    if !path.exists() {
        return Ok(None);
    }
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let record = serde_json::from_str(&text).map_err(|error| {
        InputError(format!("`{}` is no record of guidance: {}", path.display(), json_words(&error)))
    })?;
    Ok(Some(record))
}

/// How attention guided an autoencoder, for its page.
pub(super) fn page_of(record: &GuidanceRecord) -> Option<SaeGuidance> {
    let weights = page_weights(record)?;
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

fn page_weights(record: &GuidanceRecord) -> Option<LayerWeights> {
    (record.weights.len() > 1).then(|| LayerWeights {
        layers: record.layers.iter().map(|layer| format!("layer {layer}")).collect(),
        steps: record.history.steps.clone(),
        weights: record.history.weights.clone(),
    })
}
