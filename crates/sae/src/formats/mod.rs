//! Files of sparse autoencoders: five forms are read, that of `SAELens` is written.

mod arrays;
mod attention_output;
mod convert;
mod dictionary_learning;
mod encode;
mod facts;
mod files;
mod form;
mod gemma_scope;
mod location;
mod pickle;
mod published;
mod read;
mod sae_lens;
mod site_error;
mod sparsify;

pub use convert::{ConvertOptions, convert_sae};
pub use encode::{EncodeOptions, EncodedNpz, encode_npz};
pub use facts::sae_facts;
pub use form::SaeFormat;
pub use location::{read_sae_from, sae_files};
pub use published::{PublishedSae, SaeNote};
pub use read::read_sae;
pub use sae_lens::write_sae_lens;
pub use site_error::SiteError;
