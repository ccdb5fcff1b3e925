//! Calibrators: what turns a score into a probability that means what it says.

use attention_probes_kernels::sigmoid;
use serde::{Deserialize, Serialize};

use crate::{
    Isotonic, MetricError, Platt, Temperature, binary_log_loss, brier, brier_multiclass, check,
    ece, ece_equal_mass, log_loss, predicted_class,
};

/// Bins of the expected calibration errors: the number of Guo et al. (2017).
const N_BINS: usize = 15;

/// How a calibrator is fitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CalibrationMethod {
    /// One parameter: [`Temperature`].
    Temperature,
    /// Two parameters: [`Platt`].
    Platt,
    /// Any rising curve: [`Isotonic`].
    Isotonic,
}

/// Turns the logit of the positive class of two into its probability.
///
/// The probability never falls where the logit rises, so no ranking is reversed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum Calibrator {
    /// Divides the logit.
    Temperature(Temperature),
    /// Scales and moves the logit.
    Platt(Platt),
    /// Follows a rising curve.
    Isotonic(Isotonic),
}

/// Examples of two classes.
#[derive(Clone, Copy, Debug)]
pub struct LabelledLogits<'a> {
    /// Score of the positive class before the sigmoid, one of each example.
    pub logits: &'a [f64],
    /// Whether the example is of the positive class.
    pub labels: &'a [bool],
}

impl Calibrator {
    /// Fits a calibrator.
    ///
    /// # Errors
    ///
    /// Those of [`Temperature::fit`], [`Platt::fit`], or [`Isotonic::fit`].
    pub fn fit(method: CalibrationMethod, data: LabelledLogits<'_>) -> Result<Self, MetricError> {
        let LabelledLogits { logits, labels } = data;
        Ok(match method {
            CalibrationMethod::Temperature => Self::Temperature(Temperature::fit(logits, labels)?),
            CalibrationMethod::Platt => Self::Platt(Platt::fit(logits, labels)?),
            CalibrationMethod::Isotonic => Self::Isotonic(Isotonic::fit(logits, labels)?),
        })
    }

    /// Probability of the positive class; NaN of NaN.
    pub fn apply(&self, logit: f64) -> f64 {
        match self {
            Self::Temperature(temperature) => temperature.apply(logit),
            Self::Platt(platt) => platt.apply(logit),
            Self::Isotonic(isotonic) => isotonic.apply(logit),
        }
    }
}

/// A calibrator, and what it is worth on examples that it has not seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Fitted on the first set of examples.
    pub calibrator: Calibrator,
    /// Measured on the second.
    pub report: CalibrationReport,
}

/// Fits a calibrator on one set of examples, and measures it on another.
///
/// The two must not share an example: on its own examples isotonic regression has an expected
/// calibration error of nearly 0, whatever it is worth.
///
/// # Errors
///
/// Those of [`Calibrator::fit`] and [`CalibrationReport::new`].
///
/// # Examples
///
/// ```
/// use attention_probes::metrics::{CalibrationMethod, LabelledLogits, calibrate};
///
/// // Logits of 6 that are right three times in four.
/// let labels: Vec<bool> = (0..400).map(|i| i % 4 != 0).collect();
/// let logits: Vec<f64> = (0..400).map(|i| if i % 8 < 4 { 6.0 } else { -6.0 }).collect();
/// let labels: Vec<bool> = logits.iter().zip(&labels).map(|(z, l)| (*z > 0.0) == *l).collect();
/// let half = |range: std::ops::Range<usize>| LabelledLogits {
///     logits: &logits[range.clone()],
///     labels: &labels[range],
/// };
/// let fitted = calibrate(CalibrationMethod::Temperature, half(0..200), half(200..400))?;
/// assert!(fitted.report.before.ece > 0.24 && fitted.report.after.ece < 1e-9);
/// # Ok::<(), attention_probes::metrics::MetricError>(())
/// ```
pub fn calibrate(
    method: CalibrationMethod,
    fit_on: LabelledLogits<'_>,
    held_out: LabelledLogits<'_>,
) -> Result<Calibration, MetricError> {
    let calibrator = Calibrator::fit(method, fit_on)?;
    let report = CalibrationReport::new(&calibrator, held_out)?;
    Ok(Calibration { calibrator, report })
}

