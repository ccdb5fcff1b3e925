//! `model.safetensors.index.json`, beside one shard, `a.safetensors`.

#![no_main]

use std::fs;
use std::sync::LazyLock;

use attention_probes_models::load::{checkpoint_hash, load_model};
use burn::tensor::Device;
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let put = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes);
    put("config.json", include_bytes!("../tiny.json")).expect("the folder can be written to");
    put("a.safetensors", b"\x02\0\0\0\0\0\0\0{}").expect("the folder can be written to");
    folder
});

fuzz_target!(|index: &[u8]| {
    let index_path = FOLDER.path().join("model.safetensors.index.json");
    fs::write(index_path, index).expect("the folder can be written to");
    assert!(load_model(FOLDER.path(), &Device::flex()).is_err(), "the shard has no tensors");
    let _ = checkpoint_hash(FOLDER.path());
});
