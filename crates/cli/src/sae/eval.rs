//! `sae eval`: the core evaluation of an autoencoder, with the model that it was made for.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use attention_probes_activations::write_atomically;
use attention_probes_models::{HookSet, PaddingSide, TokenBatch, host_values};
use attention_probes_sae::SaeError;
use attention_probes_sae::eval::{
    CoreBatch, CoreEvaluator, CoreResults, EvalOutput, EvalRun, RecoveryConfig, feature_weights,
    recovered,
};
use clap::Args;
use serde_json::{Map, json};

use crate::input::ignore_broken_pipe;
use crate::sae::subject::{Subject, SubjectArgs};

/// Contexts of one forward pass, as in `SAEBench`.
const CONTEXTS_PER_BATCH: usize = 16;

/// Measure a sparse autoencoder: sparsity, reconstruction, and what the model loses by it.
#[derive(Args, Debug)]
pub struct EvalArgs {
    /// What is measured, and with what.
    #[command(flatten)]
    pub subject: SubjectArgs,
    /// Most contexts that are read.
    #[arg(long, default_value_t = 200)]
    pub max_contexts: usize,
    /// Also write the result in the layout of `SAEBench`.
    #[arg(long)]
    pub output: Option<PathBuf>,
    /// Print the result in the layout of `SAEBench` instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Runs `sae eval`.
///
/// # Errors
///
/// If the autoencoder, the model, or the texts are at fault, or do not fit each other.
pub fn run(args: &EvalArgs) -> Result<()> {
    let Subject { sae, model, device, contexts, hook } = &Subject::open(&args.subject)?;
    let n = contexts.len().min(args.max_contexts);
    let n_before = contexts.length() - contexts.n_text_tokens();
    let mut core = CoreEvaluator::new(sae);
    let mut batches = Vec::new();
    for first in (0..n).step_by(CONTEXTS_PER_BATCH) {
        let texts: Vec<&[u32]> =
            (first..(first + CONTEXTS_PER_BATCH).min(n)).map(|i| contexts.ids(i)).collect();
        let batch = TokenBatch::new(&texts, PaddingSide::Right, device)?;
        let mut cache = model.model.run_with_cache(&batch, &HookSet::new([*hook]))?;
        let missing = || SaeError::Hook { hook: hook.to_string() };
        let captured = cache.remove(*hook).ok_or_else(missing)?;
        let activations = host_values(captured.flatten_heads())?;
        let lengths = vec![contexts.length(); texts.len()];
        let counted: Vec<bool> = (0..texts.len() * contexts.length())
            .map(|i| i % contexts.length() >= n_before)
            .collect();
        core.add(CoreBatch {
            activations: &activations,
            lengths: &lengths,
            counted: Some(&counted),
        })?;
        batches.push(batch);
    }
    let (metrics, activity) = core.finish()?;
    let special_tokens = contexts.ids(0)[..n_before].to_vec();
    let config = RecoveryConfig { special_tokens, ..RecoveryConfig::default() };
    let recovered = recovered(&*model.model, sae, *hook, &batches, &config)?;
    let weights = feature_weights(sae);
    let results = CoreResults {
        metrics: &metrics,
        activity: &activity,
        weights: &weights,
        recovered: &recovered,
    };
    let output = EvalOutput::core(eval_run(args, n), sae, results);
    let mut text = format!("{:#}\n", output.to_json());
    if let Some(path) = &args.output {
        write_atomically(path, |file| file.write_all(text.as_bytes()))?;
    }
    if !args.json {
        text.clear();
        for (category, metrics) in &output.metrics {
            let _ = writeln!(text, "{category}");
            for (name, value) in metrics {
                let _ = writeln!(text, "  {name:40} {value:.5}");
            }
        }
        let _ = writeln!(text, "beyond SAEBench");
        let r2 = metrics.explained_variance_r2;
        let _ = writeln!(text, "  {:40} {r2:.5}", "explained_variance_r2");
        let squared = metrics.squared_error;
        let _ = writeln!(text, "  {:40} {squared:.5}", "squared_error");
    }
    ignore_broken_pipe(write!(std::io::stdout().lock(), "{text}").map_err(Into::into))
}

fn eval_run(args: &EvalArgs, n_contexts: usize) -> EvalRun {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let sae_id = args.subject.sae.display().to_string();
    let mut eval_config = Map::new();
    eval_config.insert("n_contexts".to_owned(), json!(n_contexts));
    eval_config.insert("dataset".to_owned(), json!(args.subject.data.display().to_string()));
    EvalRun {
        eval_id: format!("{now}-{}", std::process::id()),
        datetime_epoch_millis: now as u64,
        sae_id: Some(sae_id),
        sae_release: None,
        eval_config,
    }
}