/// Calibration before and after a calibrator.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalibrationReport {
    /// Number of held-out examples.
    pub n_examples: usize,
    /// With the probabilities as they were: the sigmoid or softmax of the logits.
    pub before: CalibrationScores,
    /// With those of the calibrator.
    pub after: CalibrationScores,
}

/// How far probabilities are from what happens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalibrationScores {
    /// [`ece`] of the predicted class, 15 bins.
    pub ece: f64,
    /// [`ece_equal_mass`] of the predicted class, 15 bins.
    pub ece_equal_mass: f64,
    /// [`brier`] of two classes, [`brier_multiclass`] of more.
    pub brier: f64,
    /// Mean negative log-probability of the true class, in nats.
    pub log_loss: f64,
}

impl CalibrationReport {
    /// Measures a calibrator of two classes on examples that it was not fitted on.
    ///
    /// # Errors
    ///
    /// [`MetricError::NotFinite`], [`MetricError::Empty`] or [`MetricError::LengthMismatch`] if the
    /// slices do not fit.
    pub fn new(calibrator: &Calibrator, held_out: LabelledLogits<'_>) -> Result<Self, MetricError> {
        let LabelledLogits { logits, labels } = held_out;
        check::finite("logits", logits)?;
        let before: Vec<f64> = logits.iter().map(|&logit| sigmoid(logit)).collect();
        let after: Vec<f64> = logits.iter().map(|&logit| calibrator.apply(logit)).collect();
        Ok(Self {
            n_examples: labels.len(),
            before: CalibrationScores::new(&before, labels)?,
            after: CalibrationScores::new(&after, labels)?,
        })
    }

    /// Measures a temperature of several classes on examples that it was not fitted on.
    ///
    /// # Shapes
    ///
    /// - `logits`: `[n, n_classes]`, row-major
    /// - `labels`: `[n]`
    ///
    /// # Errors
    ///
    /// - [`MetricError::Parameter`] if there are fewer than two classes
    /// - [`MetricError::NotFinite`], [`MetricError::LabelOutOfRange`], [`MetricError::Empty`] or
    ///   [`MetricError::LengthMismatch`] if the slices do not fit
    pub fn multiclass(
        temperature: Temperature,
        logits: &[f64],
        labels: &[usize],
        n_classes: usize,
    ) -> Result<Self, MetricError> {
        check::at_least_two_classes(n_classes)?;
        check::scores_by_class("logits", logits, labels, n_classes)?;
        let scores = |temperature: Temperature| {
            let probabilities = temperature.apply_multiclass(logits, n_classes)?;
            CalibrationScores::multiclass(&probabilities, labels, n_classes)
        };
        let before = scores(Temperature::ONE)?;
        Ok(Self { n_examples: labels.len(), before, after: scores(temperature)? })
    }
}

impl CalibrationScores {
    /// Scores the probability of the positive class of two.
    fn new(probabilities: &[f64], labels: &[bool]) -> Result<Self, MetricError> {
        let (confidences, correct): (Vec<f64>, Vec<bool>) = probabilities
            .iter()
            .zip(labels)
            .map(|(&p, &label)| if p >= 0.5 { (p, label) } else { (1.0 - p, !label) })
            .unzip();
        Ok(Self {
            brier: brier(probabilities, labels)?,
            log_loss: binary_log_loss(probabilities, labels)?,
            ece: ece(&confidences, &correct, N_BINS)?,
            ece_equal_mass: ece_equal_mass(&confidences, &correct, N_BINS)?,
        })
    }

