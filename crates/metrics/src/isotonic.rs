//! Isotonic regression: the rising curve that is closest to the labels.

use serde::{Deserialize, Serialize};

use crate::ranking::Ranking;
use crate::{MetricError, check};

/// Turns a score into a probability by a rising curve through a few knots.
///
/// ```text
/// minimises Σ_i (p(z_i) - y_i)² over all p that do not fall
/// ```
///
/// By pooling adjacent violators (Ayer et al., 1955): examples of one score count as their mean,
/// and neighbours that fall are pooled into blocks. Within a block the curve is flat, between two
/// blocks a straight line, and outside all scores flat, as in scikit-learn's `IsotonicRegression`
/// with `out_of_bounds="clip"`. Needs more examples than the other two methods: with a few
/// hundred, it fits noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawIsotonic")]
pub struct Isotonic {
    scores: Vec<f64>,
    probabilities: Vec<f64>,
}

impl Isotonic {
    /// Fits the curve.
    ///
    /// # Errors
    ///
    /// - [`MetricError::OneClass`] if the labels are all alike
    /// - [`MetricError::NotFinite`], [`MetricError::Empty`] or [`MetricError::LengthMismatch`] if
    ///   the slices do not fit
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::metrics::Isotonic;
    ///
    /// // 2.0 and 3.0 are out of order, so both get their mean.
    /// let fitted = Isotonic::fit(&[1.0, 2.0, 3.0, 4.0], &[false, true, false, true])?;
    /// assert_eq!(fitted.apply(2.5), 0.5);
    /// assert_eq!(fitted.apply(3.5), 0.75);
    /// assert_eq!(fitted.apply(9.0), 1.0);
    /// # Ok::<(), attention_probes::metrics::MetricError>(())
    /// ```
    pub fn fit(scores: &[f64], labels: &[bool]) -> Result<Self, MetricError> {
        let ranking = Ranking::new(scores, labels)?;
        ranking.both_classes()?;

        let mut blocks: Vec<Block> = Vec::new();
        for tie in ranking.ties.iter().rev() {
            let n = tie.positives + tie.negatives;
            let mut block =
                Block { first: tie.score, last: tie.score, n_positives: tie.positives, n };
            while let Some(before) = blocks.pop_if(|before| !before.is_below(&block)) {
                block.first = before.first;
                block.n_positives += before.n_positives;
                block.n += before.n;
            }
            blocks.push(block);
        }

        let (mut scores, mut probabilities) = (Vec::new(), Vec::new());
        for block in &blocks {
            let probability = block.n_positives as f64 / block.n as f64;
            scores.push(block.first);
            probabilities.push(probability);
            if block.last > block.first {
                scores.push(block.last);
                probabilities.push(probability);
            }
        }
        Ok(Self { scores, probabilities })
    }

    /// Scores of the knots, not falling.
    pub fn scores(&self) -> &[f64] {
        &self.scores
    }

    /// Probabilities of the knots, not falling.
    pub fn probabilities(&self) -> &[f64] {
        &self.probabilities
    }

    /// Probability of the positive class; NaN of NaN.
    pub fn apply(&self, score: f64) -> f64 {
        if score.is_nan() {
            return score;
        }
        let above = self.scores.partition_point(|knot| *knot <= score);
        if above == 0 {
            return self.probabilities[0];
        }
        let below = above - 1;
        let Some(&next) = self.probabilities.get(above) else {
            return self.probabilities[below];
        };
        let (from, to) = (self.scores[below], self.scores[above]);
        // Halved, so that the widest distance does not overflow.
        let share = (score / 2.0 - from / 2.0) / (to / 2.0 - from / 2.0);
        let before = self.probabilities[below];
        // Two neighbours of the smallest numbers have the same half.
        if share.is_nan() { before } else { (before + (next - before) * share).clamp(before, next) }
    }
}

/// Isotonic regression as a file holds it.
#[derive(Deserialize)]
struct RawIsotonic {
    scores: Vec<f64>,
    probabilities: Vec<f64>,
}

impl TryFrom<RawIsotonic> for Isotonic {
    type Error = MetricError;

