//! Activations whose features are known, and how well an autoencoder finds them.

mod assignment;
mod score;
mod truth;

pub use score::{SyntheticScore, score_synthetic};
pub use truth::{SyntheticConfig, SyntheticSample, SyntheticTruth};
