//! The result as a table, and as an object in the layout of `SAEBench`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use attention_probes_activations::write_atomically;
use attention_probes_sae::eval::{EvalFindings, EvalOutput, EvalRun, ReseedSummary, reseed};

use super::ResultArgs;
use crate::input::ignore_broken_pipe;
use crate::table::aligned;

/// Level of the intervals.
const LEVEL: f64 = 0.95;

/// What stands above the table.
pub(super) struct Title<'a> {
    /// `SAEBench`'s name.
    pub(super) evaluation: &'static str,
    /// The autoencoder.
    pub(super) sae: &'a Path,
    /// Texts or activations, where there are any.
    pub(super) from: Option<String>,
}

/// Prints the findings, and writes them to `--output`.
pub(super) fn write(title: &Title<'_>, args: &ResultArgs, found: &EvalFindings) -> Result<()> {
    let mut text = format!("{:#}\n", found.pooled()?.to_json());
    if let Some(path) = &args.output {
        write_atomically(path, |file| file.write_all(text.as_bytes()))?;
    }
    if !args.json {
        text = match &found.outputs[..] {
            [output] => one_seed(output),
            outputs => several_seeds(outputs)?,
        };
        let mut above = format!("{} of {}", title.evaluation, title.sae.display());
        if let Some(from) = &title.from {
            let _ = write!(above, " on {from}");
        }
        text.insert_str(0, &format!("{above}: {}\n", found.on));
        for note in &found.notes {
            let _ = writeln!(text, "{note}");
        }
    }
    ignore_broken_pipe(write!(std::io::stdout().lock(), "{text}").map_err(Into::into))
}

/// Categories with their metrics; what was not measured is left out.
fn one_seed(output: &EvalOutput) -> String {
    let mut text = String::new();
    for (category, metrics) in &output.metrics {
        let mut measured = metrics.iter().filter(|(_, value)| value.is_finite()).peekable();
        if measured.peek().is_some() {
            let _ = writeln!(text, "{category}");
        }
        for (name, value) in measured {
            let name = shown(name);
            let _ = writeln!(text, "  {name:40} {value:.5}");
        }
    }
    let beyond = ["explained_variance_r2", "squared_error"]
        .map(|name| (name, output.unstructured[name].as_f64()));
    if output.eval_type_id == "core" {
        let _ = writeln!(text, "beyond SAEBench");
        for (name, value) in beyond {
            let _ = writeln!(text, "  {name:40} {:.5}", value.unwrap_or(f64::NAN));
        }
    }
    text
}

/// A metric as a table names it: those of `SAEBench` that are not what their name says say so.
fn shown(name: &str) -> &str {
    match name {
        "explained_variance" => "explained_variance (SAEBench's, not R²)",
        "mse" => "mse (SAEBench's, per value)",
        _ => name,
    }
}

/// Mean, deviation, and interval of every metric.
fn several_seeds(outputs: &[EvalOutput]) -> Result<String> {
    let header = ["metric", "mean", "95 % over seeds", "deviation", "seeds"];
    let mut rows = vec![header.map(str::to_owned)];
    for ReseedSummary { metric, summary, .. } in reseed(outputs, LEVEL)? {
        rows.push(match summary {
            Some(found) => [
                metric,
                format!("{:.4}", found.mean),
                format!("[{:.4}, {:.4}]", found.interval.lower, found.interval.upper),
                format!("{:.4}", found.std),
                found.n_seeds.to_string(),
            ],
            None => [metric, "-".into(), "-".into(), "-".into(), "fewer than 2".into()],
        });
    }
    let mut text = String::new();
    aligned(&mut text, &rows);
    Ok(text)
}

/// The run as `SAEBench` names one.
pub(super) fn eval_run(sae: &Path) -> EvalRun {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    EvalRun {
        eval_id: format!("{now}-{}", std::process::id()),
        datetime_epoch_millis: now as u64,
        sae_id: Some(sae.display().to_string()),
        ..EvalRun::default()
    }
}
