//! What ended a run, lost something, or was read wrongly once: exit code, one line, nothing lost.

mod data;
mod outputs;
mod runs;
mod streams;

use std::fs;

/// A small sweep; the name of the data set is that of the file.
const SWEEP: &str = r#"
run = "s"
output = "out"
device = "cpu"
[model]
name = "demo-gpt2"
[[data]]
path = "texts.csv"
max_tokens = 8
[activations]
layers = [0]
[[architectures]]
name = "linear"
optimizer = "adamw"
[sweep]
learning_rates = [1e-2]
weight_decays = [0.0]
epochs = 1
batch_size = 16
[evaluation]
shuffled_labels = 0
"#;

/// A folder with texts of two classes and `sweep.toml`.
fn folder() -> tempfile::TempDir {
    let folder = crate::folder::folder();
    fs::write(folder.path().join("sweep.toml"), SWEEP).unwrap();
    folder
}
