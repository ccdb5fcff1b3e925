//! What holds for the whole project: which file may know which, and which crate may need which.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod circles;
mod dependencies;
mod imports;

use std::path::{Path, PathBuf};

/// The folders `src` of all crates, by the crate's name.
fn sources() -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.join("Cargo.toml").is_file() {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                found.push((name, path.join("src")));
                folders.push(path);
            }
        }
    }
    found.sort();
    assert!(found.len() > 8, "{found:?}");
    found
}
