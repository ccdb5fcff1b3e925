//! Models of the Hub: out of the cache that the environment names, and downloaded into it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::call;
use crate::hub_server::{COMMIT, FakeHub, Reply, Repository, TOKEN};

/// The files of a tiny Gemma 3.
const FILES: [&str; 3] = ["config.json", "model.safetensors", "tokenizer.json"];

/// `probe` with nothing of this machine's Hub, offline unless a test says otherwise.
fn command(args: &[&str], folder: &Path) -> Command {
    let mut command = call::command(folder, args);
    command.env("HF_HOME", folder.join("hf")).env("no_proxy", "127.0.0.1");
    for variable in ["HF_HUB_CACHE", "HF_TOKEN", "HF_TOKEN_PATH", "HF_ENDPOINT"] {
        command.env_remove(variable);
    }
    command
}

fn golden(file: &str) -> Vec<u8> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tests/golden/gemma3-base");
    fs::read(folder.join(file)).unwrap()
}

/// A cache with one snapshot of a tiny Gemma 3, laid out as Hugging Face's programs lay it out.
fn cache(folder: &Path) {
    let repo = folder.join("hf/hub/models--test--gemma");
    let snapshot = repo.join("snapshots").join(COMMIT);
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(repo.join("refs")).unwrap();
    fs::write(repo.join("refs/main"), COMMIT).unwrap();
    for file in FILES {
        fs::write(snapshot.join(file), golden(file)).unwrap();
    }
}

fn extract(model: &str, folder: &Path) -> Command {
    fs::write(folder.join("data.csv"), "text\nThe probe reads\n").unwrap();
    let args = ["extract", "--model", model, "--data", "data.csv", "--output", "out.npz"];
    command(&[&args[..], &["--hooks", "blocks.4.attn.hook_rot_q", "--overwrite"]].concat(), folder)
}

fn assert_refused(output: &Output, words: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(words.iter().all(|word| stderr.contains(word)), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn a_model_is_found_in_the_cache_by_branch_and_by_commit() {
    let folder = tempfile::tempdir().unwrap();
    cache(folder.path());
    for model in ["test/gemma".to_owned(), format!("test/gemma@{COMMIT}")] {
        let output = extract(&model, folder.path()).output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(stdout.contains("blocks.4.attn.hook_rot_q"), "{stdout}");
    }
}

#[test]
fn what_the_cache_lacks_is_named_where_nothing_may_be_downloaded() {
    let folder = tempfile::tempdir().unwrap();
    cache(folder.path());
    let refused = |model: &str, words: &[&str]| {
        assert_refused(&extract(model, folder.path()).output().unwrap(), words);
    };
    refused("test/other", &["`test/other`", "hf download test/other", "`HF_HUB_OFFLINE`"]);
    refused("test/gemma@v2", &["`test/gemma@v2`", "hf download test/gemma --revision v2"]);
    refused("../../etc", &["`../../etc` is neither an embedded model"]);
    let snapshot = folder.path().join("hf/hub/models--test--gemma/snapshots").join(COMMIT);
    fs::remove_file(snapshot.join("model.safetensors")).unwrap();
    refused("test/gemma", &["lacks `model.safetensors`"]);
}

#[test]
fn a_plan_can_be_looked_at_before_the_weights_are_there() {
    let (hub, folder) = (FakeHub::start(|_| Reply::silence()), tempfile::tempdir().unwrap());
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../examples/configs");
    for (name, model) in [("gemma-270m", "google/gemma-3-270m"), ("gpt2", "openai-community/gpt2")]
    {
        let config = configs.join(format!("{name}.toml"));
        let config = config.to_str().unwrap();
        let mut dry = command(&["sweep", config, "--dry-run"], folder.path());
        let output = dry.env("HF_HUB_OFFLINE", "0").env("HF_ENDPOINT", &hub.endpoint).output();
        let output = output.unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && stdout.contains(model), "{stdout}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("hf download"));
        assert_eq!(hub.take_lines(), [""; 0], "a dry run sends nothing");
        let output = command(&["sweep", config], folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let offline =
            "embedded model, which `--model` takes without network (demo-gpt2, demo-gemma";
        assert!(String::from_utf8_lossy(&output.stderr).contains(offline));
    }
}

#[test]
fn a_model_is_downloaded_once_and_then_used_offline() {
    let files = FILES.map(|file| (file, golden(file)));
    let tiny = Repository::new("org/tiny", files.iter().map(|(file, all)| (*file, &**all)));
    let (hub, folder) = (FakeHub::of(tiny), tempfile::tempdir().unwrap());
    // Everything that may be logged is, and none of it is the token.
    let online = extract("org/tiny", folder.path())
        .env("HF_HUB_OFFLINE", "0")
        .env("HF_ENDPOINT", &hub.endpoint)
        .env("HF_TOKEN", TOKEN)
        .env("RUST_LOG", "trace")
        .output()
        .unwrap();
    assert!(online.status.success(), "{}", String::from_utf8_lossy(&online.stderr));
    let requests = hub.take();
    assert!(requests.iter().all(|seen| seen.headers["authorization"].ends_with(TOKEN)));
    let offline = extract("org/tiny", folder.path()).output().unwrap();
    assert!(offline.status.success(), "{}", String::from_utf8_lossy(&offline.stderr));
    assert_eq!(offline.stdout, online.stdout);
    assert_eq!(hub.take_lines(), [""; 0]);
    for bytes in [online.stdout, online.stderr].into_iter().chain(files_below(folder.path())) {
        assert!(!String::from_utf8_lossy(&bytes).contains(TOKEN));
    }
}

#[test]
fn a_gated_model_is_refused_without_the_token_being_shown() {
    let hub = FakeHub::start(|_| Reply::refusal(403, "GatedRepo"));
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("hf")).unwrap();
    fs::write(folder.path().join("hf/token"), format!("{TOKEN}\n")).unwrap();
    let output = extract("org/tiny", folder.path())
        .env("HF_HUB_OFFLINE", "0")
        .env("HF_ENDPOINT", &hub.endpoint)
        .output()
        .unwrap();
    let page = format!("`{}/org/tiny`", hub.endpoint);
    assert_refused(&output, &["`org/tiny` is gated", &page, "`HF_TOKEN`", "token that was sent"]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains(TOKEN));
    assert!(hub.take()[0].headers["authorization"].ends_with(TOKEN), "it came out of the file");
}

/// The content of every file below a folder.
fn files_below(folder: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match fs::read(&path) {
            Ok(content) => vec![content],
            Err(_) => files_below(&path),
        })
        .collect()
}
