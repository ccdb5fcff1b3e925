//! The corpus of the fuzz target for `.npz` files, what it found included: nothing panics.

use std::path::{Path, PathBuf};

use attention_probes_activations::{ExternalActivations, read_npz};

#[test]
fn files_are_read_or_refused() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/npz");
    let files = std::fs::read_dir(corpus).unwrap().map(|file| file.unwrap().path());
    let read = |path: &PathBuf| {
        let arrays = read_npz(path);
        ExternalActivations::read(path).is_ok() && arrays.is_ok()
    };
    assert!(files.filter(read).count() >= 2);
}
