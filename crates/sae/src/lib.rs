//! Sparse autoencoders: features of what a language model's attention computes.
//!
//! [`read_sae`] reads one in any of five forms, [`Sae::encode`] turns activations into
//! [`SparseCodes`], [`Sae::decode`] turns those back.

mod codes;
mod config;
mod error;
mod formats;
mod sae;
mod top_k;
mod train;

pub use codes::SparseCodes;
pub use config::{Architecture, Normalization, Reshape, SaeConfig, SaeDtype, SaeMetadata};
pub use error::SaeError;
pub use formats::{SaeFormat, read_sae, write_sae_lens};
pub use sae::{Activation, Encoded, Sae};
pub use train::{
    CoefficientSchedule, LearningRateSchedule, SaeTrainConfig, SaeTrainer, ScheduleShape,
    StepReport, TrainArchitecture,
};
