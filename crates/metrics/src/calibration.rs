//! Metrics of probabilities: whether they mean what they say.

use std::collections::BTreeMap;

use crate::{Binning, MetricError, check};

/// Brier score of two classes: mean squared error of the probability of the positive class.
///
/// # Errors
///
/// - [`MetricError::NotAProbability`] or [`MetricError::NotFinite`] if a value is no probability
/// - [`MetricError::Empty`] or [`MetricError::LengthMismatch`] if the slices do not fit
pub fn brier(probabilities: &[f64], labels: &[bool]) -> Result<f64, MetricError> {
    check_binary("probabilities", probabilities, labels)?;
    let sum: f64 = probabilities
        .iter()
        .zip(labels)
        .map(|(p, &label)| (p - f64::from(u8::from(label))).powi(2))
        .sum();
    Ok(sum / labels.len() as f64)
}

/// Brier score of several classes: squared error summed over classes, mean over examples; 0 to 2.
///
/// # Shapes
///
/// - `probabilities`: `[n, n_classes]`, row-major
/// - `labels`: `[n]`
///
/// # Errors
///
/// - [`MetricError::NotAProbability`], [`MetricError::NotFinite`] or [`MetricError::RowSum`] if a
///   row is no distribution
/// - [`MetricError::LabelOutOfRange`], [`MetricError::Empty`] or [`MetricError::LengthMismatch`] if
///   the slices do not fit
pub fn brier_multiclass(
    probabilities: &[f64],
    labels: &[usize],
    n_classes: usize,
) -> Result<f64, MetricError> {
    check::probability_rows(probabilities, labels, n_classes)?;
    let sum: f64 = probabilities
        .chunks_exact(n_classes)
        .zip(labels)
        .map(|(row, &label)| {
            let squares: f64 = row.iter().map(|p| p * p).sum();
            squares + 1.0 - 2.0 * row[label]
        })
        .sum();
    Ok(sum / labels.len() as f64)
}

/// Expected calibration error, over bins of equal width.
///
/// ```text
/// ECE = Σ_b |b|/n |accuracy(b) - confidence(b)|
/// bin b holds the confidences in (b/n_bins, (b+1)/n_bins]
/// ```
///
/// Guo et al., "On calibration of modern neural networks" (2017), equation 3. The first bin also
/// holds confidence 0.
///
/// # Errors
///
/// - [`MetricError::Parameter`] if `n_bins` is 0
/// - [`MetricError::NotAProbability`] or [`MetricError::NotFinite`] if a value is no probability
/// - [`MetricError::Empty`] or [`MetricError::LengthMismatch`] if the slices do not fit
pub fn ece(confidences: &[f64], correct: &[bool], n_bins: usize) -> Result<f64, MetricError> {
    binned_error(confidences, correct, Binning::EqualWidth(n_bins))
}

/// Expected calibration error, over bins of equally many examples.
///
/// The formula is that of [`ece`]; bin `b` holds the examples with `⌊r n_bins / n⌋ = b`, where `r`
/// is the number of smaller confidences, so that equal ones share a bin. Nguyen and O'Connor,
/// "Posterior calibration and exploratory analysis for natural language processing models" (2015).
/// Where nearly all confidences are high, [`ece`] sees them in one bin and lets their
/// errors cancel; this one does not.
///
/// # Errors
///
/// - [`MetricError::Parameter`] if `n_bins` is 0
/// - [`MetricError::NotAProbability`] or [`MetricError::NotFinite`] if a value is no probability
/// - [`MetricError::Empty`] or [`MetricError::LengthMismatch`] if the slices do not fit
///
/// # Examples
///
/// ```
/// use attention_probes::metrics::{ece, ece_equal_mass};
///
/// let confidences = [0.91, 0.92, 0.98, 0.99];
/// let correct = [false, true, true, true];
/// assert!((ece(&confidences, &correct, 2)? - 0.2).abs() < 1e-12);
/// assert!((ece_equal_mass(&confidences, &correct, 2)? - 0.215).abs() < 1e-12);
/// # Ok::<(), attention_probes::metrics::MetricError>(())
/// ```
pub fn ece_equal_mass(
    confidences: &[f64],
    correct: &[bool],
    n_bins: usize,
) -> Result<f64, MetricError> {
    binned_error(confidences, correct, Binning::EqualMass(n_bins))
}

/// Mean negative log-probability of the true class, in nats.
///
/// Probabilities are clipped to `[ε, 1 - ε]`, with the `ε` of `f64`, as scikit-learn does.
///
/// # Shapes
///
/// - `probabilities`: `[n, n_classes]`, row-major
/// - `labels`: `[n]`
///
/// # Errors
///
/// - [`MetricError::NotAProbability`], [`MetricError::NotFinite`] or [`MetricError::RowSum`] if a
///   row is no distribution
/// - [`MetricError::LabelOutOfRange`], [`MetricError::Empty`] or [`MetricError::LengthMismatch`] if
///   the slices do not fit
pub fn log_loss(
    probabilities: &[f64],
    labels: &[usize],
    n_classes: usize,
) -> Result<f64, MetricError> {
    check::probability_rows(probabilities, labels, n_classes)?;
    let sum: f64 = probabilities
        .chunks_exact(n_classes)
        .zip(labels)
        .map(|(row, &label)| negative_log(row[label]))
        .sum();
    Ok(sum / labels.len() as f64)
}

/// [`log_loss`] of two classes, from the probability of the positive one.
///
/// # Errors
///
/// - [`MetricError::NotAProbability`] or [`MetricError::NotFinite`] if a value is no probability
/// - [`MetricError::Empty`] or [`MetricError::LengthMismatch`] if the slices do not fit
pub fn binary_log_loss(probabilities: &[f64], labels: &[bool]) -> Result<f64, MetricError> {
    check_binary("probabilities", probabilities, labels)?;
    let sum: f64 = probabilities
        .iter()
        .zip(labels)
        .map(|(&p, &label)| negative_log(if label { p } else { 1.0 - p }))
        .sum();
    Ok(sum / labels.len() as f64)
}

