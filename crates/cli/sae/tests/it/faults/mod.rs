//! What ended a run, lost something, or was read wrongly once: exit code, one line, nothing lost.

mod autoencoders;
mod outputs;
mod runs;
mod streams;

use std::fs;

/// A small training run of an autoencoder.
const TRAIN: &str = r#"
run = "plain"
output = "out"
device = "cpu"
[model]
name = "demo-gpt2"
[data]
path = "texts.csv"
context_size = 16
[train]
tokens = 2000
batch_size = 64
buffer_batches = 4
checkpoint_every = 5
[[saes]]
name = "a"
hook = "blocks.1.hook_resid_post"
d_sae = 96
architecture = { name = "topk", k = 8 }
"#;

/// A folder with texts of two classes and `train.toml`.
fn folder() -> tempfile::TempDir {
    let folder = crate::folder::folder();
    fs::write(folder.path().join("train.toml"), TRAIN).unwrap();
    folder
}
