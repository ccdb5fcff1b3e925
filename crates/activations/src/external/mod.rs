//! Activations that have been computed before: one npz with `x`, `mask`, and `y`, or a folder of
//! shards or of MOSAIC.

mod activations;
mod mosaic;
mod npz;
mod shards;

pub use activations::{ExternalActivations, ExternalConfig};