    /// Scores the probabilities of several classes.
    fn multiclass(
        probabilities: &[f64],
        labels: &[usize],
        n_classes: usize,
    ) -> Result<Self, MetricError> {
        let (confidences, correct): (Vec<f64>, Vec<bool>) = probabilities
            .chunks_exact(n_classes)
            .zip(labels)
            .map(|(row, &label)| {
                let predicted = predicted_class(row, 0.5);
                (row[predicted], predicted == label)
            })
            .unzip();
        Ok(Self {
            brier: brier_multiclass(probabilities, labels, n_classes)?,
            log_loss: log_loss(probabilities, labels, n_classes)?,
            ece: ece(&confidences, &correct, N_BINS)?,
            ece_equal_mass: ece_equal_mass(&confidences, &correct, N_BINS)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    use super::*;
    use crate::{Bootstrap, ClassScores, ClassificationReport};

    const METHODS: [CalibrationMethod; 3] =
        [CalibrationMethod::Temperature, CalibrationMethod::Platt, CalibrationMethod::Isotonic];

    const LOGITS: [f64; 6] = [-3.0, -1.0, 0.5, 0.5, 2.0, 4.0];
    const LABELS: [bool; 6] = [false, true, false, true, true, true];

    #[test]
    fn a_calibrator_survives_json_under_its_name() {
        let data = LabelledLogits { logits: &LOGITS, labels: &LABELS };
        for (method, name) in METHODS.into_iter().zip(["temperature", "platt", "isotonic"]) {
            let fitted = calibrate(method, data, data).unwrap();
            let json = serde_json::to_value(&fitted).unwrap();
            assert_eq!(json["calibrator"]["method"], name);
            let again: Calibration = serde_json::from_value(json).unwrap();
            for logit in [-9.0, -1.0, 0.1, 3.0] {
                assert_relative_eq!(
                    again.calibrator.apply(logit),
                    fitted.calibrator.apply(logit),
                    epsilon = 1e-12
                );
            }
        }
    }

    #[test]
    fn before_equals_the_classification_report() {
        let data = LabelledLogits { logits: &LOGITS, labels: &LABELS };
        let fitted = calibrate(CalibrationMethod::Platt, data, data).unwrap();
        let rows: Vec<f64> = LOGITS.iter().flat_map(|&z| [1.0 - sigmoid(z), sigmoid(z)]).collect();
        let labels: Vec<usize> = LABELS.iter().map(|&label| usize::from(label)).collect();
        let scores = ClassScores::from_probabilities(&rows, 2).unwrap();
        let report = ClassificationReport::new(&labels, &scores, &Bootstrap::default()).unwrap();
        assert_relative_eq!(fitted.report.before.ece, report.ece);
        assert_relative_eq!(fitted.report.before.brier, report.brier);
        assert_relative_eq!(fitted.report.before.log_loss, report.log_loss);
    }

    #[test]
    fn a_temperature_of_two_classes_reports_the_same_as_rows() {
        let data = LabelledLogits { logits: &LOGITS, labels: &LABELS };
        let fitted = calibrate(CalibrationMethod::Temperature, data, data).unwrap();
        let Calibrator::Temperature(temperature) = fitted.calibrator else {
            panic!("fitted something else");
        };
        let rows: Vec<f64> = LOGITS.iter().flat_map(|&z| [0.0, z]).collect();
        let labels: Vec<usize> = LABELS.iter().map(|&label| usize::from(label)).collect();
        let several = CalibrationReport::multiclass(temperature, &rows, &labels, 2).unwrap();
        assert_relative_eq!(several.after.ece, fitted.report.after.ece, epsilon = 1e-12);
        assert_relative_eq!(several.after.log_loss, fitted.report.after.log_loss, epsilon = 1e-12);
        // Of rows, the Brier score sums over both classes.
        assert_relative_eq!(several.after.brier, 2.0 * fitted.report.after.brier, epsilon = 1e-12);
    }

    #[test]
    fn bad_input_is_refused() {
        let data = LabelledLogits { logits: &LOGITS, labels: &LABELS };
        for method in METHODS {
            let none = LabelledLogits { logits: &[], labels: &[] };
            assert_eq!(calibrate(method, data, none), Err(MetricError::Empty { name: "labels" }));
            let short = LabelledLogits { logits: &LOGITS[1..], labels: &LABELS };
            assert!(matches!(
                calibrate(method, short, data),
                Err(MetricError::LengthMismatch { length: 5, expected: 6, .. })
            ));
            assert!(calibrate(method, data, short).is_err());
        }
    }

    proptest! {
        #[test]
        fn every_calibrator_rises_and_gives_probabilities(
            examples in prop::collection::vec((-6.0..6.0_f64, any::<bool>()), 4..60),
            at in prop::collection::vec(-9.0..9.0_f64, 2..20),
        ) {
            let (logits, labels): (Vec<f64>, Vec<bool>) = examples.into_iter().unzip();
            let mut at = at;
            at.sort_by(f64::total_cmp);
            for method in METHODS {
                let data = LabelledLogits { logits: &logits, labels: &labels };
                let Ok(fitted) = Calibrator::fit(method, data) else { continue };
                let p: Vec<f64> = at.iter().map(|&logit| fitted.apply(logit)).collect();
                prop_assert!(p.iter().all(|p| (0.0..=1.0).contains(p)));
                prop_assert!(p.windows(2).all(|pair| pair[0] <= pair[1]));
            }
        }
    }
}
