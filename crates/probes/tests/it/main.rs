//! Probes against slow methods, golden values of other libraries, and hostile files.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod convex;
#[path = "../../../../fuzz/readers/corpus.rs"]
mod corpus;
#[path = "../../../../fuzz/readers/folder.rs"]
mod folder;
mod fuzz_corpus;
#[path = "../../../../fuzz/readers/probe.rs"]
mod probe;
mod pytorch;
#[path = "../../../../fuzz/readers/seed.rs"]
mod seed;
#[path = "../../../../fuzz/readers/stream.rs"]
mod stream;
