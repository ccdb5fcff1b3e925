//! The attention that guides a run: extracted once, kept in a file.

use std::path::Path;

use attention_probes_activations::Watch;
use attention_probes_errors::FileError;
use attention_probes_models::LanguageModel;

use super::config::RunAttention;
use super::options::SaeRunOptions;
use super::plan::SaeRunPlan;
use crate::follow::SaeEvent;
use crate::guided::AttentionLayers;
use crate::train::{Contexts, ModelContexts};
use crate::{RunError, SaeError};

/// Number of contexts that are held out for the weights of layers.
pub(super) fn n_held_out(plan: &SaeRunPlan, contexts: &Contexts) -> Result<usize, SaeError> {
    let config = plan.config();
    let n = if plan.layers().is_empty() { 0 } else { config.attention.held_out_contexts };
    let n_test = config.data.test_contexts;
    if n > 0 && config.attention.keep.first_token && contexts.has_bos() {
        return Err(RunError::FirstToken.into());
    }
    if n.saturating_add(n_test) >= contexts.len() {
        let n_contexts = contexts.len();
        return Err(RunError::NoTrainingContext { n_test, n_held_out: n, n_contexts }.into());
    }
    Ok(n)
}

/// Attention of a run's layers: what was extracted before, or extracted now.
pub(super) fn attention(
    plan: &SaeRunPlan,
    model: &LanguageModel,
    options: &SaeRunOptions<'_>,
    contexts: &Contexts,
    path: &Path,
) -> Result<AttentionLayers, SaeError> {
    let (config, layers) = (plan.config(), plan.layers());
    let RunAttention { keep, pool, .. } = config.attention;
    let settings = serde_json::to_string(&(keep, pool, layers))
        .map_err(|error| FileError::write(path)(error.into()))?;
    let digest = format!("{settings} {} {}", model.fingerprint(), hash_ids(contexts));
    if path.exists() {
        return AttentionLayers::open(path, &digest, layers, contexts);
    }
    let read = ModelContexts {
        model: &*model.model,
        device: options.device,
        contexts,
        contexts_per_forward: config.train.contexts_per_forward,
    };
    let total = contexts.len();
    let progress = |done, _| options.follow.tell(SaeEvent::Attention { done, total });
    let watch = Watch { progress: Some(&progress), stop: options.follow.stop.clone() };
    let extracted = AttentionLayers::extract(read, layers, (keep, pool), watch)?;
    let size_bytes = extracted.size_bytes();
    options.follow.tell(SaeEvent::AttentionKept { layers, size_bytes });
    extracted.save(path, &digest)?;
    // What was written is mapped, and what is in memory can go.
    AttentionLayers::open(path, &digest, layers, contexts)
}

/// A hash of the token ids of all contexts.
pub(crate) fn hash_ids(contexts: &Contexts) -> String {
    let mut hasher = blake3::Hasher::new();
    for id in (0..contexts.len()).flat_map(|i| contexts.ids(i)) {
        hasher.update(&id.to_le_bytes());
    }
    hasher.finalize().to_hex().to_string()
}
