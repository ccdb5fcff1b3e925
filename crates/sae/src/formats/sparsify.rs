//! The folders of `EleutherAI`'s `sparsify`: `cfg.json` and `sae.safetensors`.

use std::path::Path;

use serde::Deserialize;

use super::arrays::Arrays;
use super::files::{layer_of, read_json};
use crate::config::SaeConfig;
use crate::{Sae, SaeActivation, SaeError};

/// File with everything but the weights.
pub(super) const CONFIG: &str = "cfg.json";
/// File with the weights.
pub(super) const WEIGHTS: &str = "sae.safetensors";

#[derive(Deserialize)]
struct Config {
    d_in: usize,
    k: usize,
    #[serde(default)]
    num_latents: usize,
    #[serde(default)]
    expansion_factor: usize,
    #[serde(default)]
    signed: bool,
    #[serde(default)]
    activation: Option<String>,
    #[serde(default)]
    transcode: bool,
    #[serde(default)]
    skip_connection: bool,
}

/// Reads the folder; the hook is that of its name, as in `layers.5`.
pub(super) fn read(folder: &Path) -> Result<Sae, SaeError> {
    let path = folder.join(CONFIG);
    let config: Config = read_json(&path)?;
    let error = |key, found: String, expected| SaeError::Config {
        path: path.clone(),
        key,
        found,
        expected,
    };
    if config.signed {
        return Err(error("signed", "true".to_owned(), "features that are not negative"));
    }
    if config.transcode {
        return Err(error("transcode", "true".to_owned(), "an autoencoder"));
    }
    if config.skip_connection {
        return Err(error("skip_connection", "true".to_owned(), "none"));
    }
    if let Some(activation) = config.activation.filter(|name| name != "topk") {
        return Err(SaeError::UnknownArchitecture { path, found: activation });
    }
    let mut arrays = Arrays::from_safetensors(&folder.join(WEIGHTS))?;
    let d_in = config.d_in;
    let d_sae = match config.num_latents {
        0 => d_in.saturating_mul(config.expansion_factor),
        n => n,
    };
    let mut of_sae = SaeConfig::new(d_in, d_sae);
    of_sae.dtype = arrays.dtype();
    of_sae.mixed_dtypes = arrays.mixed_dtypes();
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    if let Some(layer) = layer_of(&name) {
        let place = match name.rsplit('.').next() {
            Some("mlp") => "hook_mlp_out",
            Some("attn" | "self_attn" | "attention") => "hook_attn_out",
            _ => "hook_resid_post",
        };
        of_sae.metadata.set("hook_name", format!("blocks.{layer}.{place}"));
    } else if name == "embed_tokens" {
        of_sae.metadata.set("hook_name", "hook_embed");
    }
    of_sae.metadata.set("prepend_bos", true);
    Ok(Sae {
        config: of_sae,
        activation: SaeActivation::TopK {
            b_enc: arrays.take("encoder.bias", &[d_sae])?,
            k: config.k,
            rescale_acts_by_decoder_norm: false,
        },
        encoder: arrays.take("encoder.weight", &[d_sae, d_in])?,
        decoder: arrays.take("W_dec", &[d_sae, d_in])?,
        b_dec: arrays.take("b_dec", &[d_in])?,
    })
}
