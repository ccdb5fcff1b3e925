//! Confusion matrix, and the metrics that need nothing else.

use serde::{Deserialize, Serialize};

use crate::{MetricError, check};

/// How often each class was predicted for each true class.
///
/// Serialises as its counts, a list of rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Vec<usize>>", into = "Vec<Vec<usize>>")]
pub struct ConfusionMatrix {
    counts: Vec<Vec<usize>>,
}

impl ConfusionMatrix {
    /// Counts the pairs of true class and predicted class.
    ///
    /// # Errors
    ///
    /// - [`MetricError::Empty`] if there is no label
    /// - [`MetricError::LengthMismatch`] if the two slices differ in length
    /// - [`MetricError::LabelOutOfRange`] if a class is not below `n_classes`
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::metrics::ConfusionMatrix;
    ///
    /// let confusion = ConfusionMatrix::new(&[0, 1, 1, 1], &[0, 1, 1, 0], 2)?;
    /// assert_eq!(confusion.counts(), [[1, 0], [1, 2]]);
    /// assert_eq!(confusion.accuracy(), 0.75);
    /// # Ok::<(), attention_probes::metrics::MetricError>(())
    /// ```
    pub fn new(
        labels: &[usize],
        predictions: &[usize],
        n_classes: usize,
    ) -> Result<Self, MetricError> {
        check::not_empty("labels", labels)?;
        check::length("predictions", predictions.len(), labels.len())?;
        check::classes("labels", labels, n_classes)?;
        check::classes("predictions", predictions, n_classes)?;

        let mut counts = vec![vec![0; n_classes]; n_classes];
        for (&label, &prediction) in labels.iter().zip(predictions) {
            counts[label][prediction] += 1;
        }
        Ok(Self { counts })
    }

    /// Counts, one row for each true class, one column for each predicted class.
    pub fn counts(&self) -> &[Vec<usize>] {
        &self.counts
    }

    /// Number of classes.
    pub fn n_classes(&self) -> usize {
        self.counts.len()
    }

    /// Number of examples.
    pub fn n_examples(&self) -> usize {
        self.counts.iter().flatten().sum()
    }

    /// Share of the examples that were predicted correctly.
    pub fn accuracy(&self) -> f64 {
        ratio(self.n_correct(), self.n_examples())
    }

    /// Mean recall over the classes that occur among the labels.
    pub fn balanced_accuracy(&self) -> f64 {
        mean(
            (0..self.n_classes())
                .filter(|&class| self.support(class) > 0)
                .map(|class| self.recall(class)),
        )
    }

    /// Share of the predictions of `class` that are right; 0 if it was never predicted.
    ///
    /// # Panics
    ///
    /// If `class` is not below the number of classes.
    pub fn precision(&self, class: usize) -> f64 {
        ratio(self.counts[class][class], self.n_predicted(class))
    }

    /// Share of the examples of `class` that were found; 0 if there is none.
    ///
    /// # Panics
    ///
    /// If `class` is not below the number of classes.
    pub fn recall(&self, class: usize) -> f64 {
        ratio(self.counts[class][class], self.support(class))
    }

    /// Harmonic mean of precision and recall of `class`; 0 where both are undefined.
    ///
    /// # Panics
    ///
    /// If `class` is not below the number of classes.
    pub fn f1(&self, class: usize) -> f64 {
        ratio(2 * self.counts[class][class], self.support(class) + self.n_predicted(class))
    }

    /// Mean F1 over the classes that occur among the labels or the predictions.
    pub fn macro_f1(&self) -> f64 {
        mean(
            (0..self.n_classes())
                .filter(|&class| self.support(class) + self.n_predicted(class) > 0)
                .map(|class| self.f1(class)),
        )
    }

    /// Matthews correlation coefficient, from -1 to 1; 0 where it is undefined.
    ///
    /// ```text
    /// mcc = (c s - Σ_k p_k t_k) / sqrt((s² - Σ_k p_k²) (s² - Σ_k t_k²))
    /// ```
    ///
    /// With `s` examples, `c` of them correct, `t_k` of true and `p_k` of predicted class `k`:
    /// Gorodkin, "Comparing two K-category assignments by a K-category correlation coefficient"
    /// (2004), equation 8. Undefined where all labels, or all predictions, are of one class.
    pub fn mcc(&self) -> f64 {
        let n_examples = self.n_examples() as f64;
        let [mut both, mut predicted, mut labelled] = [0.0; 3];
        for class in 0..self.n_classes() {
            let (p, t) = (self.n_predicted(class) as f64, self.support(class) as f64);
            both += p * t;
            predicted += p * p;
            labelled += t * t;
        }
        let covariance = self.n_correct() as f64 * n_examples - both;
        let variance_predicted = n_examples * n_examples - predicted;
        let variance_labelled = n_examples * n_examples - labelled;
        if variance_predicted == 0.0 || variance_labelled == 0.0 {
            return 0.0;
        }
        covariance / (variance_predicted.sqrt() * variance_labelled.sqrt())
    }

    /// Number of examples that were predicted correctly.
    pub fn n_correct(&self) -> usize {
        (0..self.n_classes()).map(|class| self.counts[class][class]).sum()
    }

    /// Number of examples of `class`.
    fn support(&self, class: usize) -> usize {
        self.counts[class].iter().sum()
    }

    /// Number of examples predicted to be of `class`.
    fn n_predicted(&self, class: usize) -> usize {
        self.counts.iter().map(|row| row[class]).sum()
    }
}

