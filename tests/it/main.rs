//! What holds for the whole project: which file may know which, which crate may need which, and that
//! the tables of `docs/` say what the code does.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod circles;
mod dependencies;
mod docs;
mod examples;
mod imports;

use std::path::{Path, PathBuf};

/// The folders `src` of all crates, by the name of the package after `attention-probes-`.
fn sources() -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if !path.is_dir() {
                continue;
            }
            if let Ok(manifest) = std::fs::read_to_string(path.join("Cargo.toml")) {
                let manifest: toml::Table = manifest.parse().unwrap();
                let name = manifest["package"]["name"].as_str().unwrap();
                let name = name.strip_prefix("attention-probes-").unwrap().to_owned();
                found.push((name, path.join("src")));
            }
            if !["src", "tests"].iter().any(|name| path.ends_with(name)) {
                folders.push(path);
            }
        }
    }
    found.sort();
    assert!(found.len() > 8, "{found:?}");
    found
}
