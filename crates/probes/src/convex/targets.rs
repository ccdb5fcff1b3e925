//! What a logistic regression is to predict: classes, distributions over classes, or several labels.

use crate::{LabelKind, Labels, ProbeError, n_out};

/// Largest distance of a distribution's sum from 1.
const SUM_TOLERANCE: f32 = 1e-4;

/// Targets of a logistic regression, checked.
///
/// | made by | outputs |
/// |---|---|
/// | [`LogisticTargets::classes`] | one logit for two classes, else a softmax |
/// | [`LogisticTargets::distributions`] | the same, of soft labels |
/// | [`LogisticTargets::multilabel`] | one logit per label, each a problem of its own |
#[derive(Clone, Debug, PartialEq)]
pub struct LogisticTargets {
    /// `[n_examples, n_columns]`
    values: Vec<f32>,
    n_columns: usize,
    is_softmax: bool,
}

impl LogisticTargets {
    /// One class per example.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::Hyperparameter`] if `n_classes` is below 2.
    /// - [`ProbeError::LabelOutOfRange`] if a label is no class.
    /// - [`ProbeError::NoExamples`] if there is no label.
    /// - [`ProbeError::OneClass`] if all labels are the same.
    pub fn classes(labels: &[usize], n_classes: usize) -> Result<Self, ProbeError> {
        check_labels(labels, n_classes)?;
        let n_columns = n_out(n_classes);
        let mut values = vec![0.0; labels.len() * n_columns];
        for (row, &label) in values.chunks_exact_mut(n_columns).zip(labels) {
            match row {
                [value] => *value = label as f32,
                row => row[label] = 1.0,
            }
        }
        Ok(Self { values, n_columns, is_softmax: n_columns > 1 })
    }

    /// Classes, several labels, or distributions, as they are.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::LossOfLabels`] if they are numbers.
    /// - as [`LogisticTargets::classes`], [`LogisticTargets::multilabel`], or
    ///   [`LogisticTargets::distributions`].
    pub fn of_labels(labels: &Labels) -> Result<Self, ProbeError> {
        let n_names = labels.names.len();
        let values = || labels.numbers().iter().map(|&value| value as f32).collect::<Vec<f32>>();
        match labels.kind() {
            LabelKind::Class => Self::classes(labels.classes(), n_names),
            LabelKind::Labels => Self::multilabel(&values(), n_names),
            LabelKind::Distribution => Self::distributions(&values(), n_names),
            LabelKind::Number => Err(ProbeError::LossOfLabels { kind: labels.kind().as_str() }),
        }
    }

    /// A distribution over the classes per example: soft labels.
    ///
    /// # Shapes
    ///
    /// - `values`: `[n_examples, n_classes]`, each row from 0 on with the sum 1
    ///
    /// # Errors
    ///
    /// - [`ProbeError::Hyperparameter`] if `n_classes` is below 2.
    /// - [`ProbeError::NoExamples`] if there are no rows.
    /// - [`ProbeError::SizeMismatch`] if the last row is short.
    /// - [`ProbeError::BadTarget`] if a number is not from 0 to 1, or a sum is not 1.
    /// - [`ProbeError::OneClass`] if all examples are wholly of one class.
    pub fn distributions(values: &[f32], n_classes: usize) -> Result<Self, ProbeError> {
        crate::state::check_n_classes(n_classes)?;
        check_targets(values, n_classes)?;
        for (example, row) in values.chunks_exact(n_classes).enumerate() {
            let sum: f32 = row.iter().sum();
            if (sum - 1.0).abs() > SUM_TOLERANCE {
                let expected = "numbers with the sum 1";
                return Err(ProbeError::BadTarget { example, value: sum, expected });
            }
        }
        let is_whole =
            |class: usize| values.iter().skip(class).step_by(n_classes).all(|&p| p >= 1.0);
        if let Some(class) = (0..n_classes).find(|&class| is_whole(class)) {
            let n_examples = values.len() / n_classes;
            return Err(ProbeError::OneClass { class: class.to_string(), n_examples });
        }
        if n_classes == 2 {
            let values = values.iter().skip(1).step_by(2).copied().collect();
            return Ok(Self { values, n_columns: 1, is_softmax: false });
        }
        Ok(Self { values: values.to_vec(), n_columns: n_classes, is_softmax: true })
    }

    /// Any number of independent labels per example, each a probability that it applies.
    ///
    /// # Shapes
    ///
    /// - `values`: `[n_examples, n_labels]`, from 0 to 1
    ///
    /// # Errors
    ///
    /// - [`ProbeError::NoExamples`] if there are no rows.
    /// - [`ProbeError::SizeMismatch`] if the last row is short.
    /// - [`ProbeError::BadTarget`] if a number is not from 0 to 1.
    /// - [`ProbeError::OneClass`] if a label applies to every example, or to none.
    pub fn multilabel(values: &[f32], n_labels: usize) -> Result<Self, ProbeError> {
        check_targets(values, n_labels)?;
        for label in 0..n_labels {
            let mut of_label = values.iter().skip(label).step_by(n_labels);
            let class = if of_label.clone().all(|&p| p <= 0.0) {
                "no"
            } else if of_label.all(|&p| p >= 1.0) {
                "yes"
            } else {
                continue;
            };
            let n_examples = values.len() / n_labels;
            return Err(ProbeError::OneClass {
                class: format!("{class} of label {label}"),
                n_examples,
            });
        }
        Ok(Self { values: values.to_vec(), n_columns: n_labels, is_softmax: false })
    }

