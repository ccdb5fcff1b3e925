//! What a classifier says about examples: the probabilities, and the log-odds that rank.

use attention_probes_kernels::{sigmoid, softmax};

use crate::{MetricError, check};

/// Probabilities of every class, and the log-odds by which examples are ranked.
///
/// ```text
/// log_odds[i, c] = ln p[i, c] - ln(1 - p[i, c]) = logit[i, c] - logsumexp of the other logits of i
/// ```
///
/// Of two classes, the log-odds of class 1 are its logit itself. A probability says less: in `f64`
/// it is exactly 1 from a logit of 36.74 on, so examples that a classifier tells apart would tie.
/// Everything is computed in `f64`.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassScores {
    n_classes: usize,
    probabilities: Vec<f64>,
    log_odds: Vec<f64>,
}

impl ClassScores {
    /// Takes logits, of two classes the one of class 1.
    ///
    /// # Shapes
    ///
    /// - `logits`: `[n]` of two classes, `[n, n_classes]` of more, row-major
    ///
    /// # Errors
    ///
    /// - [`MetricError::NotFinite`] if a logit is NaN or infinite
    /// - [`MetricError::LengthMismatch`] if the last row is not whole
    /// - [`MetricError::Parameter`] if there are fewer than two classes
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::metrics::ClassScores;
    ///
    /// let scores = ClassScores::from_logits(&[100.0, 50.0], 2)?;
    /// assert_eq!(scores.probabilities()[1], scores.probabilities()[3]);
    /// assert!(scores.of_class(1)[0] > scores.of_class(1)[1]);
    /// # Ok::<(), attention_probes::metrics::MetricError>(())
    /// ```
    pub fn from_logits<T: Copy + Into<f64>>(
        logits: &[T],
        n_classes: usize,
    ) -> Result<Self, MetricError> {
        check::at_least_two_classes(n_classes)?;
        let logits: Vec<f64> = logits.iter().map(|&logit| logit.into()).collect();
        check::finite("logits", &logits)?;
        let n_out = if n_classes == 2 { 1 } else { n_classes };
        check::length("logits", logits.len(), logits.len() / n_out * n_out)?;
        let log_odds = if n_classes == 2 {
            logits.iter().flat_map(|&logit| [-logit, logit]).collect()
        } else {
            logits.chunks_exact(n_classes).flat_map(log_odds_of_logits).collect()
        };
        let probabilities = class_probabilities(&logits, n_classes);
        Ok(Self { n_classes, probabilities, log_odds })
    }

    /// Takes probabilities, where there are no logits.
    ///
    /// The log-odds are `ln p - ln(Σ of the other probabilities)`, so a probability that was
    /// rounded to 1 is ranked by what the others of its row still say.
    ///
    /// # Shapes
    ///
    /// - `probabilities`: `[n, n_classes]`, row-major
    ///
    /// # Errors
    ///
    /// - [`MetricError::NotAProbability`], [`MetricError::NotFinite`] or [`MetricError::RowSum`] if
    ///   a row is no distribution
    /// - [`MetricError::LengthMismatch`] if the last row is not whole
    /// - [`MetricError::Parameter`] if there are fewer than two classes
    pub fn from_probabilities(
        probabilities: &[f64],
        n_classes: usize,
    ) -> Result<Self, MetricError> {
        check::at_least_two_classes(n_classes)?;
        check::distributions(probabilities, n_classes)?;
        let rows = probabilities.chunks_exact(n_classes);
        Ok(Self {
            n_classes,
            log_odds: rows.flat_map(log_odds_of_probabilities).collect(),
            probabilities: probabilities.to_vec(),
        })
    }

    /// Number of classes.
    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// Number of examples.
    pub fn n_examples(&self) -> usize {
        self.probabilities.len() / self.n_classes
    }

    /// Probability of every class, `[n, n_classes]`, row-major.
    pub fn probabilities(&self) -> &[f64] {
        &self.probabilities
    }

    /// Log-odds of every class, `[n, n_classes]`, row-major.
    pub fn log_odds(&self) -> &[f64] {
        &self.log_odds
    }

