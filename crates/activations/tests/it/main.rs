//! Readers against hostile files and folders of the library datasets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(feature = "arrow")]
#[path = "../../../../fuzz/readers/arrow.rs"]
mod arrow;
#[path = "../../../../fuzz/readers/corpus.rs"]
mod corpus;
#[path = "../../../../fuzz/readers/folder.rs"]
mod folder;
mod fuzz_corpus;
#[path = "../../../../fuzz/readers/hashed.rs"]
mod hashed;
mod haystack;
#[path = "../../../../fuzz/readers/seed.rs"]
mod seed;
#[path = "../../../../fuzz/readers/shards.rs"]
mod shards;
#[path = "../../../../fuzz/readers/tokens.rs"]
mod tokens;
