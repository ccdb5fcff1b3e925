//! The corpora of the fuzz targets for files of autoencoders, what they found included: nothing
//! panics, and what this program wrote is read.

use std::collections::HashMap;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::{attention, corpus, folder, fra_state, pickle, sae, sae_checkpoint, seed};

#[test]
fn pickles_are_read_or_refused() {
    assert!(corpus::n_read("pickle", pickle::read) >= 1);
}

#[test]
fn autoencoders_are_read_or_refused() {
    assert!(corpus::n_read("sae", sae::read) >= 8);
}

#[test]
fn attention_is_read_or_refused() {
    assert!(corpus::n_read("attention", attention::read) >= 1);
}

#[test]
fn statistics_are_read_or_refused() {
    assert!(corpus::n_read("fra", fra_state::read) >= 1);
}

#[test]
fn checkpoints_are_read_or_refused() {
    assert!(corpus::n_read("sae_checkpoint", sae_checkpoint::read) >= 1);
}

/// The arrays of [`attention::read`], as a file has them.
fn attention_file() -> Vec<u8> {
    let bytes =
        |numbers: &[u16]| -> Vec<u8> { numbers.iter().flat_map(|n| n.to_le_bytes()).collect() };
    let indptr: Vec<u8> = (0..=8_u32).flat_map(u32::to_le_bytes).collect();
    let half = half::f16::from_f32(0.5).to_bits();
    let columns = [
        ("indptr", Dtype::U32, indptr, 9),
        ("keys", Dtype::U16, bytes(&[0; 8]), 8),
        ("weights", Dtype::F16, bytes(&[half; 8]), 8),
        ("dropped", Dtype::F16, bytes(&[half; 8]), 8),
    ];
    let views = columns.iter().map(|(name, dtype, data, n)| {
        (format!("layers.0.{name}"), TensorView::new(*dtype, vec![*n], data).unwrap())
    });
    let metadata = HashMap::from([("attention_probes_digest".to_owned(), "these".to_owned())]);
    safetensors::serialize(views, Some(metadata)).unwrap()
}

#[test]
#[ignore = "writes the seeds of the corpora"]
fn seeds() {
    for (which, (_, name, bytes)) in sae::FILES.iter().enumerate() {
        seed::put("sae", &format!("{which}-{name}"), &[&[which as u8], *bytes].concat());
    }
    seed::put("attention", "whole.safetensors", &attention_file());
    let folder = folder::Folder::new();
    let path = folder.path().join("a");
    fra_state::blank().save(&path, "these").unwrap();
    let bytes = std::fs::read(&path).unwrap();
    seed::put("fra", "blank", &bytes[..bytes.len() - 32]);
    sae_checkpoint::with_run(|run, _| {
        run.step().unwrap();
        run.save(&path, "these").unwrap();
    });
    seed::put("sae_checkpoint", "one-step.safetensors", &std::fs::read(&path).unwrap());
}