    fn try_from(raw: RawIsotonic) -> Result<Self, MetricError> {
        let RawIsotonic { scores, probabilities } = raw;
        check::not_empty("scores", &scores)?;
        check::length("probabilities", probabilities.len(), scores.len())?;
        check::finite("scores", &scores)?;
        check::probabilities("probabilities", &probabilities)?;
        if let Some(index) = scores.windows(2).position(|pair| pair[0] > pair[1]) {
            return Err(MetricError::NotRising { name: "scores", index: index + 1 });
        }
        if let Some(index) = probabilities.windows(2).position(|pair| pair[0] > pair[1]) {
            return Err(MetricError::NotRising { name: "probabilities", index: index + 1 });
        }
        Ok(Self { scores, probabilities })
    }
}

/// Neighbouring scores that share a probability.
struct Block {
    first: f64,
    last: f64,
    n_positives: usize,
    n: usize,
}

impl Block {
    /// Whether the mean of this block is below that of another, in whole numbers.
    fn is_below(&self, other: &Self) -> bool {
        (self.n_positives as u128) * (other.n as u128)
            < (other.n_positives as u128) * (self.n as u128)
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tied_scores_count_as_their_mean() {
        let labels = [true, false, true, true, true];
        let fitted = Isotonic::fit(&[1.0, 1.0, 1.0, 2.0, 2.0], &labels).unwrap();
        assert_eq!(fitted.scores(), [1.0, 2.0]);
        assert_eq!(fitted.probabilities(), [2.0 / 3.0, 1.0]);
    }

    #[test]
    fn falling_scores_give_one_block() {
        let fitted = Isotonic::fit(&[1.0, 2.0, 3.0], &[true, false, false]).unwrap();
        assert_eq!(fitted.probabilities(), [1.0 / 3.0; 2]);
        assert_eq!(fitted.apply(f64::NEG_INFINITY), 1.0 / 3.0);
        assert!(fitted.apply(f64::NAN).is_nan());
    }

    #[test]
    fn the_largest_scores_do_not_overflow() {
        let fitted = Isotonic::fit(&[-f64::MAX, f64::MAX], &[false, true]).unwrap();
        assert_eq!(fitted.apply(0.0), 0.5);
    }

    #[test]
    fn knots_that_fall_are_refused_in_json() {
        let read = |json| serde_json::from_str::<Isotonic>(json);
        assert!(read(r#"{"scores":[1.0,2.0],"probabilities":[0.1,0.4]}"#).is_ok());
        assert!(read(r#"{"scores":[2.0,1.0],"probabilities":[0.1,0.4]}"#).is_err());
        assert!(read(r#"{"scores":[1.0,2.0],"probabilities":[0.4,0.1]}"#).is_err());
        assert!(read(r#"{"scores":[],"probabilities":[]}"#).is_err());
    }

    proptest! {
        #[test]
        fn the_curve_is_the_min_max_of_the_means(
            examples in prop::collection::vec((0_i32..15, any::<bool>()), 2..40),
        ) {
            let scores: Vec<f64> = examples.iter().map(|example| f64::from(example.0)).collect();
            let labels: Vec<bool> = examples.iter().map(|example| example.1).collect();
            prop_assume!(labels.contains(&true) && labels.contains(&false));
            let fitted = Isotonic::fit(&scores, &labels).unwrap();
            // p(z) = max over a ≤ z of min over b ≥ z of the mean label between a and b.
            let mean = |a: f64, b: f64| {
                let inside = || scores.iter().zip(&labels).filter(|(s, _)| a <= **s && **s <= b);
                inside().filter(|(_, label)| **label).count() as f64 / inside().count() as f64
            };
            for &z in &scores {
                let expected = scores.iter().filter(|a| **a <= z).map(|&a| {
                    scores.iter().filter(|b| **b >= z).map(|&b| mean(a, b)).fold(1.0, f64::min)
                }).fold(0.0, f64::max);
                prop_assert!((fitted.apply(z) - expected).abs() < 1e-12);
            }
            let mut last = 0.0;
            for step in 0..160 {
                let probability = fitted.apply(f64::from(step) / 10.0 - 0.5);
                prop_assert!(probability >= last);
                last = probability;
            }
        }
    }
}
