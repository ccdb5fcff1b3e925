//! What the outputs of a probe are, where they need not be classes.

use attention_probes_kernels::sigmoid;
use attention_probes_metrics::{MultilabelReport, RegressionReport};
use serde::{Deserialize, Serialize};

use crate::probabilities_from_logits;

/// What the outputs of a probe are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outputs {
    /// Logits of classes that exclude each other.
    #[default]
    Classes,
    /// One logit for each of several labels, which exclude nothing.
    Labels,
    /// A number as it is.
    Number,
}

impl Outputs {
    /// Whether they are classes.
    pub fn are_classes(&self) -> bool {
        *self == Self::Classes
    }

    /// What logits `[n_out]` say: the probability of each class `[n_classes]` or of each label
    /// `[n_out]`, or the number.
    pub fn values(&self, logits: &[f32], n_classes: usize) -> Vec<f64> {
        match self {
            Self::Classes => probabilities_from_logits(logits, n_classes),
            Self::Labels => logits.iter().map(|&logit| sigmoid(f64::from(logit))).collect(),
            Self::Number => logits.iter().map(|&logit| f64::from(logit)).collect(),
        }
    }
}

/// Metrics of a probe whose outputs are no classes, on data that it was not trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputMetrics {
    /// Of a number.
    Number {
        /// On the data that chose the penalty.
        validation: RegressionReport,
        /// On data that nothing was chosen by.
        test: RegressionReport,
    },
    /// Of several labels, each there from probability 1/2 on.
    Labels {
        /// On the data that chose the penalties.
        validation: MultilabelReport,
        /// On data that nothing was chosen by.
        test: MultilabelReport,
    },
}
