//! The corpus of the fuzz target for checkpoints, what it found included: nothing panics.

use crate::{corpus, folder, seed, sweep_checkpoint};
#[test]
fn checkpoints_are_read_or_refused() {
    assert!(corpus::n_read("sweep_checkpoint", sweep_checkpoint::read) >= 1);
}

#[test]
#[ignore = "writes the seeds of the corpus"]
fn seeds() {
    let folder = folder::Folder::new();
    let path = folder.path().join("a.checkpoint");
    sweep_checkpoint::train(&path, 1).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    seed::put("sweep_checkpoint", "one-epoch", &bytes[..bytes.len() - 32]);
}
