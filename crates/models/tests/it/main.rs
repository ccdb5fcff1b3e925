//! Models against goldens of other libraries, hostile files, memory, and a Hub on this machine.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attention_weights;
mod corpus;
mod demo;
mod files;
#[cfg(feature = "hub")]
mod hub;
mod hugging_face;
mod memory;
#[path = "../../../../examples/sort_by_pairs/model.rs"]
mod model;
mod nano_sort;
