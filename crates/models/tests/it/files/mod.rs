//! Files as they are found in the world: configurations, checkpoints, tokenizers, and long texts.

mod checkpoints;
mod configs;
mod long_texts;
mod short_rows;
mod tokenizers;

use std::fs;
use std::path::{Path, PathBuf};

use attention_probes_models::load::load_model;
use attention_probes_models::{
    HookPoint, HookSet, ModelError, PaddingSide, TokenBatch, host_values,
};
use burn::tensor::Device;
use serde_json::{Map, Value};
use tempfile::TempDir;

/// A folder of the golden models.
fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(path)
}

/// A copy of a golden model's files, without the numbers of the reference.
fn copy(name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(golden(name)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    folder
}

/// Changes `config.json` of a folder.
fn change_config(folder: &Path, change: impl FnOnce(&mut Map<String, Value>)) {
    let path = folder.join("config.json");
    let mut config: Map<String, Value> = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut config);
    fs::write(path, serde_json::to_vec(&config).unwrap()).unwrap();
}

/// What leaves the first and the last block of the model in a folder, of a text of 24 tokens.
fn activations(folder: &Path) -> Result<Vec<u32>, ModelError> {
    let device = Device::flex();
    let model = load_model(folder, &device)?;
    let ids: Vec<u32> = (0..24).map(|i| 3 + (i * 37) % 90).collect();
    let batch = TokenBatch::new(&[ids], PaddingSide::Right, &device)?;
    let hooks = [HookPoint::ResidPost(0), HookPoint::ResidPost(model.shape().n_layers - 1)];
    let mut cache = model.run_with_cache(&batch, &HookSet::new(hooks))?;
    let mut bits = Vec::new();
    for hook in hooks {
        let values = host_values(cache.remove(hook).unwrap().flatten_heads())?;
        bits.extend(values.into_iter().map(f32::to_bits));
    }
    Ok(bits)
}

/// Why the model in a folder is refused.
fn refusal(folder: &Path) -> String {
    activations(folder).unwrap_err().to_string()
}
