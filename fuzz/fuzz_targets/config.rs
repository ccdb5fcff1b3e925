//! `config.json` of every family, without weights: refused, or found to lack a tensor.

#![no_main]

use std::path::Path;

use attention_probes_models::load::model_from_bytes;
use burn::tensor::Device;
use libfuzzer_sys::fuzz_target;

/// A safetensors file without tensors.
const EMPTY: &[u8] = b"\x02\0\0\0\0\0\0\0{}";

fuzz_target!(|config: &[u8]| {
    let model = model_from_bytes(config, EMPTY, Path::new("config.json"), &Device::flex());
    assert!(model.is_err(), "no model is made of nothing");
});