    /// Log-odds of one class, `[n]`.
    ///
    /// # Panics
    ///
    /// If there is no such class.
    pub fn of_class(&self, class: usize) -> Vec<f64> {
        assert!(class < self.n_classes, "class {class} of {}", self.n_classes);
        self.log_odds.iter().skip(class).step_by(self.n_classes).copied().collect()
    }

    /// Checks the labels of the examples.
    pub(crate) fn check_labels(&self, labels: &[usize]) -> Result<(), MetricError> {
        check::not_empty("labels", labels)?;
        check::classes("labels", labels, self.n_classes)?;
        check::length("scores", self.n_examples(), labels.len())
    }

    /// Class of each example, as [`predicted_class`] at 0.5.
    pub fn predicted(&self) -> Vec<usize> {
        let rows = self.probabilities.chunks_exact(self.n_classes);
        rows.map(|row| predicted_class(row, 0.5)).collect()
    }

    /// Some of the examples.
    ///
    /// # Panics
    ///
    /// If an index is none of an example.
    #[must_use]
    pub fn select(&self, examples: &[usize]) -> Self {
        let rows = |values: &[f64]| {
            let row = |&i: &usize| values[i * self.n_classes..][..self.n_classes].to_vec();
            examples.iter().flat_map(row).collect()
        };
        Self {
            n_classes: self.n_classes,
            probabilities: rows(&self.probabilities),
            log_odds: rows(&self.log_odds),
        }
    }
}

/// Turns logits into probabilities, `[n, n_classes]`: the sigmoid of one logit for two classes, the
/// softmax of more. NaN stays NaN.
///
/// # Shapes
///
/// - `logits`: `[n]` of two classes, `[n, n_classes]` of more, row-major
pub fn class_probabilities<T: Copy + Into<f64>>(logits: &[T], n_classes: usize) -> Vec<f64> {
    if n_classes == 2 {
        let both = |&logit: &T| {
            let logit: f64 = logit.into();
            [sigmoid(-logit), sigmoid(logit)]
        };
        return logits.iter().flat_map(both).collect();
    }
    let mut probabilities = Vec::with_capacity(logits.len());
    for row in logits.chunks_exact(n_classes) {
        let start = probabilities.len();
        probabilities.extend(row.iter().map(|&logit| logit.into()));
        softmax(&mut probabilities[start..]);
    }
    probabilities
}

/// The class that probabilities stand for: of two, class 1 from `threshold` on; of more, the most
/// probable, of equals the first.
///
/// The threshold itself counts as class 1, as it does in
/// [`tpr_at_fpr`](crate::tpr_at_fpr). NaN is class 0.
///
/// # Shapes
///
/// - `probabilities`: `[n_classes]`
///
/// # Examples
///
/// ```
/// use attention_probes::metrics::predicted_class;
///
/// assert_eq!(predicted_class(&[0.4, 0.6], 0.5), 1);
/// assert_eq!(predicted_class(&[0.4, 0.6], 0.9), 0);
/// assert_eq!(predicted_class(&[0.2, 0.4, 0.4], 0.5), 1);
/// ```
pub fn predicted_class(probabilities: &[f64], threshold: f64) -> usize {
    if let [_, positive] = probabilities {
        return usize::from(*positive >= threshold);
    }
    let better = |best, (class, probability): (usize, &f64)| {
        if *probability > probabilities[best] { class } else { best }
    };
    probabilities.iter().enumerate().fold(0, better)
}

/// `z_c - logsumexp(z of the others)` of every class.
fn log_odds_of_logits(row: &[f64]) -> Vec<f64> {
    let [top, second] = two_largest(row);
    let powers: Vec<f64> = row.iter().map(|z| (z - row[top]).exp()).collect();
    let sum: f64 = powers.iter().sum();
    let odds = |(class, z): (usize, &f64)| {
        if class == top {
            // The others are summed by themselves: next to the largest they would be rounded away.
            let others = row.iter().enumerate().filter(|(other, _)| *other != top);
            let others: f64 = others.map(|(_, z)| (z - row[second]).exp()).sum();
            z - row[second] - others.ln()
        } else {
            z - row[top] - (sum - powers[class]).ln()
        }
    };
    row.iter().enumerate().map(odds).collect()
}

