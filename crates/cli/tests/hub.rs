//! Models of the Hub, out of the cache that the environment names.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const COMMIT: &str = "89abcdef0123456789abcdef0123456789abcdef";

fn probe(args: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_probe"));
    command.args(args).current_dir(folder).env("HF_HUB_CACHE", folder.join("hub"));
    command.env_remove("RUST_LOG").output().unwrap()
}

/// A cache with one snapshot of a tiny Gemma 3, laid out as Hugging Face's programs lay it out.
fn cache(folder: &Path) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/golden/gemma3-base");
    let repo = folder.join("hub/models--test--gemma");
    let snapshot = repo.join("snapshots").join(COMMIT);
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(repo.join("refs")).unwrap();
    fs::write(repo.join("refs/main"), COMMIT).unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(golden.join(file), snapshot.join(file)).unwrap();
    }
}

fn extract(model: &str, folder: &Path) -> Output {
    fs::write(folder.join("data.csv"), "text\nThe probe reads\n").unwrap();
    let args = ["extract", "--model", model, "--data", "data.csv", "--output", "out.npz"];
    probe(&[&args[..], &["--hooks", "blocks.4.attn.hook_rot_q"]].concat(), folder)
}

#[test]
fn a_model_is_found_in_the_cache_by_branch_and_by_commit() {
    let folder = tempfile::tempdir().unwrap();
    cache(folder.path());
    for model in ["test/gemma".to_owned(), format!("test/gemma@{COMMIT}")] {
        let output = extract(&model, folder.path());
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(stdout.contains("blocks.4.attn.hook_rot_q"), "{stdout}");
    }
}

#[test]
fn what_the_cache_lacks_is_named() {
    let folder = tempfile::tempdir().unwrap();
    cache(folder.path());
    let refused = |model: &str, words: &[&str]| {
        let output = extract(model, folder.path());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(words.iter().all(|word| stderr.contains(word)), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    };
    refused("test/other", &["`test/other`", "hf download test/other"]);
    refused("test/gemma@v2", &["`test/gemma@v2`", "hf download test/gemma"]);
    refused("../../etc", &["`../../etc` is neither an embedded model"]);
    let snapshot = folder.path().join("hub/models--test--gemma/snapshots").join(COMMIT);
    fs::remove_file(snapshot.join("model.safetensors")).unwrap();
    refused("test/gemma", &["lacks `model.safetensors`"]);
}

#[test]
fn a_plan_can_be_looked_at_before_the_weights_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/configs");
    for (name, model) in [("gemma-270m", "google/gemma-3-270m"), ("gpt2", "openai-community/gpt2")]
    {
        let config = configs.join(format!("{name}.toml"));
        let config = config.to_str().unwrap();
        let output = probe(&["sweep", config, "--dry-run"], folder.path());
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && stdout.contains(model), "{stdout}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("hf download"));
        let output = probe(&["sweep", config], folder.path());
        assert_eq!(output.status.code(), Some(2));
    }
}
