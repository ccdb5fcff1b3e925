//! The three programs as a person calls them, and the inputs that several tests need.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use attention_probes_sae::{Activation, Sae, SaeConfig};

/// A small sweep; the name of the data set is that of the file.
pub(crate) const SWEEP: &str = r#"
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

/// A small training run of an autoencoder.
pub(crate) const TRAIN: &str = r#"
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

/// A folder with texts of two classes, `sweep.toml`, and `train.toml`.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let words = ["good", "bad", "cake", "dog", "tree", "home", "lost", "boy"];
    let mut csv = String::from("text,label\n");
    for i in 0..80 {
        let word = |step: usize| words[(i * step + i / 8 + step) % words.len()];
        let label = if i % 2 == 0 { "pos" } else { "neg" };
        let row = [word(1), word(3), "number", &i.to_string(), word(5), label].join(" ");
        csv.extend([&*row, ",", label, "\n"]);
    }
    let path = folder.path();
    fs::write(path.join("texts.csv"), csv).unwrap();
    fs::write(path.join("sweep.toml"), SWEEP).unwrap();
    fs::write(path.join("train.toml"), TRAIN).unwrap();
    folder
}

/// A program with arguments, to be run in a folder.
pub(crate) fn command(program: &str, folder: &Path, args: &[&str]) -> Command {
    let program = match program {
        "probe" => env!("CARGO_BIN_EXE_probe"),
        "sae" => env!("CARGO_BIN_EXE_sae"),
        _ => env!("CARGO_BIN_EXE_fra"),
    };
    let mut command = Command::new(program);
    command.args(args).current_dir(folder).stdin(Stdio::null());
    command.env_remove("RUST_LOG").env_remove("RUST_BACKTRACE").env("HF_HUB_OFFLINE", "1");
    command
}

/// How a program ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command to its end.
pub(crate) fn end(command: &mut Command) -> Ended {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// Standard output and error of a command that must end with 0.
pub(crate) fn succeed(program: &str, folder: &Path, args: &[&str]) -> Ended {
    let ended = end(&mut command(program, folder, args));
    assert_eq!(ended.code, Some(0), "{program} {args:?}: {}", ended.stderr);
    ended
}

/// The one `error:` line of a command that must end with 2.
pub(crate) fn refused(program: &str, folder: &Path, args: &[&str]) -> String {
    refused_by(&mut command(program, folder, args))
}

/// As [`refused`], of any command.
pub(crate) fn refused_by(command: &mut Command) -> String {
    let Ended { code, stderr, .. } = end(command);
    assert_eq!(code, Some(2), "{command:?}: {stderr}");
    let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{command:?}: {stderr}");
    assert_eq!(stderr.lines().last(), errors.first().copied(), "nothing comes after the error");
    errors[0].to_owned()
}

/// Every file below a folder that has a temporary name.
pub(crate) fn temporaries(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap_or_default();
        if entry.file_type().unwrap().is_dir() {
            found.extend(temporaries(&entry.path()));
        } else if [".tmp", ".partial"].iter().any(|end| name.ends_with(end)) {
            found.push(name);
        }
    }
    found
}

/// An autoencoder of the embedded model with two features, along the mean of the stream and against
/// it, each active beyond 0.01.
pub(crate) fn along_the_mean() -> Sae {
    let (d_in, d_sae) = (160, 2);
    let mut config = SaeConfig::new(d_in, d_sae);
    config.apply_b_dec_to_input = false;
    config.metadata.set("model_name", "demo-gpt2");
    config.metadata.set("hook_name", "blocks.2.hook_resid_pre");
    config.metadata.set("context_size", 16);
    config.metadata.set("prepend_bos", false);
    let weight = 1.0 / (d_in as f32).sqrt();
    let rows = [vec![weight; d_in], vec![-weight; d_in]].concat();
    Sae {
        config,
        activation: Activation::Standard { b_enc: vec![-0.01; d_sae] },
        encoder: rows.clone(),
        decoder: rows,
        b_dec: vec![0.0; d_in],
    }
}
