//! What a sweep has fitted for a probe, measured on other examples.

use std::fmt::Write as _;

use attention_probes_metrics::{
    Calibration, CalibrationReport, CalibrationScores, Calibrator, DeferralReport, LabelledLogits,
    MetricError, ThresholdReport,
};
use attention_probes_probes::ProbeMetadata;
use serde::Serialize;

use crate::table;

/// Thresholds and calibrators of a probe of two classes, on examples of a data set.
#[derive(Debug, Serialize)]
pub(crate) struct Decisions {
    thresholds: Vec<ThresholdReport>,
    deferral: Option<DeferralReport>,
    calibrations: Vec<Calibration>,
}

impl Decisions {
    /// Measures what a probe brings; `None` if it brings nothing, or the examples are of one class.
    ///
    /// # Errors
    ///
    /// If a logit is not finite.
    pub(crate) fn new(
        metadata: &ProbeMetadata,
        logits: &[f64],
        labels: &[usize],
    ) -> Result<Option<Self>, MetricError> {
        let labels: Vec<bool> = labels.iter().map(|&label| label == 1).collect();
        let brings_none = metadata.thresholds.is_empty()
            && metadata.deferral.is_none()
            && metadata.calibrators.is_empty();
        let is_one_class = labels.iter().all(|label| *label == labels[0]);
        if metadata.config.n_classes() != 2 || brings_none || is_one_class {
            return Ok(None);
        }
        let data = LabelledLogits { logits, labels: &labels };
        let calibrate = |calibrator: &Calibrator| {
            let report = CalibrationReport::new(calibrator, data)?;
            Ok::<_, MetricError>(Calibration { calibrator: calibrator.clone(), report })
        };
        let thresholds = metadata.thresholds.iter();
        Ok(Some(Self {
            thresholds: thresholds
                .map(|fitted| ThresholdReport::new(*fitted, data))
                .collect::<Result<_, _>>()?,
            deferral: metadata
                .deferral
                .map(|fitted| DeferralReport::new(fitted, data))
                .transpose()?,
            calibrations: metadata.calibrators.iter().map(calibrate).collect::<Result<_, _>>()?,
        }))
    }

    /// Appends tables for a terminal.
    pub(crate) fn write(&self, text: &mut String) {
        let mut rows =
            vec![["at most", "false positives (95 %)", "true positives (95 %)"].map(str::to_owned)];
        rows.extend(self.thresholds.iter().map(|report| {
            [
                report.fitted.target_fpr.to_string(),
                table::with_interval(report.false_positive_rate, &report.false_positive_interval),
                table::with_interval(report.true_positive_rate, &report.true_positive_interval),
            ]
        }));
        if rows.len() > 1 {
            text.push_str("at the thresholds for false-positive rates:\n");
            table::aligned(text, &rows);
        }
        if let Some(report) = &self.deferral {
            let _ = writeln!(
                text,
                "with deferral: {:.3} passed on, {:.3} false positives, {:.3} false negatives",
                report.deferred, report.false_positive_rate, report.false_negative_rate
            );
        }
        let mut rows = vec![["calibration", "ECE", "log loss (nats)"].map(str::to_owned)];
        let row = |name: &str, scores: CalibrationScores| {
            [name.to_owned(), format!("{:.3}", scores.ece), format!("{:.3}", scores.log_loss)]
        };
        if let Some(first) = self.calibrations.first() {
            rows.push(row("as trained", first.report.before));
            rows.extend(self.calibrations.iter().map(|fitted| {
                let name = match fitted.calibrator {
                    Calibrator::Temperature(_) => "temperature",
                    Calibrator::Platt(_) => "platt",
                    Calibrator::Isotonic(_) => "isotonic",
                };
                row(name, fitted.report.after)
            }));
            table::aligned(text, &rows);
        }
    }
}
