//! What a sweep has fitted for a probe, measured on other examples.

use std::fmt::Write as _;

use attention_probes_metrics::{
    Calibration, CalibrationReport, CalibrationScores, Calibrator, DeferralReport, LabelledLogits,
    MetricError, ThresholdReport,
};
use attention_probes_probes::ProbeMetadata;
use attention_probes_report::fixed;
use attention_probes_sweep::UnfittedThreshold;
use serde::Serialize;

use crate::table;

/// A row for each threshold: what it promises, and what it does on examples that it was not fitted
/// on; and for each rate that no threshold could be fitted for.
pub(crate) fn threshold_rows(
    thresholds: &[ThresholdReport],
    unfitted: &[UnfittedThreshold],
) -> Vec<[String; 4]> {
    let header = ["at most", "false positives (95 %)", "true positives (95 %)", ""];
    let fitted = thresholds.iter().map(|report| {
        let cells = [
            report.fitted.target_fpr.to_string(),
            table::with_interval(report.false_positive_rate, &report.false_positive_interval),
            table::with_interval(report.true_positive_rate, &report.true_positive_interval),
            promise(report).to_owned(),
        ];
        (report.fitted.target_fpr, cells)
    });
    let missing = unfitted.iter().map(|one| {
        let UnfittedThreshold { target_fpr, n_negatives, n_needed } = one;
        let why = format!("no threshold: {n_negatives} negatives, {n_needed} needed");
        (*target_fpr, [target_fpr.to_string(), "-".to_owned(), "-".to_owned(), why])
    });
    let mut rows: Vec<(f64, [String; 4])> = fitted.chain(missing).collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let rows = rows.into_iter().map(|(_, cells)| cells);
    std::iter::once(header.map(str::to_owned)).chain(rows).collect()
}

/// Whether a threshold lets through more than it promised, by more than chance.
pub(crate) fn promise(report: &ThresholdReport) -> &'static str {
    let is_above = report.false_positive_interval.lower > report.fitted.target_fpr;
    if is_above { "above its promise" } else { "" }
}

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
        if !self.thresholds.is_empty() {
            text.push_str("at the thresholds for false-positive rates:\n");
            table::aligned(text, &threshold_rows(&self.thresholds, &[]));
        }
        if let Some(report) = &self.deferral {
            let _ = writeln!(
                text,
                "with deferral: {} passed on, {} false positives, {} false negatives",
                fixed(report.deferred, 3),
                fixed(report.false_positive_rate, 3),
                fixed(report.false_negative_rate, 3)
            );
        }
        let mut rows = vec![["calibration", "ECE", "log loss (nats)"].map(str::to_owned)];
        let row = |name: &str, scores: CalibrationScores| {
            [name.to_owned(), fixed(scores.ece, 3), fixed(scores.log_loss, 3)]
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
