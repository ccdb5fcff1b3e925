//! Whole runs: several autoencoders of one configuration, from one stream of activations.

mod attention;
pub(crate) mod config;
mod demo;
mod error;
mod folder;
mod history;
mod memory;
mod options;
mod outline;
mod plan;
mod run_sae;
mod sae_run;

pub(crate) use attention::hash_ids;
pub use config::{RunAttention, RunData, RunModel, RunTraining, SaeEntry, SaeRunConfig, SaeTask};
pub use demo::{demo_fra_run, demo_sae_run};
pub use error::RunError;
pub(crate) use folder::is_complete;
pub use history::{HistoryPoint, read_history};
pub use memory::TrainingMemory;
pub use options::SaeRunOptions;
pub(crate) use options::open_run_model;
pub use outline::{SaeRunOutline, SaeRunTime};
pub use plan::SaeRunPlan;
pub(crate) use run_sae::run_sae_on_contexts;
pub use run_sae::{TrainedSae, check_sae_run, run_sae, run_sae_on};
pub use sae_run::{RunProgress, SaeRun};
