//! What a classifier has to beat.

use serde::{Deserialize, Serialize};

use crate::{Interval, PairAccuracy};

/// What a probe has to beat, on the test examples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Baselines {
    /// Accuracy of always saying the most frequent class; its balanced accuracy is one over the
    /// number of classes.
    pub majority_accuracy: f64,
    /// Balanced accuracy of the most frequent class.
    pub majority_balanced_accuracy: f64,
    /// Logistic regression on token counts, where there are tokens.
    pub bag_of_words: Option<BagOfWordsBaseline>,
}

/// Logistic regression on token counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BagOfWordsBaseline {
    /// Mean recall over the classes.
    pub balanced_accuracy: f64,
    /// Its 95 % bootstrap interval.
    pub interval: Interval,
    /// Penalty on half the squared weights, chosen on validation.
    pub penalty: f64,
    /// Of minimal pairs, how often it gives the good text the higher logit; absent where the data
    /// are no pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair_accuracy: Option<PairAccuracy>,
}

/// Probes that were trained on shuffled labels, judged on the true ones.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ControlReport {
    /// How many of them did not diverge.
    #[serde(default = "once")]
    pub n_shuffles: usize,
    /// Mean recall over the classes, on test, and the mean of it over the probes: by chance, one
    /// over the number of classes. `None` if all diverged.
    pub balanced_accuracy: Option<f64>,
    /// Its 95 % bootstrap interval, if there is one probe.
    pub interval: Option<Interval>,
    /// Lowest and highest balanced accuracy, if there are several.
    pub range: Option<(f64, f64)>,
}

/// What it was before there could be several.
fn once() -> usize {
    1
}
