//! `.npz` files: as arrays, and as activations with mask and labels.

#![no_main]

use std::fs;
use std::sync::LazyLock;

use attention_probes_activations::{ExternalActivations, read_npz};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("a folder can be made"));

fuzz_target!(|file: &[u8]| {
    let path = FOLDER.path().join("x.npz");
    fs::write(&path, file).expect("the folder can be written to");
    let _ = read_npz(&path);
    let _ = ExternalActivations::read(&path);
});
