//! What the outputs of a probe are, where they need not be classes.

use attention_probes_activations::LabelKind;
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
    /// The outputs of a probe of labels of a kind.
    pub fn of(kind: LabelKind) -> Self {
        match kind {
            LabelKind::Class | LabelKind::Distribution => Self::Classes,
            LabelKind::Number => Self::Number,
            LabelKind::Labels => Self::Labels,
        }
    }

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

/// What the output of a probe of a number stands for: `mean + scale · output`.
///
/// Probes are trained on numbers of mean 0 and standard deviation 1, so that the same learning rates
/// and weight decays suit ages and populations; mean and standard deviation of the training numbers
/// then belong to the probe.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputScale {
    /// What is added.
    pub mean: f64,
    /// What outputs are multiplied with before, above 0.
    pub scale: f64,
}

impl Default for OutputScale {
    /// Outputs as they are.
    fn default() -> Self {
        Self { mean: 0.0, scale: 1.0 }
    }
}

impl OutputScale {
    /// Mean and standard deviation of numbers; a scale of 1 where they are all equal.
    pub fn of(numbers: &[f64]) -> Self {
        let n = numbers.len().max(1) as f64;
        let mean = numbers.iter().map(|number| number / n).sum::<f64>();
        let variance = numbers.iter().map(|number| (number - mean).powi(2) / n).sum::<f64>();
        let scale = variance.sqrt();
        Self { mean, scale: if scale > 0.0 && scale.is_finite() { scale } else { 1.0 } }
    }

    /// The same without the mean.
    #[must_use]
    pub fn without_mean(self) -> Self {
        Self { mean: 0.0, ..self }
    }

    /// Whether outputs stay as they are.
    pub fn is_identity(&self) -> bool {
        *self == Self::default()
    }

    /// The number that an output stands for.
    pub fn apply(&self, output: f32) -> f32 {
        (self.mean + self.scale * f64::from(output)) as f32
    }

    /// As [`OutputScale::apply`], of many, in place.
    pub(crate) fn apply_all(&self, outputs: &mut [f32]) {
        if !self.is_identity() {
            for output in outputs {
                *output = self.apply(*output);
            }
        }
    }

    /// The output that stands for a number.
    pub fn invert(&self, number: f64) -> f64 {
        (number - self.mean) / self.scale
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
