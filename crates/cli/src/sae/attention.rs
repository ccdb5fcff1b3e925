//! The attention that guides a run: extracted once, kept in a file.

use std::path::Path;

use anyhow::Result;
use attention_probes_models::LanguageModel;
use attention_probes_sae::{AttentionLayers, Contexts, RunAttention, SaeRunConfig};
use burn::tensor::Device;
use tracing::info;

use crate::exit::InputError;
use crate::progress::Progress;

/// Number of contexts that are held out for the weights of layers.
pub(super) fn held_out(
    config: &SaeRunConfig,
    layers: &[usize],
    contexts: &Contexts,
) -> Result<usize> {
    let n = if layers.is_empty() { 0 } else { config.attention.held_out_contexts };
    let n_test = config.data.test_contexts;
    if n > 0 && config.attention.keep.first_token && contexts.has_bos() {
        let error = "`attention.keep.first_token` is true, but contexts begin with a token that has no \
                     features; set it to false, or `data.prepend_bos` to false";
        return Err(InputError(error.to_owned()).into());
    }
    if n + n_test >= contexts.len() {
        let error = format!(
            "{n_test} test contexts and {n} held-out ones leave nothing to train on, the texts fill \
             {}; lower `data.test_contexts` or `attention.held_out_contexts`",
            contexts.len()
        );
        return Err(InputError(error).into());
    }
    Ok(n)
}

/// Attention of some layers: what was extracted before, or extracted now.
pub(super) fn attention(
    config: &SaeRunConfig,
    model: &LanguageModel,
    device: &Device,
    (contexts, layers): (&Contexts, &[usize]),
    path: &Path,
) -> Result<AttentionLayers> {
    let RunAttention { keep, pool, .. } = config.attention;
    let settings = serde_json::to_string(&(keep, pool, layers))?;
    let digest = format!("{settings} {} {}", model.fingerprint(), hash_ids(contexts));
    if path.exists() {
        return Ok(AttentionLayers::open(path, &digest, layers, contexts)?);
    }
    let settings = (keep, pool, config.train.contexts_per_forward);
    let mut progress = Progress::default();
    let model = &*model.model;
    let extracted = AttentionLayers::extract(model, device, contexts, layers, settings, |n| {
        progress.advance("attention".to_owned(), n, contexts.len());
    });
    progress.clear();
    let extracted = extracted?;
    let mib = extracted.size_bytes() as f64 / f64::from(1 << 20);
    info!("attention of layers {layers:?} kept in {mib:.1} MiB");
    extracted.save(path, &digest)?;
    // What was written is mapped, and what is in memory can go.
    Ok(AttentionLayers::open(path, &digest, layers, contexts)?)
}

/// A hash of the token ids of all contexts.
pub(super) fn hash_ids(contexts: &Contexts) -> String {
    let mut hasher = blake3::Hasher::new();
    for id in (0..contexts.len()).flat_map(|i| contexts.ids(i)) {
        hasher.update(&id.to_le_bytes());
    }
    hasher.finalize().to_hex().to_string()
}
