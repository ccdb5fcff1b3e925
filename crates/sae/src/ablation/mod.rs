//! Ablations of guidance: which autoencoders are compared, and what their metrics say.

mod config;
mod measure;
mod metrics;
mod opened;
mod run;
mod verdict;

pub use attention_probes_metrics::MetricValues;
pub use config::{AblationConfig, AblationData, AblationEvaluation, AblationSae, Arm, ArmRole};
pub use run::{AblationReport, ArmReport, run_ablation, run_ablation_on};
pub use verdict::{AblationVerdict, ArmDifference};
