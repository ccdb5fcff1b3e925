//! The checks that every metric begins with.

use attention_probes_errors::ValueError;

use crate::MetricError;

/// How far a probability may lie outside 0 to 1: the rounding of an `f32` softmax.
const PROBABILITY_TOLERANCE: f64 = 1e-5;

/// How far the probabilities of one example may sum from 1: bf16 keeps about 3 digits.
const ROW_SUM_TOLERANCE: f64 = 1e-2;

/// Refuses an empty argument.
pub(crate) fn not_empty<T>(name: &'static str, values: &[T]) -> Result<(), MetricError> {
    if values.is_empty() { Err(MetricError::Empty { name }) } else { Ok(()) }
}

/// Refuses a length other than the expected one.
pub(crate) fn length(
    name: &'static str,
    length: usize,
    expected: usize,
) -> Result<(), MetricError> {
    if length == expected {
        Ok(())
    } else {
        Err(MetricError::LengthMismatch { name, length, expected })
    }
}

/// Refuses a class index that is not below `n_classes`.
pub(crate) fn classes(
    name: &'static str,
    labels: &[usize],
    n_classes: usize,
) -> Result<(), MetricError> {
    match labels.iter().position(|&label| label >= n_classes) {
        None => Ok(()),
        Some(index) => {
            Err(MetricError::LabelOutOfRange { name, index, label: labels[index], n_classes })
        }
    }
}

/// Refuses NaN and infinities.
pub(crate) fn finite(name: &'static str, values: &[f64]) -> Result<(), MetricError> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(MetricError::NotFinite { name, index, value: values[index] }),
    }
}

/// Checks finite scores beside labels of two classes.
pub(crate) fn scores(scores: &[f64], labels: &[bool]) -> Result<(), MetricError> {
    not_empty("labels", labels)?;
    length("scores", scores.len(), labels.len())?;
    finite("scores", scores)
}

/// Refuses a number of parts into which nothing can be cut.
pub(crate) fn at_least_one(name: &'static str, value: usize) -> Result<(), MetricError> {
    if value > 0 {
        return Ok(());
    }
    Err(ValueError::new(name, value, "at least 1").into())
}

/// Refuses fewer classes than two.
pub(crate) fn at_least_two_classes(n_classes: usize) -> Result<(), MetricError> {
    if n_classes >= 2 {
        return Ok(());
    }
    Err(ValueError::new("n_classes", n_classes, "at least 2").into())
}

/// Refuses a share that is not strictly between 0 and 1.
pub(crate) fn rate(name: &'static str, value: f64) -> Result<(), MetricError> {
    if value > 0.0 && value < 1.0 {
        return Ok(());
    }
    Err(ValueError::new(name, value, "between 0 and 1").into())
}

/// Refuses what is not finite, and what is not a probability.
pub(crate) fn probabilities(name: &'static str, values: &[f64]) -> Result<(), MetricError> {
    finite(name, values)?;
    let range = -PROBABILITY_TOLERANCE..=1.0 + PROBABILITY_TOLERANCE;
    match values.iter().position(|value| !range.contains(value)) {
        None => Ok(()),
        Some(index) => Err(MetricError::NotAProbability { name, index, value: values[index] }),
    }
}

/// Checks labels beside `[n, n_classes]` probabilities in row-major order.
pub(crate) fn probability_rows(
    values: &[f64],
    labels: &[usize],
    n_classes: usize,
) -> Result<(), MetricError> {
    scores_by_class("probabilities", values, labels, n_classes)?;
    distributions(values, n_classes)
}

/// Checks `[n, n_classes]` probabilities in row-major order.
pub(crate) fn distributions(values: &[f64], n_classes: usize) -> Result<(), MetricError> {
    length("probabilities", values.len(), values.len() / n_classes * n_classes)?;
    probabilities("probabilities", values)?;
    for (row, values) in values.chunks_exact(n_classes).enumerate() {
        let sum: f64 = values.iter().sum();
        if (sum - 1.0).abs() > ROW_SUM_TOLERANCE {
            return Err(MetricError::RowSum { row, sum });
        }
    }
    Ok(())
}

/// Checks labels beside `[n, n_classes]` finite scores in row-major order.
pub(crate) fn scores_by_class(
    name: &'static str,
    values: &[f64],
    labels: &[usize],
    n_classes: usize,
) -> Result<(), MetricError> {
    not_empty("labels", labels)?;
    classes("labels", labels, n_classes)?;
    length(name, values.len(), labels.len().saturating_mul(n_classes))?;
    finite(name, values)
}
