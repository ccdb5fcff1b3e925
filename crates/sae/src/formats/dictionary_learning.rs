//! The folders of `dictionary_learning`: `ae.pt` and `config.json`.

use std::path::Path;

use serde::Deserialize;

use super::files::read_json;
use super::pickle;
use crate::config::SaeConfig;
use crate::{Sae, SaeActivation, SaeError};

/// File with the weights.
pub(super) const WEIGHTS: &str = "ae.pt";

#[derive(Deserialize)]
struct Config {
    trainer: Trainer,
    #[serde(default)]
    buffer: Buffer,
}

#[derive(Deserialize)]
struct Trainer {
    dict_class: String,
    activation_dim: usize,
    dict_size: usize,
    #[serde(default)]
    k: Option<usize>,
    #[serde(default)]
    layer: Option<usize>,
    #[serde(default)]
    lm_name: Option<String>,
    #[serde(default)]
    submodule_name: Option<String>,
}

#[derive(Default, Deserialize)]
struct Buffer {
    #[serde(default)]
    ctx_len: Option<usize>,
}

/// Reads the folder.
pub(super) fn read(folder: &Path) -> Result<Sae, SaeError> {
    let path = folder.join("config.json");
    let Config { trainer, buffer } = read_json(&path)?;
    let mut arrays = pickle::read(&folder.join(WEIGHTS))?;
    let (d_in, d_sae) = (trainer.activation_dim, trainer.dict_size);
    let mut config = SaeConfig::new(d_in, d_sae);
    config.dtype = arrays.dtype();
    config.mixed_dtypes = arrays.mixed_dtypes();
    let class = trainer.dict_class.as_str();
    // These two encode the activations as they are.
    config.apply_b_dec_to_input = !matches!(class, "JumpReluAutoEncoder" | "AutoEncoderNew");
    if let (Some(layer), None) = (trainer.layer, &trainer.submodule_name) {
        config.metadata.set("hook_name", format!("blocks.{layer}.hook_resid_post"));
    }
    if let Some(name) = trainer.lm_name.as_ref().and_then(|name| name.rsplit('/').next()) {
        config.metadata.set("model_name", name);
    }
    config.metadata.set("context_size", buffer.ctx_len.map_or(serde_json::Value::Null, Into::into));
    config.metadata.set("prepend_bos", true);
    // Autoencoders with `W_enc` keep both matrices as rows of the input, the others as torch's
    // linear layers do.
    let (encoder, decoder) = if arrays.has("W_enc") {
        (arrays.take_transposed("W_enc", [d_in, d_sae])?, arrays.take("W_dec", &[d_sae, d_in])?)
    } else {
        (
            arrays.take("encoder.weight", &[d_sae, d_in])?,
            arrays.take_transposed("decoder.weight", [d_in, d_sae])?,
        )
    };
    let b_dec = match ["b_dec", "bias", "decoder_bias", "decoder.bias"]
        .into_iter()
        .find(|name| arrays.has(name))
    {
        Some(name) => arrays.take(name, &[d_in])?,
        None => arrays.take("b_dec", &[d_in])?,
    };
    let b_enc = if arrays.has("b_enc") { "b_enc" } else { "encoder.bias" };
    let activation = match class {
        "AutoEncoder" | "AutoEncoderNew" => {
            SaeActivation::Standard { b_enc: arrays.take(b_enc, &[d_sae])? }
        }
        "AutoEncoderTopK" => {
            let b_enc = arrays.take(b_enc, &[d_sae])?;
            let of_file = arrays.take_number("k").map(|k| k as usize);
            let missing = || SaeError::Config {
                path: path.clone(),
                key: "trainer.k",
                found: "missing".to_owned(),
                expected: "the number of active features",
            };
            let k = trainer.k.or(of_file).ok_or_else(missing)?;
            SaeActivation::TopK { b_enc, k, rescale_acts_by_decoder_norm: false }
        }
        "BatchTopKSAE" | "MatryoshkaBatchTopKSAE" | "JumpReluAutoEncoder" => {
            let b_enc = arrays.take(b_enc, &[d_sae])?;
            let threshold = match arrays.shape("threshold") {
                // One for all features.
                Some([] | [1]) => vec![arrays.take_number("threshold").unwrap_or(0.0); d_sae],
                _ => arrays.take("threshold", &[d_sae])?,
            };
            SaeActivation::JumpRelu { b_enc, threshold }
        }
        "GatedAutoEncoder" => SaeActivation::Gated {
            b_gate: arrays.take("gate_bias", &[d_sae])?,
            r_mag: arrays.take("r_mag", &[d_sae])?,
            b_mag: arrays.take("mag_bias", &[d_sae])?,
        },
        _ => return Err(SaeError::UnknownArchitecture { path, found: trainer.dict_class }),
    };
    Ok(Sae { config, activation, encoder, decoder, b_dec })
}
