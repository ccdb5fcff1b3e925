//! Autoencoders against goldens of other libraries, slow oracles, and hostile files.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ablation;
#[path = "../../../../fuzz/readers/attention.rs"]
mod attention;
#[path = "../../../../fuzz/readers/corpus.rs"]
mod corpus;
#[path = "../../../../fuzz/readers/folder.rs"]
mod folder;
mod formats;
mod fra;
#[path = "../../../../fuzz/readers/fra.rs"]
mod fra_state;
mod fuzz_corpus;
mod guided;
#[path = "../../../../fuzz/readers/hashed.rs"]
mod hashed;
#[path = "../../../../fuzz/readers/pickle.rs"]
mod pickle;
mod run;
#[path = "../../../../fuzz/readers/sae.rs"]
mod sae;
#[path = "../../../../fuzz/readers/sae_checkpoint.rs"]
mod sae_checkpoint;
mod saebench;
#[path = "../../../../fuzz/readers/seed.rs"]
mod seed;
#[path = "../../../report/tests/support/skip.rs"]
mod skip;
mod synthetic;
#[path = "../../../../fuzz/readers/tiny.rs"]
mod tiny;
mod training;
