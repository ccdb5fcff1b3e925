//! Temperature scaling: one number that all logits are divided by.

use attention_probes_errors::ValueError;
use attention_probes_kernels::{sigmoid, softmax};
use serde::{Deserialize, Serialize};

use crate::{MetricError, check};

/// How far the logarithm of the inverse temperature is searched to each side of the largest logit.
const MAX_LN: f64 = 690.0;

/// Divides logits by a temperature, so that confidences fall where they were too high.
///
/// ```text
/// p = softmax(z / T), or sigmoid(z / T) of two classes
/// T minimises Σ_i -ln p_i[label_i]
/// ```
///
/// Guo et al., "On calibration of modern neural networks" (2017), section 4.2. No prediction
/// changes, as the order of the logits stays.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawTemperature")]
pub struct Temperature {
    temperature: f64,
}

impl Temperature {
    /// The temperature that changes nothing.
    pub(crate) const ONE: Self = Self { temperature: 1.0 };

    /// Fits the temperature of two classes, from the logit of the positive one.
    ///
    /// # Errors
    ///
    /// - [`MetricError::Separable`] if every logit has the sign of its label
    /// - [`MetricError::Reversed`] if the logits do not rise with the labels
    /// - [`MetricError::OneClass`] if the labels are all alike
    /// - [`MetricError::NotFinite`], [`MetricError::Empty`] or [`MetricError::LengthMismatch`] if
    ///   the slices do not fit
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::metrics::Temperature;
    ///
    /// // Three of four right at a logit of 4: the probability should be 3/4, the logit ln 3.
    /// let fitted = Temperature::fit(&[4.0, 4.0, 4.0, -4.0], &[true, true, false, false])?;
    /// assert!((fitted.temperature() - 4.0 / 3.0_f64.ln()).abs() < 1e-9);
    /// assert!((fitted.apply(4.0) - 0.75).abs() < 1e-9);
    /// # Ok::<(), attention_probes::metrics::MetricError>(())
    /// ```
    pub fn fit(logits: &[f64], labels: &[bool]) -> Result<Self, MetricError> {
        check::not_empty("labels", labels)?;
        check::length("logits", logits.len(), labels.len())?;
        let rows: Vec<f64> = logits.iter().flat_map(|&logit| [0.0, logit]).collect();
        let labels: Vec<usize> = labels.iter().map(|&label| usize::from(label)).collect();
        check::finite("logits", logits)?;
        Self::fit_multiclass(&rows, &labels, 2)
    }

    /// Fits the temperature of several classes.
    ///
    /// # Shapes
    ///
    /// - `logits`: `[n, n_classes]`, row-major
    /// - `labels`: `[n]`
    ///
    /// # Errors
    ///
    /// - [`MetricError::Separable`] if the logit of every label is the highest of its example
    /// - [`MetricError::Reversed`] if the logits of the labels are, summed, not above the mean of
    ///   their examples
    /// - [`MetricError::OneClass`] if the labels are all alike
    /// - [`MetricError::Parameter`] if there are fewer than two classes
    /// - [`MetricError::NotFinite`], [`MetricError::LabelOutOfRange`], [`MetricError::Empty`] or
    ///   [`MetricError::LengthMismatch`] if the slices do not fit
    pub fn fit_multiclass(
        logits: &[f64],
        labels: &[usize],
        n_classes: usize,
    ) -> Result<Self, MetricError> {
        check::at_least_two_classes(n_classes)?;
        check::scores_by_class("logits", logits, labels, n_classes)?;
        if labels.iter().all(|label| *label == labels[0]) {
            return Err(MetricError::OneClass);
        }
        // With the largest logit at 1, no sum overflows.
        let scale = logits.iter().fold(0.0_f64, |scale, logit| scale.max(logit.abs()));
        if scale == 0.0 {
            return Err(MetricError::Reversed);
        }
        let margins: Vec<f64> = logits
            .chunks_exact(n_classes)
            .zip(labels)
            .flat_map(|(row, &label)| row.iter().map(move |z| z / scale - row[label] / scale))
            .collect();
        if margins.iter().all(|&margin| margin <= 0.0) {
            return Err(MetricError::Separable);
        }
        Self::new(scale / inverse_temperature(&margins, n_classes)?)
    }

