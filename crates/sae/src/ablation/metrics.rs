//! What an ablation measures, and where it is kept.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use attention_probes_activations::write_atomically;
use attention_probes_errors::FileError;
use serde::{Deserialize, Serialize};

use super::config::AblationData;
use crate::SaeError;

/// Metrics of labelled texts by `SAEBench`'s names, what they are called in tables, and what they say.
const LABELLED: [(&str, &str, &str); 4] = [
    ("sae_top_1_test_accuracy", "1 probed", "Accuracy of probes of one feature of a class"),
    ("sae_top_5_test_accuracy", "5 probed", "Accuracy of probes of five features of a class"),
    ("tpp_threshold_10_total_metric", "TPP", "Targeted probe perturbation with ten features"),
    (SCR, "SCR", "Spurious correlation removed with ten features"),
];

/// The one of them that needs a second column.
const SCR: &str = "scr_metric_threshold_10";

/// Where the metrics of an autoencoder are kept.
const METRICS_FILE: &str = "ablation_metrics.json";

/// One metric.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Metric {
    /// What it is called in files.
    pub(super) name: String,
    /// What it is called in tables.
    pub(super) label: String,
    /// What it says, in a sentence.
    pub(super) note: String,
    /// Whether more is better; `None` where neither is.
    pub(super) higher_is_better: Option<bool>,
}

/// What is measured, with some labelled texts.
pub(super) fn metrics(labelled: &[AblationData]) -> Vec<Metric> {
    let metric = |name: &str, label: &str, note: &str, higher_is_better| Metric {
        name: name.to_owned(),
        label: label.to_owned(),
        note: note.to_owned(),
        higher_is_better,
    };
    let note = "Share of the variance that is explained, on test texts.";
    let mut metrics = vec![metric("explained_variance_r2", "R²", note, Some(true))];
    let note = "Share of the loss that zeros would cost and the reconstructions do not.";
    metrics.push(metric("ce_loss_score", "CE recovered", note, Some(true)));
    let note = "Share of features that are active on a test text.";
    metrics.push(metric("frac_alive", "alive", note, Some(true)));
    for data in labelled {
        let of = &data.name;
        for (name, label, does) in of_labelled(data) {
            let (name, label) = (format!("{of}/{name}"), format!("{of}, {label}"));
            metrics.push(metric(&name, &label, &format!("{does}, on {of}."), Some(true)));
        }
    }
    metrics.push(metric("l0", "L0", "Active features of a token.", None));
    let note = "How alike the features of tokens are that attend to each other: what guidance \
                raises.";
    metrics.push(metric("attended_cosine", "attended cosine", note, None));
    metrics
}

/// The metrics of some labelled texts: name, label, and what each says.
pub(super) fn of_labelled(
    data: &AblationData,
) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let has_spurious = data.spurious.is_some();
    LABELLED.into_iter().filter(move |(name, ..)| *name != SCR || has_spurious)
}

/// Metrics as they are kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    digest: String,
    names: Vec<String>,
    values: Vec<Option<f64>>,
}

/// What was measured before of the autoencoder of a folder, if everything that it depends on is the
/// same; NaN where a metric is not defined.
pub(super) fn read_kept(folder: &Path, digest: &str, metrics: &[Metric]) -> Option<Vec<f64>> {
    let text = fs::read_to_string(folder.join(METRICS_FILE)).ok()?;
    let kept: Kept = serde_json::from_str(&text).ok()?;
    let is_same = kept.names.iter().eq(metrics.iter().map(|metric| &metric.name))
        && kept.digest == digest
        && kept.values.len() == metrics.len();
    is_same.then(|| kept.values.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect())
}

/// Keeps what was measured.
pub(super) fn keep(
    folder: &Path,
    digest: String,
    metrics: &[Metric],
    values: &[f64],
) -> Result<(), SaeError> {
    let path = folder.join(METRICS_FILE);
    let names = metrics.iter().map(|metric| metric.name.clone()).collect();
    let values = values.iter().map(|value| value.is_finite().then_some(*value)).collect();
    let text = serde_json::to_string_pretty(&Kept { digest, names, values })
        .map_err(|error| FileError::write(&path)(error.into()))?;
    Ok(write_atomically(&path, |file| file.write_all(text.as_bytes()))?)
}
