//! Files of texts; the first byte chooses the form.

#![no_main]

use std::fs;
use std::sync::LazyLock;

use attention_probes_activations::{Dataset, DatasetConfig};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("a folder can be made"));

fuzz_target!(|bytes: &[u8]| {
    let Some((form, file)) = bytes.split_first() else { return };
    let form = ["csv", "tsv", "jsonl", "parquet"][usize::from(form % 4)];
    let path = FOLDER.path().join("texts").with_extension(form);
    fs::write(&path, file).expect("the folder can be written to");
    let _ = Dataset::read("texts", &path, &DatasetConfig::default(), true);
});
