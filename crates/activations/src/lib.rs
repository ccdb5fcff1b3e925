//! Labelled text to tokens to activations: in memory, recomputed, or on disk.
//!
//! Everything here comes from outside, so every reader checks before it allocates, and what is
//! wrong with a file is an [`ActivationError`] that names the file, the place, and the remedy.

mod atomic;
mod dataset;
mod error;
mod external;
mod npz;
mod split;
mod table;

pub use atomic::write_atomically;
pub use dataset::{Dataset, DatasetConfig};
pub use error::ActivationError;
pub use external::ExternalActivations;
pub use npz::{NpzArray, NpzData, read_npz, read_npz_arrays, write_npz};
pub use split::{Side, Split, SplitConfig, stratified_split};