    fn new(temperature: f64) -> Result<Self, MetricError> {
        if temperature > 0.0 && temperature.is_finite() {
            return Ok(Self { temperature });
        }
        let expected = "a finite number above 0";
        Err(ValueError::new("temperature", temperature, expected).into())
    }

    /// What logits are divided by, above 0.
    pub fn temperature(&self) -> f64 {
        self.temperature
    }

    /// Probability of the positive class of two, from its logit; NaN of NaN.
    pub fn apply(&self, logit: f64) -> f64 {
        sigmoid(logit / self.temperature)
    }

    /// Probabilities of several classes, from their logits.
    ///
    /// # Shapes
    ///
    /// - `logits`: `[n, n_classes]`, row-major
    /// - returned: `[n, n_classes]`, row-major
    ///
    /// # Errors
    ///
    /// - [`MetricError::Parameter`] if there are fewer than two classes
    /// - [`MetricError::NotFinite`] if a logit is NaN or infinite
    /// - [`MetricError::LengthMismatch`] if the last row is not whole
    pub fn apply_multiclass(
        &self,
        logits: &[f64],
        n_classes: usize,
    ) -> Result<Vec<f64>, MetricError> {
        check::at_least_two_classes(n_classes)?;
        check::finite("logits", logits)?;
        check::length("logits", logits.len(), logits.len() / n_classes * n_classes)?;
        let mut probabilities = Vec::with_capacity(logits.len());
        for row in logits.chunks_exact(n_classes) {
            let start = probabilities.len();
            probabilities.extend(row.iter().map(|z| z / self.temperature));
            softmax(&mut probabilities[start..]);
        }
        Ok(probabilities)
    }
}

/// A temperature as a file holds it.
#[derive(Deserialize)]
struct RawTemperature {
    temperature: f64,
}

impl TryFrom<RawTemperature> for Temperature {
    type Error = MetricError;

    fn try_from(raw: RawTemperature) -> Result<Self, MetricError> {
        Self::new(raw.temperature)
    }
}

/// Minimises the loss over the inverse temperature, given the logits of each example less that of
/// its label, `[n, n_classes]`.
///
/// The loss is convex in it, so its slope has one root, which Newton's method finds in the
/// logarithm, held within a bracket.
fn inverse_temperature(margins: &[f64], n_classes: usize) -> Result<f64, MetricError> {
    let slope = |ln: f64| slope_and_curvature(margins, n_classes, ln.exp());
    let (mut low, mut high) = (-1.0, 1.0);
    while slope(low).0 >= 0.0 {
        low *= 2.0;
        if low < -MAX_LN {
            return Err(MetricError::Reversed);
        }
    }
    while slope(high).0 < 0.0 {
        high *= 2.0;
        if high > MAX_LN {
            return Err(MetricError::Separable);
        }
    }
    let mut ln = f64::midpoint(low, high);
    // Bisection alone would need about 60 steps.
    for _ in 0..200 {
        let (first, second) = slope(ln);
        if first < 0.0 {
            low = ln;
        } else {
            high = ln;
        }
        let newton = ln - first / (second * ln.exp());
        let next = if newton > low && newton < high { newton } else { f64::midpoint(low, high) };
        if (next - ln).abs() <= 1e-13 {
            return Ok(next.exp());
        }
        ln = next;
    }
    Ok(ln.exp())
}

