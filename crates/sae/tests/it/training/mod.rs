//! Training against `sae_lens`'s own trainer, and the sparse way against the dense one.

mod golden;
mod oracle;
