//! Evaluation of autoencoders: the definitions of `SAEBench` 0.6.0, with its quirks named, and the
//! right figure beside those that are wrong.

mod core_metrics;
mod recovered;
#[cfg(test)]
pub(crate) mod testing;
mod texts;
mod weights;

pub use core_metrics::{CoreBatch, CoreEvaluator, CoreMetrics, FeatureActivity, core_metrics};
pub use recovered::{
    Recovered, RecoveredSums, RecoveryConfig, ce_loss_score, cross_entropies, hook_of_sae,
    kl_div_score, kl_divergences, recovered,
};
pub use texts::TextActivations;
pub use weights::{FeatureWeights, feature_weights};
