//! Repositories, and what tests do with them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use attention_probes_models::{HubAccess, HubCache, ModelError};

use crate::hub::server::{FakeHub, Repository, sha};

/// A tiny Gemma 3 with its tokenizer.
pub(crate) fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/gemma3-base")
}

pub(crate) fn repository() -> Repository {
    let read = |file: &str| fs::read(golden().join(file)).unwrap();
    let [config, weights, tokenizer] =
        ["config.json", "model.safetensors", "tokenizer.json"].map(read);
    Repository::new(
        "org/tiny",
        [
            ("config.json", &*config),
            ("model.safetensors", &*weights),
            ("tokenizer.json", &*tokenizer),
            ("README.md", b"not needed"),
            ("pytorch_model.bin", b"not needed"),
        ],
    )
}

pub(crate) fn access(folder: &Path, hub: &FakeHub) -> HubAccess {
    HubAccess::new(HubCache::new(folder.join("hub")))
        .with_endpoint(&hub.endpoint)
        .with_backoff(Duration::from_millis(1))
}

pub(crate) fn download(access: &HubAccess) -> Result<PathBuf, ModelError> {
    access.model(&"org/tiny".parse().unwrap())
}

pub(crate) fn refused(access: &HubAccess) -> String {
    download(access).unwrap_err().to_string()
}

pub(crate) fn has(text: &str, words: &[&str]) {
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
}

/// Every file and link below a folder, with its content or target.
pub(crate) fn tree(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            if path.is_symlink() {
                found.insert(name, format!("-> {}", fs::read_link(&path).unwrap().display()));
            } else if path.is_dir() {
                folders.push(path);
            } else {
                let content = fs::read(&path).unwrap();
                let text = if content.len() > 64 { sha(&content) } else { lossy(&content) };
                found.insert(name, text);
            }
        }
    }
    found
}

pub(crate) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
