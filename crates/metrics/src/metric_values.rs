//! A metric of several arms of an experiment.

use serde::{Deserialize, Serialize};

/// A metric of every arm and seed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricValues {
    /// What it is called in files, such as `ce_loss_score`.
    pub name: String,
    /// What it is called in tables.
    pub label: String,
    /// What it says, in a sentence.
    pub note: String,
    /// Whether more is better; `None` where the verdict does not depend on it.
    pub higher_is_better: Option<bool>,
    /// `[n_arms, n_seeds]`
    pub by_arm: Vec<Vec<f64>>,
}
