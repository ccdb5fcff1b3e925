//! Platt scaling: a logistic regression on one score.

use attention_probes_errors::ValueError;
use attention_probes_kernels::{binary_cross_entropy, sigmoid};
use serde::{Deserialize, Serialize};

use crate::{MetricError, check};

/// Turns a score into a probability by a sigmoid with a slope and an intercept.
///
/// ```text
/// p = sigmoid(slope z + intercept)      maximises Σ_i t_i ln p_i + (1 - t_i) ln(1 - p_i)
/// t = (n₊ + 1) / (n₊ + 2) of positives, 1 / (n₋ + 2) of negatives
/// ```
///
/// Platt's method with the targets and Newton's method of Lin, Lin and Weng, "A note on Platt's
/// probabilistic outputs for support vector machines" (2007). The targets, short of 0 and 1, give
/// a finite slope also where a threshold separates the classes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawPlatt")]
pub struct Platt {
    slope: f64,
    intercept: f64,
}

impl Platt {
    /// Fits slope and intercept.
    ///
    /// # Errors
    ///
    /// - [`MetricError::Reversed`] if the best slope is not above 0
    /// - [`MetricError::Constant`] if the scores are all alike
    /// - [`MetricError::OneClass`] if the labels are all alike
    /// - [`MetricError::NotFinite`], [`MetricError::Empty`] or [`MetricError::LengthMismatch`] if
    ///   the slices do not fit
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::metrics::Platt;
    ///
    /// // The targets of two examples of each class are 3/4 and 1/4, so the logits are ±ln 3.
    /// let fitted = Platt::fit(&[1.0, 1.0, 3.0, 3.0], &[false, false, true, true])?;
    /// assert!((fitted.slope() - 3.0_f64.ln()).abs() < 1e-10);
    /// assert!((fitted.apply(3.0) - 0.75).abs() < 1e-10);
    /// # Ok::<(), attention_probes::metrics::MetricError>(())
    /// ```
    pub fn fit(scores: &[f64], labels: &[bool]) -> Result<Self, MetricError> {
        check::scores(scores, labels)?;
        let n_positives = labels.iter().filter(|&&label| label).count();
        let n_negatives = labels.len() - n_positives;
        if n_positives == 0 || n_negatives == 0 {
            return Err(MetricError::OneClass);
        }
        let lowest = scores.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // Scores from -1 to 1, so that nothing overflows and the two parameters are alike.
        let (centre, half_width) = (f64::midpoint(lowest, highest), highest / 2.0 - lowest / 2.0);
        if half_width == 0.0 {
            return Err(MetricError::Constant { name: "scores" });
        }

        let targets = [
            1.0 / (n_negatives as f64 + 2.0),
            (n_positives as f64 + 1.0) / (n_positives as f64 + 2.0),
        ];
        let examples: Vec<(f64, f64)> = scores
            .iter()
            .zip(labels)
            .map(|(score, &label)| ((score - centre) / half_width, targets[usize::from(label)]))
            .collect();
        let prior = (n_positives as f64 + 1.0).ln() - (n_negatives as f64 + 1.0).ln();
        let [slope, intercept] = newton(&examples, [0.0, prior]);
        if slope <= 0.0 {
            return Err(MetricError::Reversed);
        }
        Self::new(slope / half_width, intercept - slope * (centre / half_width))
    }

    fn new(slope: f64, intercept: f64) -> Result<Self, MetricError> {
        if slope <= 0.0 {
            let expected = "a number above 0";
            return Err(ValueError::new("slope", slope, expected).into());
        }
        check::finite("slope", &[slope])?;
        check::finite("intercept", &[intercept])?;
        Ok(Self { slope, intercept })
    }

    /// What the score is multiplied with, above 0.
    pub fn slope(&self) -> f64 {
        self.slope
    }

    /// Logit of a score of 0.
    pub fn intercept(&self) -> f64 {
        self.intercept
    }

    /// Probability of the positive class; NaN of NaN.
    pub fn apply(&self, score: f64) -> f64 {
        sigmoid(self.slope * score + self.intercept)
    }
}

/// Platt scaling as a file holds it.
#[derive(Deserialize)]
struct RawPlatt {
    slope: f64,
    intercept: f64,
}

impl TryFrom<RawPlatt> for Platt {
    type Error = MetricError;

    fn try_from(raw: RawPlatt) -> Result<Self, MetricError> {
        Self::new(raw.slope, raw.intercept)
    }
}

