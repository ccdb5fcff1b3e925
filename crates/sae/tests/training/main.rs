//! Training against `sae_lens`'s own trainer, and the sparse way against the dense one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod golden;
mod oracle;
