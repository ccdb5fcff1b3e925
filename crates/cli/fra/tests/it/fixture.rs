//! Texts and autoencoders, and what the command wrote.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use attention_probes_sae::{Sae, SaeActivation, SaeConfig, write_sae_lens};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::page_data::data_of;

pub(crate) const D_MODEL: usize = 160;

/// A folder with texts and drawn autoencoders of the embedded models.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let animals = ["fox", "cat", "dog", "bird", "horse"];
    let mut lines = String::new();
    for i in 0..12 {
        let (a, b) = (animals[i % 5], animals[(i / 5 + 1) % 5]);
        let text = format!("The {a} ran to the {b} {i} times. \"Come,\" said the {a} to the {b}.");
        writeln!(lines, "{}", serde_json::json!({ "text": text })).unwrap();
    }
    fs::write(folder.path().join("texts.jsonl"), lines).unwrap();
    for (name, model, hook) in [
        ("two", "demo-gpt2", "blocks.2.ln1.hook_normalized"),
        ("three", "demo-gpt2", "blocks.2.hook_resid_post"),
        ("z", "demo-gpt2", "blocks.2.attn.hook_z"),
        ("gemma", "demo-gemma", "blocks.1.hook_resid_pre"),
    ] {
        let mut sae = drawn(96);
        sae.set_hook(hook.parse().unwrap());
        sae.config.metadata.set("model_name", model);
        write_sae_lens(&sae, folder.path().join(name)).unwrap();
    }
    folder
}

pub(crate) fn drawn(d_sae: usize) -> Sae {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let mut draw =
        |n: usize| -> Vec<f32> { (0..n).map(|_| rng.random_range(-0.3_f32..0.3)).collect() };
    let activation =
        SaeActivation::TopK { b_enc: draw(d_sae), k: 6, rescale_acts_by_decoder_norm: false };
    let (encoder, decoder) = (draw(d_sae * D_MODEL), draw(d_sae * D_MODEL));
    let config = SaeConfig::new(D_MODEL, d_sae);
    Sae { config, activation, encoder, decoder, b_dec: draw(D_MODEL) }
}

pub(crate) fn read(path: impl AsRef<Path>) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// What a page draws.
pub(crate) fn page(path: impl AsRef<Path>) -> Value {
    let html = fs::read_to_string(path).unwrap();
    data_of(&html)
}

/// Features of pairs.
pub(crate) fn pairs_of(pairs: &Value) -> Vec<(u64, u64)> {
    let feature = |pair: &Value, name: &str| pair[name].as_u64().unwrap();
    let pairs = pairs.as_array().unwrap().iter();
    pairs.map(|pair| (feature(pair, "query_feature"), feature(pair, "key_feature"))).collect()
}
