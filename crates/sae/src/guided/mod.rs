//! Guidance of a training by attention: tokens that attend to each other are to have features in
//! common.

mod attended;
mod codes;
mod config;
mod layer_weights;
mod losses;
mod patterns;
mod tuning;

pub use attended::attended_cosine;
pub use config::{GuidanceConfig, GuidanceSource, LayerWeighting};
pub use layer_weights::{LayerWeightHistory, temperature};
pub use losses::GuidanceLosses;
pub use tuning::GuidanceRecord;
pub(crate) use tuning::{Guidance, GuidedBatch, HeldOut};
