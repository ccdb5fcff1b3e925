//! How a chosen probe's logits become decisions and probabilities that can be relied on.

use attention_probes_metrics::{
    Calibration, CalibrationMethod, CalibrationReport, Calibrator, Deferral, DeferralTarget,
    FprThreshold, Guarantee, MetricError, Temperature, UnfittedThreshold, calibrate,
};

use crate::SweepError;
use crate::config::EvaluationConfig;
use crate::judge::judged::{BinaryLogits, TrialLogits};

/// Thresholds of a trial of two classes at every rate for which there are enough negatives, and the
/// rates for which there are not.
pub(crate) fn thresholds(
    config: &EvaluationConfig,
    calibration: TrialLogits<'_>,
    trial: usize,
) -> Result<(Vec<FprThreshold>, Vec<UnfittedThreshold>), SweepError> {
    let (mut fitted, mut unfitted) = (Vec::new(), Vec::new());
    if calibration.n_classes != 2 {
        return Ok((fitted, unfitted));
    }
    let negatives = calibration.binary(trial).negatives();
    let n_negatives = negatives.len();
    for &target_fpr in &config.target_fprs {
        let fit = |negatives: &[f64]| FprThreshold::fit(negatives, target_fpr, guarantee(config));
        let found = match fit(&negatives) {
            // One is too few, and says how many are not.
            Err(MetricError::Empty { .. }) => fit(&[0.0]),
            found => found,
        };
        match found {
            Err(MetricError::TooFew { needed: n_needed, .. }) => {
                unfitted.push(UnfittedThreshold { target_fpr, n_negatives, n_needed });
            }
            Ok(_) if n_negatives == 0 => {
                unfitted.push(UnfittedThreshold { target_fpr, n_negatives, n_needed: 1 });
            }
            found => fitted.push(found?),
        }
    }
    Ok((fitted, unfitted))
}

/// Two thresholds of a trial of two classes, if there are enough examples of each.
pub(crate) fn deferral(
    config: &EvaluationConfig,
    calibration: TrialLogits<'_>,
    trial: usize,
) -> Result<Option<Deferral>, SweepError> {
    if calibration.n_classes != 2 {
        return Ok(None);
    }
    let target = DeferralTarget {
        target_fpr: config.defer_fpr,
        target_fnr: config.defer_fnr,
        guarantee: guarantee(config),
    };
    let BinaryLogits { logits, labels } = calibration.binary(trial);
    match Deferral::fit(&logits, &labels, target) {
        Err(MetricError::TooFew { .. } | MetricError::OneClass) => Ok(None),
        fitted => Ok(Some(fitted?)),
    }
}

fn guarantee(config: &EvaluationConfig) -> Guarantee {
    match config.confidence {
        Some(confidence) => Guarantee::Confidence { confidence },
        None => Guarantee::Marginal,
    }
}

/// Calibrators of a trial, without a measure of their worth; those that can be fitted.
pub(crate) fn calibrators(
    calibration: TrialLogits<'_>,
    trial: usize,
) -> Result<Vec<Calibrator>, SweepError> {
    if calibration.n_classes != 2 {
        return Ok(temperature(calibration, trial)?
            .map(Calibrator::Temperature)
            .into_iter()
            .collect());
    }
    let data = calibration.binary(trial);
    let fit = |method| determined(Calibrator::fit(method, data.labelled()));
    METHODS.into_iter().filter_map(|method| fit(method).transpose()).collect()
}

/// Every way to calibrate two classes, the simplest first.
const METHODS: [CalibrationMethod; 3] =
    [CalibrationMethod::Temperature, CalibrationMethod::Platt, CalibrationMethod::Isotonic];

/// Calibrators of a trial, each with what it is worth on the test examples.
pub(crate) fn calibrations(
    calibration: TrialLogits<'_>,
    test: TrialLogits<'_>,
    trial: usize,
) -> Result<Vec<Calibration>, SweepError> {
    if calibration.n_classes != 2 {
        let Some(temperature) = temperature(calibration, trial)? else { return Ok(Vec::new()) };
        let logits: Vec<f64> = test.logits_of(trial).iter().map(|z| f64::from(*z)).collect();
        let labels = &test.examples.labels;
        let report = CalibrationReport::multiclass(temperature, &logits, labels, test.n_classes)?;
        return Ok(vec![Calibration { calibrator: Calibrator::Temperature(temperature), report }]);
    }
    let (fit_on, held_out) = (calibration.binary(trial), test.binary(trial));
    let fit = |method| determined(calibrate(method, fit_on.labelled(), held_out.labelled()));
    METHODS.into_iter().filter_map(|method| fit(method).transpose()).collect()
}

fn temperature(
    calibration: TrialLogits<'_>,
    trial: usize,
) -> Result<Option<Temperature>, SweepError> {
    let logits: Vec<f64> = calibration.logits_of(trial).iter().map(|z| f64::from(*z)).collect();
    let labels = &calibration.examples.labels;
    determined(Temperature::fit_multiclass(&logits, labels, calibration.n_classes))
}

/// `None` where examples do not determine what was to be fitted, such as where a temperature of 0
/// would be the best.
fn determined<T>(fitted: Result<T, MetricError>) -> Result<Option<T>, SweepError> {
    match fitted {
        Ok(fitted) => Ok(Some(fitted)),
        Err(
            MetricError::Separable
            | MetricError::Reversed
            | MetricError::OneClass
            | MetricError::Constant { .. },
        ) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
