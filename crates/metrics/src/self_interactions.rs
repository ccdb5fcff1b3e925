//! How many of the strongest pairs of features are a feature with itself.

use serde::{Deserialize, Serialize};

use crate::Interval;

/// Self-interactions among the strongest pairs of a head, beside three nulls.
///
/// Intervals are of 95 %. Those of `share` and `permuted` are Wilson's, as if each pair had come
/// among the strongest by itself; pairs that have a feature in common do not, so the truth is
/// rather wider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelfInteractions {
    /// The head.
    pub head: usize,
    /// Number of the strongest pairs.
    pub n_pairs: usize,
    /// How many of them are a feature with itself.
    pub n_self: usize,
    /// Their share.
    pub share: f64,
    /// Wilson's interval of the share; from 0 to 1 if there is no pair.
    pub share_interval: Interval,
    /// The same of every other head that was collected: what a head is like whatever it does.
    pub other_heads: Vec<f64>,
    /// The same where each key has the direction of another feature that occurs: what frequent
    /// features that occur together bring about, without how the head matches them. The features
    /// that a text is the first to have change places, as it is not known yet what later ones have.
    /// `None` if it was not collected.
    pub permuted: Option<f64>,
    /// Wilson's interval of that share.
    pub permuted_interval: Option<Interval>,
    /// The share among all pairs that occur as often as the strongest do.
    pub count_matched: f64,
    /// Where the share of as many pairs lies 95 % of the time or more, each drawn from all that
    /// occur as often as one of the strongest: a share outside is not what counts bring about.
    ///
    /// From the distribution of a sum of trials with different chances (Poisson's binomial), term
    /// by term up to 4096 pairs and as a normal one beyond.
    pub count_matched_interval: Interval,
}