impl TryFrom<Vec<Vec<usize>>> for ConfusionMatrix {
    type Error = MetricError;

    fn try_from(counts: Vec<Vec<usize>>) -> Result<Self, MetricError> {
        for row in &counts {
            check::length("confusion", row.len(), counts.len())?;
        }
        Ok(Self { counts })
    }
}

impl From<ConfusionMatrix> for Vec<Vec<usize>> {
    fn from(confusion: ConfusionMatrix) -> Self {
        confusion.counts
    }
}

/// A ratio of counts; 0 where the whole is 0.
fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The mean; 0 of nothing.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0), |(sum, n), value| (sum + value, n + 1));
    if n == 0 { 0.0 } else { sum / f64::from(n) }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    use super::*;

    /// Three classes: 4 of 5, 2 of 3, and 0 of 2 correct.
    fn three_classes() -> ConfusionMatrix {
        let labels = [0, 0, 0, 0, 0, 1, 1, 1, 2, 2];
        let predictions = [0, 0, 0, 0, 1, 1, 1, 0, 0, 1];
        ConfusionMatrix::new(&labels, &predictions, 3).unwrap()
    }

    #[test]
    fn metrics_equal_the_values_worked_out_by_hand() {
        let confusion = three_classes();
        assert_eq!(confusion.counts(), [[4, 1, 0], [1, 2, 0], [1, 1, 0]]);
        assert_relative_eq!(confusion.accuracy(), 0.6);
        assert_relative_eq!(confusion.balanced_accuracy(), (0.8 + 2.0 / 3.0) / 3.0);
        assert_relative_eq!(confusion.precision(0), 4.0 / 6.0);
        assert_relative_eq!(confusion.recall(1), 2.0 / 3.0);
        assert_relative_eq!(confusion.f1(0), 8.0 / 11.0);
        assert_relative_eq!(confusion.precision(2), 0.0);
        assert_relative_eq!(confusion.macro_f1(), (8.0 / 11.0 + 4.0 / 7.0) / 3.0);
        // c s - Σ p t = 60 - (30 + 12 + 0); s² - Σ p² = 100 - 52; s² - Σ t² = 100 - 38.
        assert_relative_eq!(confusion.mcc(), 18.0 / (48.0_f64 * 62.0).sqrt());
    }

    #[test]
    fn mcc_is_zero_where_one_side_has_one_class() {
        let confusion = ConfusionMatrix::new(&[0, 1, 1], &[1, 1, 1], 2).unwrap();
        assert_eq!(confusion.mcc(), 0.0);
    }

    #[test]
    fn balanced_accuracy_leaves_out_classes_without_labels() {
        let confusion = ConfusionMatrix::new(&[0, 0, 1], &[0, 2, 1], 4).unwrap();
        assert_relative_eq!(confusion.balanced_accuracy(), 0.75);
    }

    #[test]
    fn bad_input_is_refused() {
        assert_eq!(ConfusionMatrix::new(&[], &[], 2), Err(MetricError::Empty { name: "labels" }));
        assert_eq!(
            ConfusionMatrix::new(&[0, 1], &[0], 2),
            Err(MetricError::LengthMismatch { name: "predictions", length: 1, expected: 2 })
        );
        assert_eq!(
            ConfusionMatrix::new(&[0, 2], &[0, 0], 2),
            Err(MetricError::LabelOutOfRange { name: "labels", index: 1, label: 2, n_classes: 2 })
        );
    }

    #[test]
    fn json_is_a_list_of_rows_and_must_be_square() {
        let confusion = ConfusionMatrix::new(&[0, 1], &[0, 0], 2).unwrap();
        let json = serde_json::to_string(&confusion).unwrap();
        assert_eq!(json, "[[1,0],[1,0]]");
        assert_eq!(serde_json::from_str::<ConfusionMatrix>(&json).unwrap(), confusion);
        assert!(serde_json::from_str::<ConfusionMatrix>("[[1,0],[1]]").is_err());
    }

    proptest! {
        #[test]
        fn renaming_the_classes_changes_nothing(
            pairs in prop::collection::vec((0_usize..4, 0_usize..4), 1..60),
            shift in 0_usize..4,
        ) {
            let (labels, predictions): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
            let rename = |classes: &[usize]| -> Vec<usize> {
                classes.iter().map(|class| (class + shift) % 4).collect()
            };
            let before = ConfusionMatrix::new(&labels, &predictions, 4).unwrap();
            let after = ConfusionMatrix::new(&rename(&labels), &rename(&predictions), 4).unwrap();
            prop_assert_eq!(before.accuracy(), after.accuracy());
            prop_assert!((before.balanced_accuracy() - after.balanced_accuracy()).abs() < 1e-12);
            prop_assert!((before.macro_f1() - after.macro_f1()).abs() < 1e-12);
            prop_assert!((before.mcc() - after.mcc()).abs() < 1e-12);
        }

        #[test]
        fn mcc_does_not_ask_which_side_is_true(
            pairs in prop::collection::vec((0_usize..3, 0_usize..3), 1..60),
        ) {
            let (labels, predictions): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
            let forward = ConfusionMatrix::new(&labels, &predictions, 3).unwrap().mcc();
            let backward = ConfusionMatrix::new(&predictions, &labels, 3).unwrap().mcc();
            prop_assert!((forward - backward).abs() < 1e-12);
            prop_assert!((-1.0 - 1e-12..=1.0 + 1e-12).contains(&forward));
        }
    }
}
