//! What fitted thresholds do on examples that they were not fitted on.

use serde::{Deserialize, Serialize};

use crate::{
    Decision, Deferral, FprThreshold, Interval, LabelledLogits, MetricError, check, wilson,
};

/// Confidence level of the intervals.
const LEVEL: f64 = 0.95;

/// A fitted threshold and what it does on other examples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThresholdReport {
    /// The threshold, on the logit of class 1.
    pub fitted: FprThreshold,
    /// Share of the negatives that are called positive.
    pub false_positive_rate: f64,
    /// Its 95 % Wilson interval.
    pub false_positive_interval: Interval,
    /// Share of the positives that are found.
    pub true_positive_rate: f64,
    /// Its 95 % Wilson interval.
    pub true_positive_interval: Interval,
    /// Share of the found that are positive; `None` if nothing is found.
    pub precision: Option<f64>,
    /// Mean of recall and specificity.
    pub balanced_accuracy: f64,
}

/// Two fitted thresholds and what they do on other examples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeferralReport {
    /// The thresholds, on the logit of class 1.
    pub fitted: Deferral,
    /// Share of the examples that are passed on.
    pub deferred: f64,
    /// Share of the negatives that are called positive.
    pub false_positive_rate: f64,
    /// Share of the positives that are called negative.
    pub false_negative_rate: f64,
}

impl ThresholdReport {
    /// Whether the threshold lets through more than it promised, by more than chance: the interval
    /// of its false-positive rate lies above the rate it was fitted for.
    pub fn breaks_promise(&self) -> bool {
        self.false_positive_interval.lower > self.fitted.target_fpr
    }

    /// Applies a threshold to examples that it was not fitted on.
    ///
    /// # Errors
    ///
    /// - [`MetricError::OneClass`] if the labels are all alike
    /// - [`MetricError::NotFinite`], [`MetricError::Empty`] or [`MetricError::LengthMismatch`] if
    ///   the slices do not fit
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::metrics::{FprThreshold, Guarantee, LabelledLogits, ThresholdReport};
    ///
    /// let fitted = FprThreshold::fit(&[-2.0, -1.0, 0.0, 1.0], 0.2, Guarantee::Marginal)?;
    /// let held_out = LabelledLogits {
    ///     logits: &[-1.0, 2.0, 0.5, 3.0],
    ///     labels: &[false, false, true, true],
    /// };
    /// let report = ThresholdReport::new(fitted, held_out)?;
    /// assert_eq!((report.false_positive_rate, report.true_positive_rate), (0.5, 0.5));
    /// # Ok::<(), attention_probes::metrics::MetricError>(())
    /// ```
    pub fn new(fitted: FprThreshold, held_out: LabelledLogits<'_>) -> Result<Self, MetricError> {
        let LabelledLogits { logits, labels } = held_out;
        check::scores(logits, labels)?;
        let mut counts = [[0_usize; 2]; 2]; // by true class, then by decision
        for (&logit, &label) in logits.iter().zip(labels) {
            counts[usize::from(label)][usize::from(fitted.is_positive(logit))] += 1;
        }
        let [negatives, positives] = counts;
        if negatives == [0, 0] || positives == [0, 0] {
            return Err(MetricError::OneClass);
        }
        let n_found = negatives[1] + positives[1];
        let rate = |[missed, found]: [usize; 2]| {
            let n = missed + found;
            Ok::<_, MetricError>((found as f64 / n as f64, wilson(found, n, LEVEL)?))
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
    /// Applies two thresholds to examples that they were not fitted on.
    ///
    /// # Errors
    ///
    /// As [`ThresholdReport::new`].
    pub fn new(fitted: Deferral, held_out: LabelledLogits<'_>) -> Result<Self, MetricError> {
        let LabelledLogits { logits, labels } = held_out;
        check::scores(logits, labels)?;
        if labels.iter().all(|label| *label == labels[0]) {
            return Err(MetricError::OneClass);
        }
        let share = |of: &dyn Fn(bool) -> bool, decision: Decision| {
            let members = logits.iter().zip(labels).filter(|(_, label)| of(**label));
            let decided = members.clone().filter(|(logit, _)| fitted.decide(**logit) == decision);
            decided.count() as f64 / members.count() as f64
        };
        Ok(Self {
            fitted,
            deferred: share(&|_| true, Decision::Defer),
            false_positive_rate: share(&|label| !label, Decision::Positive),
            false_negative_rate: share(&|label| label, Decision::Negative),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeferralTarget, Guarantee};

    #[test]
    fn what_is_deferred_is_no_error() {
        let logits: Vec<f64> = (0..40).map(f64::from).collect();
        let labels: Vec<bool> = (0..40).map(|i| i >= 25 || (i >= 15 && i % 2 == 0)).collect();
        let guarantee = Guarantee::Marginal;
        let target = DeferralTarget { target_fpr: 0.1, target_fnr: 0.1, guarantee };
        let fitted = Deferral::fit(&logits, &labels, target).unwrap();
        let held_out = LabelledLogits { logits: &logits, labels: &labels };
        let report = DeferralReport::new(fitted, held_out).unwrap();
        approx::assert_abs_diff_eq!(report.deferred, fitted.deferred);
        approx::assert_abs_diff_eq!(report.false_positive_rate, fitted.calibration_fpr);
        approx::assert_abs_diff_eq!(report.false_negative_rate, fitted.calibration_fnr);
    }

    #[test]
    fn one_class_is_refused() {
        let fitted = FprThreshold::fit(&[0.0; 20], 0.1, Guarantee::Marginal).unwrap();
        let held_out = LabelledLogits { logits: &[1.0, 2.0], labels: &[true, true] };
        assert_eq!(ThresholdReport::new(fitted, held_out), Err(MetricError::OneClass));
        let nothing_found = LabelledLogits { logits: &[-1.0, -2.0], labels: &[true, false] };
        assert_eq!(ThresholdReport::new(fitted, nothing_found).unwrap().precision, None);
    }
}
