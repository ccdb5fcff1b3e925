//! `probe eval` of a probe whose outputs are no classes.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use attention_probes_activations::{ActivationSource, LabelKind, Targets};
use attention_probes_errors::{did_you_mean, listed, nearest};
use attention_probes_probes::{Outputs, Prefixes, apply_probe};
use attention_probes_report::measured;
use attention_probes_sweep::SideReport;
use burn::tensor::Device;
use serde::Serialize;

use crate::input::ProbeFile;
use crate::table;

/// What is printed of such a probe.
#[derive(Debug, Serialize)]
pub(super) struct OutputReport<'a> {
    /// File of the probe.
    probe: &'a Path,
    /// File of the data.
    data: &'a Path,
    /// What the outputs are.
    outputs: Outputs,
    /// Name of the number, or of each label.
    names: &'a [String],
    /// Number of examples.
    n_examples: usize,
    /// Number of sequences that were left out because of NaN or infinity.
    n_skipped: usize,
    /// Everything, under the name of the outputs.
    #[serde(flatten)]
    report: SideReport,
}

/// What a label of the data must be for a probe to be judged by it.
pub(super) fn label_kind(file: &ProbeFile) -> LabelKind {
    match file.saved.metadata.outputs {
        Outputs::Classes => LabelKind::Class,
        Outputs::Number => LabelKind::Number,
        Outputs::Labels => LabelKind::Labels,
    }
}

/// What to do about a label that is not one of the known ones.
fn remedy(label: &str, names: &[String]) -> String {
    let is_known = |part: &str| names.iter().any(|name| name == part.trim());
    let separators = ["|", ",", ";", "/", " ", "\t"];
    match separators.iter().find(|one| label.contains(**one) && label.split(**one).all(is_known)) {
        Some(separator) => {
            format!(
                "; labels are separated by `{separator}`: give `--label-separator '{separator}'`"
            )
        }
        None => did_you_mean(nearest(label, names)),
    }
}

/// Applies the probe to every example and compares with the labels, a row for each example.
pub(super) fn evaluate<'a>(
    file: &'a ProbeFile,
    path: &'a Path,
    (source, prefixes): (&mut dyn ActivationSource, &[(usize, usize)]),
    (targets, seed, n_skipped): (&Targets, u64, usize),
    device: &Device,
) -> Result<OutputReport<'a>> {
    let metadata = &file.saved.metadata;
    let names = file.class_names();
    let mut known = Targets { kind: targets.kind, names: names.to_vec(), values: Vec::new() };
    known.extend(targets).map_err(|label| {
        file.wrong(&format!(
            "`{}` has the label `{label}`, which the probe does not know; its labels are {}{}",
            path.display(),
            listed(names),
            remedy(&label, names)
        ))
    })?;
    let n_out = names.len();
    let mut outputs = vec![0.0; prefixes.len() * n_out];
    let ends = Prefixes { source, site: 0, ends: prefixes };
    apply_probe(&file.probe, ends, device, |index, reading| {
        outputs[index * n_out..(index + 1) * n_out].copy_from_slice(reading.logits);
    })?;
    Ok(OutputReport {
        probe: &file.path,
        data: path,
        outputs: metadata.outputs,
        names,
        n_examples: prefixes.len(),
        n_skipped,
        report: SideReport::new(&known, &outputs, seed)?,
    })
}

/// A table for a terminal.
pub(super) fn to_table(eval: &OutputReport<'_>) -> String {
    let mut text = String::new();
    let skipped = match eval.n_skipped {
        0 => String::new(),
        n => format!(", {n} skipped for NaN or infinity"),
    };
    let (probe, data) = (eval.probe.display(), eval.data.display());
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
