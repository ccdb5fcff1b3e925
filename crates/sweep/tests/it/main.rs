//! Sweeps against the same trials alone, and hostile checkpoints.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../../fuzz/readers/corpus.rs"]
mod corpus;
mod find_best_fit;
#[path = "../../../../fuzz/readers/folder.rs"]
mod folder;
mod fuzz_corpus;
#[path = "../../../../fuzz/readers/hashed.rs"]
mod hashed;
mod in_memory;
#[path = "../../../../fuzz/readers/seed.rs"]
mod seed;
mod stopped;
#[path = "../../../../fuzz/readers/sweep_checkpoint.rs"]
mod sweep_checkpoint;