    /// Returns the number of examples.
    pub fn n_examples(&self) -> usize {
        self.values.len() / self.n_columns
    }

    /// Returns the number of independent labels, 1 but for [`LogisticTargets::multilabel`].
    pub fn n_labels(&self) -> usize {
        if self.is_softmax { 1 } else { self.n_columns }
    }

    /// Returns the number of classes of each label.
    pub fn n_classes(&self) -> usize {
        if self.is_softmax { self.n_columns } else { 2 }
    }

    /// Logits of each label: 1, or one per class.
    pub(super) fn n_logits(&self) -> usize {
        n_out(self.n_classes())
    }

    /// Returns the numbers of an example: one per label, or one per class.
    ///
    /// # Panics
    ///
    /// If there is no such example.
    #[inline]
    pub fn row(&self, example: usize) -> &[f32] {
        &self.values[example * self.n_columns..][..self.n_columns]
    }

    /// Probability of each class of a label, `[n_classes]`.
    pub(super) fn distribution(&self, example: usize, label: usize) -> Vec<f64> {
        let row = self.row(example);
        if self.is_softmax {
            return row.iter().map(|&p| f64::from(p)).collect();
        }
        let p = f64::from(row[label]);
        vec![1.0 - p, p]
    }

    /// The likeliest class of a label; of equals the first.
    pub(super) fn class(&self, example: usize, label: usize) -> usize {
        let row = self.distribution(example, label);
        let highest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        row.iter().position(|&p| p >= highest).unwrap_or_default()
    }
}

/// Refuses targets other than classes, and labels of one class only.
pub(super) fn check_labels(labels: &[usize], n_classes: usize) -> Result<(), ProbeError> {
    crate::state::check_n_classes(n_classes)?;
    let Some(first) = labels.first() else {
        return Err(ProbeError::NoExamples { n_skipped: 0 });
    };
    if let Some(example) = labels.iter().position(|&label| label >= n_classes) {
        let label = labels[example];
        return Err(ProbeError::LabelOutOfRange { example, label, n_classes });
    }
    if labels.iter().all(|label| label == first) {
        return Err(ProbeError::OneClass { class: first.to_string(), n_examples: labels.len() });
    }
    Ok(())
}

fn check_targets(values: &[f32], n_columns: usize) -> Result<(), ProbeError> {
    if values.is_empty() || n_columns == 0 {
        return Err(ProbeError::NoExamples { n_skipped: 0 });
    }
    if !values.len().is_multiple_of(n_columns) {
        let expected = values.len().next_multiple_of(n_columns);
        let what = "the number of targets of all examples";
        return Err(ProbeError::SizeMismatch { what, found: values.len(), expected });
    }
    if let Some(index) = values.iter().position(|value| !(0.0..=1.0).contains(value)) {
        let (example, value) = (index / n_columns, values[index]);
        return Err(ProbeError::BadTarget { example, value, expected: "a number from 0 to 1" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_classes_are_one_number_and_three_are_three() {
        let two = LogisticTargets::classes(&[0, 1, 1], 2).unwrap();
        assert_eq!((two.n_logits(), two.n_classes(), two.row(2)), (1, 2, &[1.0_f32][..]));
        let three = LogisticTargets::classes(&[2, 0], 3).unwrap();
        assert_eq!((three.n_logits(), three.row(0)), (3, &[0.0, 0.0, 1.0_f32][..]));
        assert_eq!(three.class(0, 0), 2);
        let soft = LogisticTargets::distributions(&[0.25, 0.75, 1.0, 0.0], 2).unwrap();
        assert_eq!((soft.n_logits(), soft.row(0), soft.class(0, 0)), (1, &[0.75_f32][..], 1));
    }

    #[test]
    fn labels_are_problems_of_their_own() {
        let targets = LogisticTargets::multilabel(&[0.0, 1.0, 1.0, 0.0, 1.0, 1.0], 2).unwrap();
        assert_eq!((targets.n_labels(), targets.n_logits(), targets.n_examples()), (2, 1, 3));
        assert_eq!((targets.class(0, 0), targets.class(0, 1)), (0, 1));
    }

    #[test]
    fn targets_that_say_nothing_or_too_much_are_refused() {
        let text = |result: Result<LogisticTargets, ProbeError>| result.unwrap_err().to_string();
        assert_eq!(
            text(LogisticTargets::classes(&[1, 1], 2)),
            "all 2 examples have class `1`; give examples of at least two classes"
        );
        assert!(text(LogisticTargets::classes(&[0, 2], 2)).starts_with("example 1 has label 2"));
        assert!(
            text(LogisticTargets::multilabel(&[0.0, 1.0, 0.0, 0.0], 2)).contains("no of label 0")
        );
        assert_eq!(
            text(LogisticTargets::distributions(&[0.5, 0.5, 0.5, 0.75], 2)),
            "the target of example 1 is 1.25, expected numbers with the sum 1"
        );
        assert!(text(LogisticTargets::multilabel(&[f32::NAN], 1)).contains("NaN"));
        assert!(matches!(LogisticTargets::classes(&[], 2), Err(ProbeError::NoExamples { .. })));
    }
}
