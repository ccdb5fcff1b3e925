//! How a chosen probe's logits become decisions and probabilities that can be relied on.

use attention_probes_metrics::{
    Calibration, CalibrationMethod, CalibrationReport, Calibrator, Decision, Deferral,
    DeferralTarget, FprThreshold, Guarantee, Interval, MetricError, Temperature, calibrate, wilson,
};
use serde::{Deserialize, Serialize};

use crate::SweepError;
use crate::config::EvaluationConfig;
use crate::judged::{BinaryLogits, LEVEL, TrialLogits};

/// A fitted threshold and what it does on the test examples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThresholdReport {
    /// The threshold, on the logit of class 1.
    pub fitted: FprThreshold,
    /// Share of the test negatives that are called positive.
    pub false_positive_rate: f64,
    /// Its 95 % Wilson interval.
    pub false_positive_interval: Interval,
    /// Share of the test positives that are found.
    pub true_positive_rate: f64,
    /// Its 95 % Wilson interval.
    pub true_positive_interval: Interval,
    /// Share of the found that are positive; `None` if nothing is found.
    pub precision: Option<f64>,
    /// Mean of recall and specificity.
    pub balanced_accuracy: f64,
}

/// Two fitted thresholds and what they do on the test examples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeferralReport {
    /// The thresholds, on the logit of class 1.
    pub fitted: Deferral,
    /// Share of the test examples that are passed on.
    pub deferred: f64,
    /// Share of the test negatives that are called positive.
    pub false_positive_rate: f64,
    /// Share of the test positives that are called negative.
    pub false_negative_rate: f64,
}

impl ThresholdReport {
    /// Applies a threshold to the test examples.
    pub(crate) fn new(fitted: FprThreshold, test: &BinaryLogits) -> Result<Self, SweepError> {
        let mut counts = [[0; 2]; 2]; // by true class, then by decision
        for (&logit, &label) in test.logits.iter().zip(&test.labels) {
            counts[usize::from(label)][usize::from(fitted.is_positive(logit))] += 1;
        }
        let [negatives, positives] = counts;
        let n_found = negatives[1] + positives[1];
        let rate = |[missed, found]: [usize; 2]| {
            Ok::<_, SweepError>((
                found as f64 / (missed + found) as f64,
                wilson(found, missed + found, LEVEL)?,
            ))
        };
        let (false_positive_rate, false_positive_interval) = rate(negatives)?;
        let (true_positive_rate, true_positive_interval) = rate(positives)?;
        Ok(Self {
            fitted,
            false_positive_rate,
            false_positive_interval,
            true_positive_rate,
            true_positive_interval,
            precision: (n_found > 0).then(|| positives[1] as f64 / n_found as f64),
            balanced_accuracy: f64::midpoint(true_positive_rate, 1.0 - false_positive_rate),
        })
    }
}

impl DeferralReport {
    /// Applies two thresholds to the test examples.
    pub(crate) fn new(fitted: Deferral, test: &BinaryLogits) -> Self {
        let share = |of: &dyn Fn(bool) -> bool, decision: Decision| {
            let members = test.logits.iter().zip(&test.labels).filter(|(_, label)| of(**label));
            let decided = members.clone().filter(|(logit, _)| fitted.decide(**logit) == decision);
            decided.count() as f64 / members.count() as f64
        };
        Self {
            fitted,
            deferred: share(&|_| true, Decision::Defer),
            false_positive_rate: share(&|label| !label, Decision::Positive),
            false_negative_rate: share(&|label| label, Decision::Negative),
        }
    }
}

/// Thresholds of a trial of two classes at every rate for which there are enough negatives.
pub(crate) fn thresholds(
    config: &EvaluationConfig,
    calibration: TrialLogits<'_>,
    trial: usize,
) -> Result<Vec<FprThreshold>, SweepError> {
    if calibration.n_classes != 2 {
        return Ok(Vec::new());
    }
    let negatives = calibration.binary(trial).negatives();
    let fit = |&target: &f64| match FprThreshold::fit(&negatives, target, guarantee(config)) {
        Err(MetricError::TooFew { .. } | MetricError::Empty { .. }) => None,
        fitted => Some(fitted.map_err(SweepError::from)),
    };
    config.target_fprs.iter().filter_map(fit).collect()
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
