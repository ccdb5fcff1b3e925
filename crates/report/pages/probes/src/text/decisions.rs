//! Thresholds and calibrators of a probe.

use std::fmt::Write as _;

use attention_probes_metrics::{CalibrationScores, Calibrator, ThresholdReport};
use attention_probes_probes::Decisions;
use attention_probes_report::{aligned, fixed, with_interval};
use attention_probes_sweep::UnfittedThreshold;

/// A row for each threshold: what it promises, and what it does on examples that it was not fitted
/// on; and for each rate that no threshold could be fitted for.
pub(super) fn threshold_rows(
    thresholds: &[ThresholdReport],
    unfitted: &[UnfittedThreshold],
) -> Vec<[String; 4]> {
    let header = ["at most", "false positives (95 %)", "true positives (95 %)", ""];
    let fitted = thresholds.iter().map(|report| {
        let cells = [
            report.fitted.target_fpr.to_string(),
            with_interval(report.false_positive_rate, &report.false_positive_interval),
            with_interval(report.true_positive_rate, &report.true_positive_interval),
            if report.breaks_promise() { "above its promise" } else { "" }.to_owned(),
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

/// Appends tables of what was fitted for a probe.
pub(super) fn write(text: &mut String, decisions: &Decisions) {
    if !decisions.thresholds.is_empty() {
        text.push_str("at the thresholds for false-positive rates:\n");
        aligned(text, &threshold_rows(&decisions.thresholds, &[]));
    }
    if let Some(report) = &decisions.deferral {
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
    if let Some(first) = decisions.calibrations.first() {
        rows.push(row("as trained", first.report.before));
        rows.extend(decisions.calibrations.iter().map(|fitted| {
            let name = match fitted.calibrator {
                Calibrator::Temperature(_) => "temperature",
                Calibrator::Platt(_) => "platt",
                Calibrator::Isotonic(_) => "isotonic",
            };
            row(name, fitted.report.after)
        }));
        aligned(text, &rows);
    }
}
