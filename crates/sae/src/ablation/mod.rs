//! Ablations of guidance: which autoencoders are compared, and what their metrics say.

mod config;
mod verdict;

pub use config::{AblationConfig, AblationData, AblationEvaluation, AblationSae, Arm, ArmRole};
pub use verdict::{AblationVerdict, ArmDifference, MetricValues};
