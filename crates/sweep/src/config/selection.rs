//! How a trial is chosen, and the epoch whose weights are kept.

use serde::{Deserialize, Serialize};

/// Metric that chooses a trial, on validation; the lower loss breaks ties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SelectBy {
    /// Mean recall over the classes.
    #[default]
    BalancedAccuracy,
    /// Share of right answers.
    Accuracy,
    /// Area under the ROC curve; binary tasks only.
    Auroc,
    /// Mean loss, the lower the better.
    Loss,
}

/// Which weights of a trial are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// Those after the last epoch.
    #[default]
    Last,
    /// Those after the epoch that validation likes best, by the metric that trials are chosen by.
    Best,
}
