//! How good a saved probe is.

use std::fmt::Write as _;
use std::path::Path;

use attention_probes_metrics::ConfusionMatrix;
use attention_probes_probes::{
    ClassEvaluation, Optimizer, OutputEvaluation, ProbeFile, ProbeMetadata, SavedEvaluation,
    SideReport,
};
use attention_probes_report::{aligned, aligned_right, fixed, measured, scientific, with_interval};

use super::decisions;

/// What was found about a probe on some data, `data`.
///
/// # Examples
///
/// ```no_run
/// use std::path::Path;
///
/// use attention_probes::activations::{Dataset, DatasetConfig};
/// use attention_probes::pages::probes::text::evaluation_text;
/// use attention_probes::probes::{EvaluateConfig, LabelledTexts, ModelChoice, ProbeFile};
/// use burn::tensor::Device;
///
/// let (device, data) = (Device::default(), Path::new("reviews.csv"));
/// let file = ProbeFile::open(Path::new("linear_state.npz"), &device)?;
/// let probed = file.saved.open_model(&ModelChoice::default(), None, &device)?;
/// let dataset = Dataset::read_files("reviews", &[data], &DatasetConfig::default(), true)?;
/// let texts = LabelledTexts { dataset: &dataset, probed: &probed };
/// let found = file.evaluate_texts(texts, &EvaluateConfig::default(), &mut |_, _| {})?;
/// println!("{}", evaluation_text(&file, data, &found));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn evaluation_text(file: &ProbeFile, data: &Path, found: &SavedEvaluation<'_>) -> String {
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
    if let Some(training) = training(&file.saved.metadata) {
        let _ = writeln!(text, "trained by {training}");
    }
    let number = |value: f64| fixed(value, 3);
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
    aligned(&mut text, &rows.map(|(name, value)| [name.to_owned(), value]));
    if let Some(pairs) = &eval.pair_accuracy {
        let right = with_interval(pairs.accuracy, &pairs.interval);
        let _ = writeln!(text, "pairs: {right} of {} right", pairs.n_pairs);
    }
    confusion(&mut text, "confusion", &report.confusion, eval.classes);
    if let Some(at) = &eval.at_threshold {
        let _ = writeln!(
            text,
            "at the probe's threshold {}: accuracy {}, balanced accuracy {}, F1 {}",
            at.threshold,
            number(at.accuracy),
            number(at.balanced_accuracy),
            number(at.f1)
        );
        confusion(&mut text, "confusion", &at.confusion, eval.classes);
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
        (Some(value), Some(interval)) => with_interval(value, &interval),
        (value, _) => number(value),
    };
    let mut rows = vec![[name.to_owned(), headline]];
    let details = eval.report.details();
    rows.extend(details.into_iter().map(|(name, value)| [name.to_owned(), number(value)]));
    aligned(&mut text, &rows);
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
        aligned(&mut text, &rows);
    }
    text
}

/// How a saved probe was trained, such as `adamw, learning rate 1e-3, weight decay 0, 10 epochs`;
/// `None` if it does not say.
fn training(metadata: &ProbeMetadata) -> Option<String> {
    let decay = || metadata.weight_decay.map(|it| format!("weight decay {}", scientific(it)));
    let rate = || metadata.learning_rate.map(|it| format!("learning rate {}", scientific(it)));
    let recipe = metadata.recipe.clone();
    let parts = match metadata.optimizer {
        Some(Optimizer::AdamW) => {
            let epochs = metadata.epochs.map(|n| format!("{n} epochs"));
            vec![Some("adamw".to_owned()), recipe, rate(), decay(), epochs]
        }
        // Its learning rate is always 1.
        Some(Optimizer::Lbfgs) => {
            let folds = metadata.folds.map(|n| format!("chosen by {n} folds"));
            vec![Some("lbfgs".to_owned()), recipe, decay(), folds]
        }
        None => vec![Some(recipe?)],
    };
    Some(parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

/// Counts, one line per true class.
fn confusion(text: &mut String, title: &str, confusion: &ConfusionMatrix, classes: &[String]) {
    let _ = writeln!(text, "{title}, true class by row, predicted class by column:");
    let label = |class: &String| format!("{class:?}");
    let header: Vec<String> =
        std::iter::once(String::new()).chain(classes.iter().map(label)).collect();
    let mut rows = vec![header];
    for (class, counts) in classes.iter().zip(confusion.counts()) {
        rows.push(
            std::iter::once(label(class)).chain(counts.iter().map(usize::to_string)).collect(),
        );
    }
    aligned_right(text, &rows);
}
