//! An autoencoder of which it is known when its features are active.

use std::fs;
use std::path::Path;

use attention_probes_sae::{Sae, SaeActivation, SaeConfig};

/// An autoencoder of the embedded model with two features, along the mean of the stream and against
/// it, each active beyond 0.01.
pub(crate) fn along_the_mean() -> Sae {
    let (d_in, d_sae) = (160, 2);
    let mut config = SaeConfig::new(d_in, d_sae);
    config.apply_b_dec_to_input = false;
    config.metadata.set("model_name", "demo-gpt2");
    config.metadata.set("hook_name", "blocks.2.hook_resid_pre");
    config.metadata.set("context_size", 16);
    config.metadata.set("prepend_bos", false);
    let weight = 1.0 / (d_in as f32).sqrt();
    let rows = [vec![weight; d_in], vec![-weight; d_in]].concat();
    Sae {
        config,
        activation: SaeActivation::Standard { b_enc: vec![-0.01; d_sae] },
        encoder: rows.clone(),
        decoder: rows,
        b_dec: vec![0.0; d_in],
    }
}

/// Makes the first weight of the decoder of a folder the largest number.
pub(crate) fn spoil(folder: &Path) {
    let path = folder.join("sae_weights.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let header_end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..header_end]).unwrap();
    let start = header["W_dec"]["data_offsets"][0].as_u64().unwrap() as usize;
    bytes[header_end + start..][..4].copy_from_slice(&f32::MAX.to_le_bytes());
    fs::write(path, bytes).unwrap();
}
