//! What a model loses without pairs of features of a head.

mod arms;
mod induction_heads;
mod scores;

pub use arms::{FraArm, FraArmsConfig, induction_arms};
pub use induction_heads::{InductionHead, RepeatedTokensConfig};
pub use scores::{AblatedText, FraAblation, FraEffect, FraRemoved, FraScores};
