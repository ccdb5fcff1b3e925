//! Losses: how far logits are from labels.

use attention_probes_activations::LabelKind;
use attention_probes_errors::ValueError;
use serde::{Deserialize, Serialize};

use crate::ProbeError;

/// How far a probe is from the labels, as training sees it; metrics always use the cross-entropy, or
/// the squared error of a number.
///
/// With `ce` the cross-entropy of an example and `p` the probability of its class:
///
/// ```text
/// cross_entropy     ce
/// focal             (1 - p)^gamma ce
/// softmax_weighted  Σ_t w[t] ce(m[t]),   m[t] the mean score of `window` tokens up to t,
///                   w = softmax over t of m / temperature
/// squared_error     ((output - y) / s)² / 2,   s the standard deviation of the training numbers
/// ```
///
/// The cross-entropy of several labels is the sum of theirs, and that of a distribution is to it. The
/// squared error is the negative log-likelihood of a normal distribution around the output, in nats
/// and up to a constant.
///
/// Focal: Lin et al., "Focal loss for dense object detection" (2017). Softmax-weighted, over means
/// of a sliding window: Anthropic, "Constitutional classifiers++" (2026); the gradient goes through
/// the weights too. Windows are those of [`Aggregation::RollingMax`](crate::Aggregation).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum Loss {
    /// Negative log-likelihood.
    #[default]
    CrossEntropy,
    /// Half the squared error of a number; what [`Loss::CrossEntropy`] stands for where labels are
    /// numbers.
    SquaredError,
    /// Cross-entropy that cares less for what is right already.
    Focal {
        /// At least 0; 0 is the cross-entropy.
        gamma: f64,
    },
    /// Cross-entropy of every window, the highest scores first; for a
    /// [`TokenScores`](crate::TokenScores) probe of two classes.
    SoftmaxWeighted {
        /// Tokens whose scores are averaged, at least 1.
        window: usize,
        /// Above 0; the higher, the more alike all windows weigh.
        temperature: f64,
    },
}

impl Loss {
    /// The loss for labels of a kind: the cross-entropy becomes the squared error of a number. `None`
    /// if there is none: the focal and the softmax-weighted loss are of classes.
    pub fn of_kind(self, kind: LabelKind) -> Option<Self> {
        match (self, kind) {
            (Self::CrossEntropy | Self::SquaredError, LabelKind::Number) => {
                Some(Self::SquaredError)
            }
            (Self::CrossEntropy, _)
            | (Self::Focal { .. } | Self::SoftmaxWeighted { .. }, LabelKind::Class) => Some(self),
            _ => None,
        }
    }

    /// Checks the parameters.
    ///
    /// # Errors
    ///
    /// [`ProbeError::Hyperparameter`] if one is out of range.
    pub fn check(&self) -> Result<(), ProbeError> {
        let (name, value, expected, is_right) = match *self {
            Self::CrossEntropy | Self::SquaredError => return Ok(()),
            Self::Focal { gamma } => {
                ("gamma", gamma, "0 or a number above it", gamma >= 0.0 && gamma.is_finite())
            }
            Self::SoftmaxWeighted { window: 0, .. } => ("window", 0.0, "at least 1", false),
            Self::SoftmaxWeighted { temperature, .. } => {
                let is_right = temperature > 0.0 && temperature.is_finite();
                ("temperature", temperature, "a number above 0", is_right)
            }
        };
        if is_right { Ok(()) } else { Err(ValueError::new(name, value, expected).into()) }
    }
}