/// Gaps between correct answers and confidence, summed over each bin, then added without sign.
fn binned_error(
    confidences: &[f64],
    correct: &[bool],
    binning: Binning,
) -> Result<f64, MetricError> {
    check_binary("confidences", confidences, correct)?;
    let mut gaps = BTreeMap::new();
    for (bin, (confidence, &correct)) in
        binning.bins(confidences)?.into_iter().zip(confidences.iter().zip(correct))
    {
        *gaps.entry(bin).or_insert(0.0) += f64::from(u8::from(correct)) - confidence;
    }
    Ok(gaps.values().map(|gap: &f64| gap.abs()).sum::<f64>() / correct.len() as f64)
}

fn negative_log(probability: f64) -> f64 {
    -probability.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln()
}

/// Checks probabilities beside labels of two classes.
pub(crate) fn check_binary(
    name: &'static str,
    values: &[f64],
    labels: &[bool],
) -> Result<(), MetricError> {
    check::not_empty("labels", labels)?;
    check::length(name, values.len(), labels.len())?;
    check::probabilities(name, values)
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn brier_equals_the_value_worked_out_by_hand() {
        let value = brier(&[0.1, 0.8], &[false, true]).unwrap();
        assert_relative_eq!(value, 0.025, epsilon = 1e-15);
        let value = brier_multiclass(&[0.7, 0.2, 0.1], &[0], 3).unwrap();
        assert_relative_eq!(value, 0.09 + 0.04 + 0.01, epsilon = 1e-15);
    }

    #[test]
    fn ece_equals_the_value_worked_out_by_hand() {
        // Two bins: 0.3 and 0.5 (one right), 0.9 and 1.0 (both right).
        let value = ece(&[0.3, 0.5, 0.9, 1.0], &[true, false, true, true], 2).unwrap();
        assert_relative_eq!(value, (0.2 + 0.1) / 4.0, epsilon = 1e-15);
    }

    #[test]
    fn ece_puts_confidence_zero_into_the_first_bin() {
        assert_relative_eq!(ece(&[0.0, 0.05], &[false, false], 10).unwrap(), 0.025);
    }

    #[test]
    fn a_number_of_bins_without_end_costs_nothing() {
        let value = ece(&[0.25, 0.75], &[false, true], usize::MAX).unwrap();
        assert_relative_eq!(value, 0.25, epsilon = 1e-12);
        let value = ece_equal_mass(&[0.25, 0.75], &[false, true], usize::MAX).unwrap();
        assert_relative_eq!(value, 0.25, epsilon = 1e-12);
    }

    #[test]
    fn log_loss_is_clipped_where_the_truth_had_probability_zero() {
        let value = log_loss(&[1.0, 0.0], &[1], 2).unwrap();
        assert_relative_eq!(value, 52.0 * std::f64::consts::LN_2, epsilon = 1e-12);
        assert!(log_loss(&[1.0, 0.0], &[0], 2).unwrap() < 1e-15);
    }

    #[test]
    fn bad_input_is_refused() {
        assert!(matches!(
            brier(&[1.7], &[true]),
            Err(MetricError::NotAProbability { index: 0, .. })
        ));
        assert!(matches!(brier(&[f64::NAN], &[true]), Err(MetricError::NotFinite { .. })));
        assert!(matches!(ece(&[0.5], &[true], 0), Err(MetricError::Parameter(_))));
        assert_eq!(log_loss(&[0.5, 0.4], &[0], 2), Err(MetricError::RowSum { row: 0, sum: 0.9 }));
        assert_eq!(
            log_loss(&[0.5, 0.5, 0.0], &[0], 2),
            Err(MetricError::LengthMismatch { name: "probabilities", length: 3, expected: 2 })
        );
        assert_eq!(binary_log_loss(&[], &[]), Err(MetricError::Empty { name: "labels" }));
    }

    proptest! {
        #[test]
        fn two_classes_are_a_case_of_several(
            examples in prop::collection::vec((0.0..=1.0_f64, any::<bool>()), 1..50),
        ) {
            let (p, labels): (Vec<f64>, Vec<bool>) = examples.into_iter().unzip();
            let rows: Vec<f64> = p.iter().flat_map(|p| [1.0 - p, *p]).collect();
            let classes: Vec<usize> = labels.iter().map(|&label| usize::from(label)).collect();
            let binary = brier(&p, &labels).unwrap();
            let several = brier_multiclass(&rows, &classes, 2).unwrap();
            prop_assert!((2.0 * binary - several).abs() < 1e-12);
            let binary = binary_log_loss(&p, &labels).unwrap();
            prop_assert!((binary - log_loss(&rows, &classes, 2).unwrap()).abs() < 1e-12);
        }

        #[test]
        fn ece_lies_between_the_overall_gap_and_one(
            examples in prop::collection::vec((0.0..=1.0_f64, any::<bool>()), 1..50),
            n_bins in 1_usize..20,
        ) {
            let (confidences, correct): (Vec<f64>, Vec<bool>) = examples.into_iter().unzip();
            let value = ece(&confidences, &correct, n_bins).unwrap();
            let overall = ece(&confidences, &correct, 1).unwrap();
            prop_assert!(value >= overall - 1e-12 && value <= 1.0);
            let value = ece_equal_mass(&confidences, &correct, n_bins).unwrap();
            prop_assert!(value >= overall - 1e-12 && value <= 1.0);
        }
    }
}
