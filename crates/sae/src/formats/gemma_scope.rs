//! Gemma Scope: `params.npz`, its site in the names of the folders above it.

use std::path::Path;

use super::arrays::Arrays;
use super::files::layer_of;
use crate::config::{Reshape, SaeConfig};
use crate::{Sae, SaeActivation, SaeError};

/// File with the weights.
pub(super) const WEIGHTS: &str = "params.npz";

/// Reads the folder.
///
/// Model and hook are what the path says, as in
/// `gemma-scope-2b-pt-att/layer_5/width_16k/average_l0_61`; they stay unknown where it says nothing.
pub(super) fn read(folder: &Path) -> Result<Sae, SaeError> {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let names: Vec<String> =
        absolute.iter().map(|name| name.to_string_lossy().to_lowercase()).collect();
    if let Some(what) = other_kind(&names) {
        return Err(SaeError::NotAnAutoencoder { path: folder.to_owned(), what });
    }
    let mut arrays = Arrays::from_npz(&folder.join(WEIGHTS))?;
    let [d_in, d_sae] = arrays.matrix_shape("W_enc")?;
    let mut config = SaeConfig::new(d_in, d_sae);
    config.apply_b_dec_to_input = false;
    // Folders of the cache are named `models--google--gemma-scope-2b-pt-att`.
    let collection = names.iter().rev().find(|name| name.contains("gemma-scope"));
    let layer = names.iter().rev().find_map(|name| layer_of(name));
    if let (Some(collection), Some(layer)) = (collection, layer) {
        let hook = match collection.rsplit('-').next() {
            Some("res") => Some(format!("blocks.{layer}.hook_resid_post")),
            Some("mlp") => Some(format!("blocks.{layer}.hook_mlp_out")),
            Some("att") => Some(format!("blocks.{layer}.attn.hook_z")),
            _ => None,
        };
        if let Some(hook) = hook {
            if hook.ends_with("hook_z") {
                config.reshape_activations = Reshape::HookZ;
            }
            config.metadata.set("hook_name", hook);
        }
        if let Some(model) = model_of(collection) {
            config.metadata.set("model_name", model);
        }
    }
    config.metadata.set("prepend_bos", true);
    config.metadata.set("context_size", 1024);
    config.metadata.set("dataset_path", "monology/pile-uncopyrighted");
    Ok(Sae {
        config,
        activation: SaeActivation::JumpRelu {
            b_enc: arrays.take("b_enc", &[d_sae])?,
            threshold: arrays.take("threshold", &[d_sae])?,
        },
        encoder: arrays.take_transposed("W_enc", [d_in, d_sae])?,
        decoder: arrays.take("W_dec", &[d_sae, d_in])?,
        b_dec: arrays.take("b_dec", &[d_in])?,
    })
}

/// What a folder holds beside an autoencoder of a layer, by the names of the folders above it: the
/// arrays of all are alike.
fn other_kind(names: &[String]) -> Option<&'static str> {
    // Where the collection's own name is lost, the layer, the width, and the sparsity are left.
    let collection = names.iter().rposition(|name| name.contains("gemma-scope"));
    let names = &names[collection.unwrap_or(names.len().saturating_sub(4))..];
    if names.iter().any(|name| name.contains("transcoder")) {
        return Some("a transcoder");
    }
    names.iter().any(|name| name == "embedding").then_some("an autoencoder of embeddings")
}

/// The model of a collection such as `gemma-scope-9b-it-res`.
fn model_of(collection: &str) -> Option<String> {
    let size = ["2b", "9b", "27b"]
        .into_iter()
        .find(|size| collection.split('-').any(|part| part == *size))?;
    let tuned = if collection.split('-').any(|part| part == "it") { "-it" } else { "" };
    Some(format!("gemma-2-{size}{tuned}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_autoencoder_of_a_layer_is_told_by_its_folders() {
        let of = |path: &str| {
            let names: Vec<String> = path.split('/').map(str::to_owned).collect();
            other_kind(&names)
        };
        let transcoder = "models/gemma-scope-2b-pt-transcoders/layer_5/width_16k/average_l0_41";
        assert_eq!(of(transcoder), Some("a transcoder"));
        let embedding = "gemma-scope-2b-pt-res/embedding/width_4k/average_l0_6";
        assert_eq!(of(embedding), Some("an autoencoder of embeddings"));
        assert_eq!(of("transcoders/layer_5/width_16k/average_l0_41"), Some("a transcoder"));
        let other =
            "my-transcoders/embedding/gemma-scope-2b-pt-mlp/layer_5/width_16k/average_l0_41";
        assert_eq!(of(other), None);
        assert_eq!(of("a"), None);
    }

    #[test]
    fn models_are_found_in_the_names_of_collections() {
        let of = |name| model_of(name).unwrap_or_default();
        assert_eq!(of("gemma-scope-2b-pt-att"), "gemma-2-2b");
        assert_eq!(of("models--google--gemma-scope-9b-it-res"), "gemma-2-9b-it");
        assert_eq!(of("gemma-scope"), "");
    }
}