/// `ln p_c - ln Σ p of the others` of every class, finite also of 0 and 1.
fn log_odds_of_probabilities(row: &[f64]) -> Vec<f64> {
    let [top, _] = two_largest(row);
    let ln = |p: f64| p.max(f64::MIN_POSITIVE).ln();
    let sum: f64 = row.iter().sum();
    let odds = |(class, &p): (usize, &f64)| {
        if class == top {
            let others = row.iter().enumerate().filter(|(other, _)| *other != top);
            ln(p) - ln(others.map(|(_, p)| p).sum())
        } else {
            ln(p) - ln(sum - p)
        }
    };
    row.iter().enumerate().map(odds).collect()
}

/// Where the largest of at least two values is, and the largest of the others.
fn two_largest(row: &[f64]) -> [usize; 2] {
    let mut places = if row[1] > row[0] { [1, 0] } else { [0, 1] };
    for (place, value) in row.iter().enumerate().skip(2) {
        if *value > row[places[0]] {
            places = [place, places[0]];
        } else if *value > row[places[1]] {
            places[1] = place;
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use attention_probes_errors::ValueError;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn two_classes_are_ranked_by_their_logit() {
        let scores = ClassScores::from_logits(&[-3.0_f32, 900.0], 2).unwrap();
        assert_eq!(scores.log_odds(), [3.0, -3.0, -900.0, 900.0]);
        assert_eq!((scores.predicted(), scores.n_examples()), (vec![0, 1], 2));
        assert_eq!(scores.select(&[1]).of_class(1), [900.0]);
    }

    #[test]
    fn a_sure_class_of_several_keeps_its_order() {
        let scores = ClassScores::from_logits(&[90.0, 0.0, 1.0, 95.0, 0.0, 1.0], 3).unwrap();
        let probabilities = scores.probabilities();
        assert_eq!(probabilities[0].to_bits(), probabilities[3].to_bits());
        let first = 90.0 - (1.0 + 1.0_f64.exp()).ln();
        assert_relative_eq!(scores.of_class(0)[0], first, max_relative = 1e-15);
        assert_relative_eq!(scores.of_class(0)[1], first + 5.0, max_relative = 1e-15);
        assert_relative_eq!(scores.of_class(2)[0], 1.0 - 90.0, max_relative = 1e-15);
    }

    #[test]
    fn probabilities_of_0_and_1_are_ranked_by_what_is_left() {
        let rows = [0.0, 1.0, 1e-300, 1.0, 0.5, 0.5];
        let scores = ClassScores::from_probabilities(&rows, 2).unwrap();
        let odds = scores.of_class(1);
        assert!(odds[0] > odds[1] && odds[1] > 600.0 && odds[2] == 0.0, "{odds:?}");
        assert!(odds.iter().all(|odds| odds.is_finite()));
    }

    #[test]
    fn bad_input_is_refused() {
        let nan = ClassScores::from_logits(&[f32::NAN], 2);
        assert!(matches!(nan, Err(MetricError::NotFinite { name: "logits", .. })));
        let short = ClassScores::from_logits(&[1.0, 2.0], 3);
        assert!(matches!(short, Err(MetricError::LengthMismatch { name: "logits", .. })));
        let one = ClassScores::from_probabilities(&[1.0], 1);
        assert!(matches!(one, Err(MetricError::Parameter(ValueError { name: "n_classes", .. }))));
        let logits = ClassScores::from_probabilities(&[-2.3, 2.3], 2);
        assert!(matches!(logits, Err(MetricError::NotAProbability { index: 0, .. })));
    }

    proptest! {
        #[test]
        fn log_odds_are_those_of_the_probabilities(
            row in prop::collection::vec(-8.0..8.0_f64, 2..9),
        ) {
            let n_classes = row.len();
            let logits = if n_classes == 2 { vec![row[1] - row[0]] } else { row };
            let scores = ClassScores::from_logits(&logits, n_classes).unwrap();
            let again = ClassScores::from_probabilities(scores.probabilities(), n_classes).unwrap();
            let pairs = scores.log_odds().iter().zip(again.log_odds()).zip(scores.probabilities());
            for ((odds, again), p) in pairs {
                prop_assert!((odds - again).abs() < 1e-9, "{odds} {again}");
                prop_assert!((odds - (p / (1.0 - p)).ln()).abs() < 1e-6, "{odds} {p}");
            }
        }
    }
}
