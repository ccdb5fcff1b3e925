//! Activations that have been computed before: an npz or a safetensors file, a folder of shards, or
//! a folder of MOSAIC.

mod activations;
mod array_file;
mod array_sites;
mod arrays;
mod error;
mod examples;
mod labels;
mod mosaic;
mod read;
mod rows;
mod shards;
mod site;
mod store;

pub use activations::{ExternalActivations, ExternalConfig};
pub use array_file::is_array_file;
pub use error::ExternalError;
pub use labels::has_fractional_labels;
pub use rows::stored_rows;
pub use site::{ActivationOrigin, ExternalSite};
pub use store::ExternalStore;
