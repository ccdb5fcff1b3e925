//! How good a saved probe is, as tables for a terminal.

use std::fmt::Write as _;
use std::path::Path;

use attention_probes_probes::{
    ClassEvaluation, OutputEvaluation, ProbeFile, SavedEvaluation, SideReport,
};
use attention_probes_report::{fixed, measured};

use crate::{decisions, table};

/// What was found about a probe on some data.
pub(crate) fn evaluation(file: &ProbeFile, data: &Path, found: &SavedEvaluation<'_>) -> String {
    match found {
        SavedEvaluation::Classes(eval) => classes(file, data, eval),
        SavedEvaluation::Outputs(eval) => outputs(file, data, eval),
    }
}

/// Of a classifier.
fn classes(file: &ProbeFile, data: &Path, eval: &ClassEvaluation<'_>) -> String {
    let report = &eval.report;
    let mut text = String::new();
    let skipped = match eval.n_skipped {
        0 => String::new(),
        n => format!(", {n} skipped for NaN or infinity"),
    };
    let (probe, data) = (file.path.display(), data.display());
    let _ = writeln!(text, "{probe} on {data}: {} examples{skipped}", report.n_examples);
    if let Some(training) = table::training(&file.saved.metadata) {
        let _ = writeln!(text, "trained by {training}");
    }
    let number = |value: f64| fixed(value, 3);
    let with_interval = table::with_interval;
    let rows = [
        ("accuracy", with_interval(report.accuracy, &report.accuracy_interval)),
        (
            "balanced accuracy",
            with_interval(report.balanced_accuracy, &report.balanced_accuracy_interval),
        ),
        (if report.n_classes == 2 { "F1" } else { "macro F1" }, number(report.f1)),
        ("AUROC", report.auroc.map_or("-".to_owned(), number)),
        ("log loss (nats)", number(report.log_loss)),
        ("ECE", number(report.ece)),
    ];
    table::aligned(&mut text, &rows.map(|(name, value)| [name.to_owned(), value]));
    if let Some(pairs) = &eval.pair_accuracy {
        let right = with_interval(pairs.accuracy, &pairs.interval);
        let _ = writeln!(text, "pairs: {right} of {} right", pairs.n_pairs);
    }
    table::confusion(&mut text, "confusion", &report.confusion, eval.classes);
    if let Some(at) = &eval.at_threshold {
        let _ = writeln!(
            text,
            "at the probe's threshold {}: accuracy {}, balanced accuracy {}, F1 {}",
            at.threshold,
            number(at.accuracy),
            number(at.balanced_accuracy),
            number(at.f1)
        );
        table::confusion(&mut text, "confusion", &at.confusion, eval.classes);
    }
    if let Some(decisions) = &eval.decisions {
        decisions::write(&mut text, decisions);
    }
    text
}

/// Of a number or of several labels.
fn outputs(file: &ProbeFile, data: &Path, eval: &OutputEvaluation<'_>) -> String {
    let mut text = String::new();
    let skipped = match eval.n_skipped {
        0 => String::new(),
        n => format!(", {n} skipped for NaN or infinity"),
    };
    let (probe, data) = (file.path.display(), data.display());
    let _ = writeln!(text, "{probe} on {data}: {} examples{skipped}", eval.n_examples);
    let number = |value: Option<f64>| value.map_or("-".to_owned(), measured);
    let (name, value, interval) = eval.report.headline();
    let headline = match (value, interval) {
        (Some(value), Some(interval)) => table::with_interval(value, &interval),
        (value, _) => number(value),
    };
    let mut rows = vec![[name.to_owned(), headline]];
    let details = eval.report.details();
    rows.extend(details.into_iter().map(|(name, value)| [name.to_owned(), number(value)]));
    table::aligned(&mut text, &rows);
    if let SideReport::Labels { report, .. } = &eval.report {
        let header = ["label", "examples", "AUROC", "AP", "F1"].map(str::to_owned);
        let mut rows = vec![header];
        for (name, label) in eval.names.iter().zip(&report.per_label) {
            rows.push([
                format!("{name:?}"),
                label.n_positives.to_string(),
                number(label.auroc),
                number(label.average_precision),
                measured(label.f1),
            ]);
        }
        table::aligned(&mut text, &rows);
    }
    text
}
