//! Whole runs: several autoencoders of one configuration, from one stream of activations.

pub(crate) mod config;
mod memory;
mod sae_run;

pub use config::{RunAttention, RunData, RunModel, RunTraining, SaeEntry, SaeRunConfig, SaeTask};
pub use memory::TrainingMemory;
pub use sae_run::{RunProgress, SaeRun};
