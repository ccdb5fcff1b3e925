//! The attention-output autoencoders of Kissane et al., "Interpreting Attention Layer Outputs with
//! Sparse Autoencoders" (2024): `NAME.pt` beside `NAME_cfg.json`.

use std::path::Path;

use serde::Deserialize;

use super::files::read_json;
use super::pickle;
use crate::config::{Reshape, SaeConfig};
use crate::{Sae, SaeActivation, SaeError};

/// What matters of `NAME_cfg.json`; the name of a collection says nothing of the number of features.
#[derive(Deserialize)]
struct Config {
    act_size: usize,
    dict_size: usize,
    act_name: String,
    #[serde(default)]
    model_name: Option<String>,
    #[serde(default)]
    seq_len: Option<usize>,
}

/// Reads the file and the configuration beside it.
pub(super) fn read(path: &Path) -> Result<Sae, SaeError> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let config: Config = read_json(&path.with_file_name(format!("{stem}_cfg.json")))?;
    let mut arrays = pickle::read(path)?;
    let (d_in, d_sae) = (config.act_size, config.dict_size);
    let mut of_sae = SaeConfig::new(d_in, d_sae);
    of_sae.dtype = arrays.dtype();
    of_sae.mixed_dtypes = arrays.mixed_dtypes();
    if config.act_name.ends_with("hook_z") {
        of_sae.reshape_activations = Reshape::HookZ;
    }
    let metadata = &mut of_sae.metadata;
    metadata.set("model_name", config.model_name.unwrap_or_else(|| "gpt2-small".to_owned()));
    metadata.set("hook_name", config.act_name);
    metadata.set("context_size", config.seq_len.unwrap_or(128));
    metadata.set("prepend_bos", true);
    metadata.set("dataset_path", "Skylion007/openwebtext");
    Ok(Sae {
        config: of_sae,
        activation: SaeActivation::Standard { b_enc: arrays.take("b_enc", &[d_sae])? },
        encoder: arrays.take_transposed("W_enc", [d_in, d_sae])?,
        decoder: arrays.take("W_dec", &[d_sae, d_in])?,
        b_dec: arrays.take("b_dec", &[d_in])?,
    })
}
