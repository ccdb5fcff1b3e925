//! Core: sparsity and reconstruction, and, where there is a model, what it loses.

use std::path::Path;

use anyhow::Result;
use attention_probes_activations::{ExternalActivations, data_files};
use attention_probes_models::{HookSet, PaddingSide, TokenBatch, host_values};
use attention_probes_sae::eval::{
    CoreBatch, CoreEvaluator, CoreResults, EvalOutput, Recovered, RecoveryConfig, feature_weights,
    recovered,
};
use attention_probes_sae::{Sae, SaeError, read_sae};
use serde_json::json;

use super::{EvalArgs, Findings, activations, report};
use crate::hub::hub_access;
use crate::sae::kept::Kept;
use crate::sae::subject::{Subject, SubjectArgs, check_width};

/// Contexts of one forward pass, as in `SAEBench`.
const CONTEXTS_PER_BATCH: usize = 16;

/// Runs the evaluation.
pub(super) fn run(args: &EvalArgs) -> Result<Findings> {
    match (&args.activations, &args.data) {
        (Some(path), _) => of_file(args, path),
        (None, Some(data)) => in_model(args, data),
        (None, None) => unreachable!("one of the two was asked for"),
    }
}

/// Activations of a file, without a model.
fn of_file(args: &EvalArgs, path: &Path) -> Result<Findings> {
    let sae = read_sae(&args.sae)?;
    let ExternalActivations { x, offsets, .. } = {
        let kept = Kept { path: &args.sae, sae: &sae };
        activations::read(path, kept, false)?
    };
    let d_in = sae.config.d_in;
    let mut core = CoreEvaluator::new(&sae);
    for examples in activations::batches(&offsets) {
        let offsets = &offsets[examples.start..=examples.end];
        let lengths: Vec<usize> = offsets.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let rows = &x[offsets[0] * d_in..offsets[lengths.len()] * d_in];
        core.add(CoreBatch { activations: rows, lengths: &lengths, counted: None })?;
    }
    let n = offsets.len() - 1;
    finish(args, &sae, core, &not_measured(), report::settings([("dataset", json!(args.source()))]))
        .map(|output| Findings {
            outputs: vec![output],
            on: format!("{n} examples without a model"),
            notes: vec!["what the model loses needs `--data` and a model".to_owned()],
        })
}

/// Contexts of texts, with the model.
fn in_model(args: &EvalArgs, data: &Path) -> Result<Findings> {
    let files = data_files(data, args.split(), hub_access().as_ref())?;
    let flags = SubjectArgs {
        sae: args.sae.clone(),
        data: data.to_owned(),
        text: args.text().to_owned(),
        table: args.table,
        model: args.model.clone(),
        hook: args.hook.clone(),
        device: args.device.clone(),
    };
    let Subject { sae, model, device, contexts, hook } = &Subject::of_files(&flags, &files)?;
    let n = contexts.len().min(args.max_contexts());
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
        let captured = captured.flatten_heads();
        check_width(sae, *hook, captured.dims()[2])?;
        let activations = host_values(captured)?;
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
    let special_tokens = contexts.ids(0)[..n_before].to_vec();
    let config = RecoveryConfig { special_tokens, ..RecoveryConfig::default() };
    let recovered = recovered(&*model.model, sae, *hook, &batches, &config)?;
    let settings = report::settings([
        ("model_name", json!(model.name)),
        ("dataset", json!(args.source())),
        ("context_size", json!(contexts.length())),
        ("batch_size_prompts", json!(CONTEXTS_PER_BATCH)),
        ("n_eval_reconstruction_batches", json!(batches.len())),
        ("n_eval_sparsity_variance_batches", json!(batches.len())),
    ]);
    finish(args, sae, core, &recovered, settings).map(|output| Findings {
        outputs: vec![output],
        on: format!("{n} contexts of {} tokens", contexts.length()),
        notes: Vec::new(),
    })
}

fn finish(
    args: &EvalArgs,
    sae: &Sae,
    core: CoreEvaluator<'_>,
    recovered: &Recovered,
    settings: serde_json::Map<String, serde_json::Value>,
) -> Result<EvalOutput> {
    let (metrics, activity) = core.finish()?;
    let weights = feature_weights(sae);
    let results =
        CoreResults { metrics: &metrics, activity: &activity, weights: &weights, recovered };
    Ok(EvalOutput::core(report::eval_run(args, settings), sae, results))
}

/// Losses and divergences where no model was run.
fn not_measured() -> Recovered {
    Recovered {
        ce_loss_without_sae: f64::NAN,
        ce_loss_with_sae: f64::NAN,
        ce_loss_with_ablation: f64::NAN,
        ce_loss_score: f64::NAN,
        kl_div_with_sae: f64::NAN,
        kl_div_with_ablation: f64::NAN,
        kl_div_score: f64::NAN,
        n_tokens: 0,
    }
}
