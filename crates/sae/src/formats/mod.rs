//! Files of sparse autoencoders: five forms are read, that of `SAELens` is written.

mod arrays;
mod attention_output;
mod dictionary_learning;
mod files;
mod form;
mod gemma_scope;
mod pickle;
mod read;
mod sae_lens;
mod sparsify;

pub use form::SaeFormat;
pub use read::read_sae;
pub use sae_lens::write_sae_lens;