/// Minimises the cross-entropy of `(score, target)` by Newton's method with a line search.
fn newton(examples: &[(f64, f64)], start: [f64; 2]) -> [f64; 2] {
    let mut current = start;
    let mut loss = cross_entropy(examples, current);
    for _ in 0..100 {
        let p: Vec<f64> =
            examples.iter().map(|(score, _)| sigmoid(current[0] * score + current[1])).collect();
        let sum = |term: &dyn Fn(f64, f64, f64) -> f64| -> f64 {
            examples.iter().zip(&p).map(|((score, target), &p)| term(*score, *target, p)).sum()
        };
        let weight = sum(&|_, _, p| p * (1.0 - p));
        let mean = sum(&|score, _, p| p * (1.0 - p) * score) / weight;
        // In the basis of `score - mean` and 1 the Hessian is diagonal.
        let spread = sum(&|score, _, p| p * (1.0 - p) * (score - mean).powi(2));
        let tilt = sum(&|score, target, p| (target - p) * (score - mean));
        let shift = sum(&|_, target, p| target - p);
        let step = [tilt / spread, shift / weight - mean * tilt / spread];
        let fall = tilt * tilt / spread + shift * shift / weight;

        let mut size = 1.0;
        let (next, next_loss) = loop {
            let next = [current[0] + size * step[0], current[1] + size * step[1]];
            let next_loss = cross_entropy(examples, next);
            // Near the minimum the loss has no digits left to fall by.
            if next_loss <= loss - 1e-4 * size * fall + 1e-14 * loss {
                break (next, next_loss);
            }
            size /= 2.0;
            if size < 1e-10 {
                return current;
            }
        };
        let change = (next[0] - current[0]).abs().max((next[1] - current[1]).abs());
        (current, loss) = (next, next_loss);
        if change <= 1e-12 * (1.0 + current[0].abs().max(current[1].abs())) {
            break;
        }
    }
    current
}

/// The sum of the cross-entropies.
fn cross_entropy(examples: &[(f64, f64)], [slope, intercept]: [f64; 2]) -> f64 {
    examples
        .iter()
        .map(|(score, target)| binary_cross_entropy(slope * score + intercept, *target))
        .sum()
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn separable_scores_have_a_finite_slope() {
        let fitted = Platt::fit(&[-2.0, -1.0, 1.0, 2.0], &[false, false, true, true]).unwrap();
        assert!(fitted.slope() > 0.5 && fitted.slope() < 2.0);
        assert_relative_eq!(fitted.apply(0.0), 0.5, epsilon = 1e-12);
    }

    #[test]
    fn what_no_rising_sigmoid_fits_is_refused() {
        let fit = Platt::fit;
        assert_eq!(fit(&[2.0, 1.0], &[false, true]), Err(MetricError::Reversed));
        assert_eq!(fit(&[1.0, 1.0], &[false, true]), Err(MetricError::Constant { name: "scores" }));
        assert_eq!(fit(&[1.0, 2.0], &[true, true]), Err(MetricError::OneClass));
        assert!(matches!(
            fit(&[f64::INFINITY, 1.0], &[true, false]),
            Err(MetricError::NotFinite { name: "scores", index: 0, .. })
        ));
        assert!(serde_json::from_str::<Platt>(r#"{"slope":-1.0,"intercept":0.0}"#).is_err());
    }

    #[test]
    fn the_largest_scores_do_not_overflow() {
        let fitted = Platt::fit(&[-1e308, 1e308], &[false, true]).unwrap();
        assert_relative_eq!(fitted.apply(1e308), 2.0 / 3.0, epsilon = 1e-10);
    }

    proptest! {
        #[test]
        fn the_gradient_vanishes(
            examples in prop::collection::vec((-5.0..5.0_f64, any::<bool>()), 4..60),
        ) {
            let (scores, labels): (Vec<f64>, Vec<bool>) = examples.into_iter().unzip();
            let Ok(fitted) = Platt::fit(&scores, &labels) else { return Ok(()) };
            let n_positives = labels.iter().filter(|label| **label).count() as f64;
            let n_negatives = labels.len() as f64 - n_positives;
            let (mut slope, mut intercept) = (0.0, 0.0);
            for (score, label) in scores.iter().zip(&labels) {
                let target = if *label {
                    (n_positives + 1.0) / (n_positives + 2.0)
                } else {
                    1.0 / (n_negatives + 2.0)
                };
                slope += (fitted.apply(*score) - target) * score;
                intercept += fitted.apply(*score) - target;
            }
            prop_assert!(slope.abs() < 1e-8 && intercept.abs() < 1e-8, "{slope} {intercept}");
        }
    }
}
