//! The seeds of a fuzz target, and what was found by it.

use std::fs;
use std::path::{Path, PathBuf};

/// Folder of a target's seeds.
pub(crate) fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target)
}

/// Number of files of a corpus that a reader takes; none may make it panic.
pub(crate) fn n_read(target: &str, read: impl Fn(&[u8]) -> bool) -> usize {
    let mut files: Vec<PathBuf> = fs::read_dir(folder(target))
        .expect("the corpus is there")
        .map(|entry| entry.expect("the corpus can be read").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "`{target}` has no seed");
    files.iter().filter(|path| read(&fs::read(path).expect("the seed can be read"))).count()
}
