//! Autoencoders: what was trained, how good it is, and what guidance did.

use std::fmt::Write as _;

use attention_probes_metrics::SeedSummary;
use attention_probes_report::aligned;
use attention_probes_sae::ablation::{AblationConfig, AblationReport};
use attention_probes_sae::eval::{EvalFindings, EvalOutput, ReseedSummary, reseed};
use attention_probes_sae::{SaeError, StepReport, TrainedSae};

/// Level of the intervals.
const LEVEL: f64 = 0.95;

/// What the last steps of a run measured, an autoencoder in a row.
///
/// # Examples
///
/// ```no_run
/// use attention_probes::pages::sae::text::trained_saes_text;
/// use attention_probes::sae::{SaeRunConfig, SaeRunOptions, run_sae};
/// use burn::tensor::Device;
///
/// let plan = SaeRunConfig::read("sae.toml")?.check()?;
/// let device = Device::default();
/// println!("{}", trained_saes_text(&run_sae(&plan, &SaeRunOptions::new(&device))?));
/// # Ok::<(), attention_probes::sae::SaeError>(())
/// ```
pub fn trained_saes_text(trained: &[TrainedSae]) -> String {
    let header = ["name", "hook", "seed", "FVU", "L0", "dead", "loss"].map(str::to_owned);
    let mut rows = vec![header];
    for sae in trained {
        let StepReport { loss, l0, fvu, n_dead, .. } = sae.report;
        rows.push([
            sae.name.clone(),
            sae.hook.clone(),
            sae.seed.to_string(),
            format!("{fvu:.4}"),
            format!("{l0:.1}"),
            n_dead.to_string(),
            format!("{loss:.3}"),
        ]);
    }
    let mut text = String::new();
    aligned(&mut text, &rows);
    text
}

/// The arms of an ablation, and what guides each.
///
/// # Examples
///
/// ```no_run
/// use attention_probes::pages::sae::text::arms_text;
/// use attention_probes::sae::ablation::AblationConfig;
///
/// println!("{}", arms_text(&AblationConfig::read("ablation.toml")?));
/// # Ok::<(), attention_probes::sae::SaeError>(())
/// ```
pub fn arms_text(config: &AblationConfig) -> String {
    let arms = config.arms();
    let mut rows = vec![["arm", "guided by"].map(str::to_owned)];
    rows.extend(arms.iter().map(|arm| [arm.name.clone(), arm.label.clone()]));
    let mut text = String::new();
    aligned(&mut text, &rows);
    let _ = writeln!(text, "{} arms of {} seeds", arms.len(), config.seeds.len());
    text
}

/// What every metric of an ablation measured, an arm in a row: means over seeds with half-widths of
/// their 95 % intervals.
///
/// # Examples
///
/// ```no_run
/// use attention_probes::pages::sae::text::ablation_text;
/// use attention_probes::sae::SaeRunOptions;
/// use attention_probes::sae::ablation::{AblationConfig, run_ablation};
/// use burn::tensor::Device;
///
/// let device = Device::default();
/// let config = AblationConfig::read("ablation.toml")?;
/// println!("{}", ablation_text(&run_ablation(&config, &SaeRunOptions::new(&device))?));
/// # Ok::<(), attention_probes::sae::SaeError>(())
/// ```
pub fn ablation_text(report: &AblationReport) -> String {
    let metrics = &report.metrics;
    let mut header = vec!["guided by".to_owned()];
    header.extend(metrics.iter().map(|metric| metric.label.clone()));
    let mut rows = vec![header];
    for (i, arm) in report.arms.iter().enumerate() {
        let mut row = vec![arm.label.clone()];
        row.extend(metrics.iter().map(|metric| {
            let summary = SeedSummary::new(&metric.by_arm[i], LEVEL);
            summary.map_or("-".to_owned(), |one| {
                format!("{:.4} ± {:.4}", one.mean, one.interval.upper - one.mean)
            })
        }));
        rows.push(row);
    }
    let mut text = String::new();
    aligned(&mut text, &rows);
    text
}

/// What an evaluation of an autoencoder found: its metrics, or their mean over seeds where there
/// are several, and its notes.
///
/// # Errors
///
/// As [`reseed`], if the outputs are not of one evaluation.
///
/// # Examples
///
/// ```no_run
/// use attention_probes::errors::Stop;
/// use attention_probes::pages::sae::text::sae_evaluation_text;
/// use attention_probes::sae::SaeError;
/// use attention_probes::sae::eval::{ActivationData, EvalSae, core_of_activations};
///
/// fn print(subject: &EvalSae<'_>, data: &ActivationData) -> Result<(), SaeError> {
///     let found = core_of_activations(subject, data, &Stop::never())?;
///     println!("{}", sae_evaluation_text(&found)?);
///     Ok(())
/// }
/// ```
pub fn sae_evaluation_text(found: &EvalFindings) -> Result<String, SaeError> {
    let mut text = match &found.outputs[..] {
        [output] => one_seed(output),
        outputs => several_seeds(outputs)?,
    };
    for note in &found.notes {
        let _ = writeln!(text, "{note}");
    }
    Ok(text)
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
fn several_seeds(outputs: &[EvalOutput]) -> Result<String, SaeError> {
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
