//! `model.safetensors` under the configuration of a very small GPT-2.

#![no_main]

use std::path::Path;

use attention_probes_models::load::model_from_bytes;
use burn::tensor::Device;
use libfuzzer_sys::fuzz_target;

const CONFIG: &[u8] = include_bytes!("../tiny.json");

fuzz_target!(|weights: &[u8]| {
    let path = Path::new("model.safetensors");
    let _ = model_from_bytes(CONFIG, weights, path, &Device::flex());
});
