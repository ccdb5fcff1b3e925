//! Losses: how far logits are from labels.

use attention_probes_errors::ValueError;
use serde::{Deserialize, Serialize};

use crate::ProbeError;

/// How far a probe is from the labels, as training sees it; metrics always use the cross-entropy.
///
/// With `ce` the cross-entropy of an example and `p` the probability of its class:
///
/// ```text
/// cross_entropy     ce
/// focal             (1 - p)^gamma ce
/// softmax_weighted  Σ_t w[t] ce(m[t]),   m[t] the mean score of `window` tokens up to t,
///                   w = softmax over t of m / temperature
/// ```
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
    /// Checks the parameters.
    ///
    /// # Errors
    ///
    /// [`ProbeError::Hyperparameter`] if one is out of range.
    pub fn check(&self) -> Result<(), ProbeError> {
        let (name, value, expected, is_right) = match *self {
            Self::CrossEntropy => return Ok(()),
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