/// First and second derivative of the summed loss by the inverse temperature: mean and variance of
/// the margins under the softmax.
fn slope_and_curvature(margins: &[f64], n_classes: usize, inverse: f64) -> (f64, f64) {
    let (mut slope, mut curvature) = (0.0, 0.0);
    for row in margins.chunks_exact(n_classes) {
        let highest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let [mut weights, mut first, mut second] = [0.0; 3];
        for margin in row {
            let weight = ((margin - highest) * inverse).exp();
            weights += weight;
            first += weight * margin;
            second += weight * margin * margin;
        }
        let mean = first / weights;
        slope += mean;
        curvature += second / weights - mean * mean;
    }
    (slope, curvature)
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    use super::*;
    use crate::{binary_log_loss, log_loss};

    #[test]
    fn one_margin_has_its_closed_form_at_any_scale() {
        // Of 10, 7 are right: p = 0.7, so margin / T = ln(0.7 / 0.3).
        let labels: Vec<bool> = (0..10).map(|i| i % 2 == 0).collect();
        for scale in [1e-200, 1e-3, 1.0, 1e6, 1e300] {
            let logits: Vec<f64> =
                (0..10).map(|i| if (i % 2 == 0) == (i < 7) { scale } else { -scale }).collect();
            let fitted = Temperature::fit(&logits, &labels).unwrap();
            let expected = scale / (0.7_f64 / 0.3).ln();
            assert_relative_eq!(fitted.temperature(), expected, max_relative = 1e-12);
        }
    }

    #[test]
    fn what_no_temperature_fits_is_refused() {
        let fit = Temperature::fit;
        assert_eq!(fit(&[2.0, -1.0], &[true, false]), Err(MetricError::Separable));
        assert_eq!(fit(&[-2.0, 1.0], &[true, false]), Err(MetricError::Reversed));
        assert_eq!(fit(&[-1.0, -1.0], &[true, false]), Err(MetricError::Reversed));
        assert_eq!(fit(&[0.0, 0.0], &[true, false]), Err(MetricError::Reversed));
        assert_eq!(fit(&[1.0, -1.0], &[true, true]), Err(MetricError::OneClass));
        assert!(matches!(
            fit(&[1.0, f64::NAN], &[true, false]),
            Err(MetricError::NotFinite { name: "logits", index: 1, .. })
        ));
        assert!(Temperature::fit_multiclass(&[1.0, 0.0], &[0, 1], 1).is_err());
    }

    #[test]
    fn a_temperature_of_zero_is_refused_in_json() {
        let read = serde_json::from_str::<Temperature>;
        assert_relative_eq!(read(r#"{"temperature":2.5}"#).unwrap().temperature(), 2.5);
        assert!(read(r#"{"temperature":0.0}"#).is_err());
    }

    proptest! {
        #[test]
        fn no_temperature_nearby_has_a_lower_loss(
            rows in prop::collection::vec((0_usize..3, prop::array::uniform3(-4.0..4.0_f64)), 5..60),
        ) {
            let labels: Vec<usize> = rows.iter().map(|row| row.0).collect();
            let logits: Vec<f64> = rows.iter().flat_map(|row| row.1).collect();
            let Ok(fitted) = Temperature::fit_multiclass(&logits, &labels, 3) else {
                return Ok(());
            };
            let loss = |temperature: f64| {
                let p = Temperature { temperature }.apply_multiclass(&logits, 3).unwrap();
                log_loss(&p, &labels, 3).unwrap()
            };
            let best = loss(fitted.temperature());
            for factor in [0.5, 0.9, 0.999, 1.001, 1.1, 2.0] {
                prop_assert!(best <= loss(fitted.temperature() * factor) + 1e-12);
            }
        }

        #[test]
        fn two_classes_are_a_case_of_several(
            examples in prop::collection::vec((-5.0..5.0_f64, any::<bool>()), 4..40),
        ) {
            let (logits, labels): (Vec<f64>, Vec<bool>) = examples.into_iter().unzip();
            let Ok(fitted) = Temperature::fit(&logits, &labels) else { return Ok(()) };
            let p: Vec<f64> = logits.iter().map(|&logit| fitted.apply(logit)).collect();
            let rows: Vec<f64> = logits.iter().flat_map(|z| [-z / 2.0, z / 2.0]).collect();
            let classes: Vec<usize> = labels.iter().map(|&label| usize::from(label)).collect();
            let several = Temperature::fit_multiclass(&rows, &classes, 2).unwrap();
            prop_assert!((several.temperature() / fitted.temperature() - 1.0).abs() < 1e-9);
            let rows = several.apply_multiclass(&rows, 2).unwrap();
            let loss = log_loss(&rows, &classes, 2).unwrap();
            prop_assert!((loss - binary_log_loss(&p, &labels).unwrap()).abs() < 1e-9);
        }
    }
}
