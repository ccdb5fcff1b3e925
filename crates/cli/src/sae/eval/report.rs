//! The result as a table, and as an object in the layout of `SAEBench`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use attention_probes_activations::write_atomically;
use attention_probes_sae::eval::{
    EvalOutput, EvalRun, PerturbationConfig, ReseedSummary, over_seeds, reseed,
};
use serde_json::{Map, Value, json};

use super::{EvalArgs, Evaluation, Findings};
use crate::input::ignore_broken_pipe;
use crate::table::aligned;

/// Level of the intervals.
const LEVEL: f64 = 0.95;

/// Tested texts below which a table says how coarse an accuracy is.
const FEW_TESTED: usize = 200;

/// Prints the findings, and writes them to `--output`.
pub(super) fn write(args: &EvalArgs, findings: &Findings) -> Result<()> {
    let output = match &findings.outputs[..] {
        [output] => output.clone(),
        outputs => over_seeds(outputs, LEVEL)?,
    };
    let mut text = format!("{:#}\n", output.to_json());
    if let Some(path) = &args.output {
        write_atomically(path, |file| file.write_all(text.as_bytes()))?;
    }
    if !args.json {
        text = match &findings.outputs[..] {
            [output] => one_seed(output),
            outputs => several_seeds(outputs)?,
        };
        let (eval, sae) = (args.eval.name(), args.sae.display());
        let mut title = format!("{eval} of {sae}");
        if args.eval != Evaluation::Absorption {
            let _ = write!(title, " on {}", args.source());
        }
        text.insert_str(0, &format!("{title}: {}\n", findings.on));
        for note in &findings.notes {
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
pub(super) fn eval_run(args: &EvalArgs, eval_config: Map<String, Value>) -> EvalRun {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    EvalRun {
        eval_id: format!("{now}-{}", std::process::id()),
        datetime_epoch_millis: now as u64,
        sae_id: Some(args.sae.display().to_string()),
        sae_release: None,
        eval_config,
    }
}

/// What is said where so few texts are tested that one of them can be seen in a score.
pub(super) fn coarse(n_tested: usize) -> Option<String> {
    let step = 1.0 / n_tested as f64;
    let few = format!("{n_tested} texts test a probe, so one text is {step:.3} of an accuracy");
    (n_tested < FEW_TESTED).then_some(few)
}

/// Settings by name; all are names that `SAEBench` has.
pub(super) fn settings<const N: usize>(named: [(&str, Value); N]) -> Map<String, Value> {
    named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Settings of every evaluation of labelled texts.
pub(super) fn common(
    args: &EvalArgs,
    seed: u64,
    model: Option<&(String, usize)>,
) -> Map<String, Value> {
    let mut common =
        settings([("random_seed", json!(seed)), ("dataset_names", json!([args.data_name(seed)]))]);
    if let Some((name, context)) = model {
        common.insert("model_name".to_owned(), json!(name));
        common.insert("context_length".to_owned(), json!(context));
    }
    common
}

/// Settings of SCR and TPP.
pub(super) fn perturbation(
    args: &EvalArgs,
    config: &PerturbationConfig,
    seed: u64,
    [n_train, n_test]: [usize; 2],
    model: Option<&(String, usize)>,
) -> Map<String, Value> {
    let mut all = common(args, seed, model);
    all.extend(settings([
        ("early_stopping_patience", json!(config.probe.patience)),
        ("train_set_size", json!(n_train)),
        ("test_set_size", json!(n_test)),
        ("probe_train_batch_size", json!(config.probe.batch_size)),
        ("probe_epochs", json!(config.probe.epochs)),
        ("probe_lr", json!(config.probe.learning_rate)),
        ("probe_l1_penalty", json!(config.probe.l1)),
        ("n_values", json!(config.n_values)),
    ]));
    all
}
